import warnings

import numpy as np
import pytest
import quantus
import torch
from torch import nn

from modeling_pm_vit.metrics import max_sensitivity as module
from modeling_pm_vit.metrics.max_sensitivity import MAX_SENSITIVITY, max_sensitivity
from modeling_pm_vit.metrics.ranking import image_seed


def explain(pixel_values: torch.Tensor) -> np.ndarray:
    """A map that follows the image."""
    return nn.functional.avg_pool2d(pixel_values.float().square().sum(1), 3, stride=1, padding=1).numpy()


def images(n: int = 3) -> torch.Tensor:
    return torch.randn(n, 3, 8, 6, generator=torch.Generator().manual_seed(0))


def test_by_hand():
    heatmaps = np.array([[[3.0, 4.0]], [[0.0, 0.0]], [[1.0, 0.0]]])
    changed = np.array([[[[3.0, 4.0]], [[3.0, 5.0]]], [[[1.0, 0.0]]] * 2, [[[1.0, 0.0]]] * 2])
    assert MAX_SENSITIVITY.measure(heatmaps, changed)["max_sensitivity"] == pytest.approx(
        [1 / 5, np.nan, 0], nan_ok=True
    )


def test_equals_quantus_with_the_same_noise(monkeypatch):
    """Quantus draws for the whole batch, ours for each image: it is given ours."""
    pixels = images()
    generators = [np.random.default_rng(image_seed(image)) for image in pixels]

    def uniform(low, high, size):
        return np.array([g.uniform(low, high, pixels.shape[1:]).ravel() for g in generators]).reshape(size)

    monkeypatch.setattr(np.random, "uniform", uniform)
    metric = quantus.MaxSensitivity(nr_samples=4, disable_warnings=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = metric(
            model=nn.Identity().eval(),
            x_batch=pixels.numpy(),
            y_batch=np.zeros(3, int),
            a_batch=explain(pixels)[:, None],
            explain_func=lambda model, inputs, targets, **_: explain(torch.as_tensor(inputs))[:, None],
            channel_first=True,
        )
    assert max_sensitivity(explain, pixels, explain(pixels), 4) == pytest.approx(np.array(theirs), rel=1e-5)


def test_depends_on_the_image_and_not_on_its_batch_and_grows_with_the_draws():
    pixels = images()
    whole = max_sensitivity(explain, pixels, explain(pixels), 3)
    assert max_sensitivity(explain, pixels[1:2], explain(pixels[1:2]), 3) == pytest.approx(whole[1:2], rel=1e-6)
    assert (max_sensitivity(explain, pixels, explain(pixels), 9) >= whole).all()
    constant = np.ones((3, 8, 6))
    assert max_sensitivity(lambda noisy: constant, pixels, constant, 2).tolist() == [0, 0, 0]


def test_noise_is_uniform_within_the_radius():
    seen = []

    def keep(noisy):
        seen.append(noisy - pixels)
        return explain(noisy)

    pixels = images(1)
    max_sensitivity(keep, pixels, explain(pixels), 40)
    noise = torch.stack(seen)
    assert noise.abs().max() <= module.RADIUS + 1e-6
    assert noise.std() == pytest.approx(module.RADIUS / 3**0.5, rel=0.05)
