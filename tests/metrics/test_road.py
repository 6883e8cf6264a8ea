import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer

from modeling_pm_vit.metrics.ranking import image_seed
from modeling_pm_vit.metrics.road import NOISE, ROAD, SHARES, linear_imputation, mean_of_shares, road_hits


def sample(seed: int = 0, n: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 3, 8, 8, generator=generator)
    return images, torch.randn(n, 8, 8, generator=generator), torch.randint(4, (n,), generator=generator)


def test_a_removed_pixel_is_the_weighted_mean_of_its_neighbours():
    """1/6 for those beside it, 1/12 for those across; beyond the border there are none."""
    image = torch.arange(64.0).view(1, 8, 8) ** 2 / 100
    removed = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    removed[..., 3, 4] = removed[..., 0, 0] = True
    result = linear_imputation(image, removed)[0, 0]
    assert not result[~removed[0, 0]].any()
    i = image[0].double().numpy()
    beside, across = i[2, 4] + i[4, 4] + i[3, 3] + i[3, 5], i[2, 3] + i[2, 5] + i[4, 3] + i[4, 5]
    assert result[3, 4].item() == pytest.approx(beside / 6 + across / 12, rel=1e-5)
    assert result[0, 0].item() == pytest.approx((i[0, 1] + i[1, 0]) * 2 / 5 + i[1, 1] / 5, rel=1e-5)


@pytest.mark.parametrize("side", [8, 40])
@pytest.mark.parametrize("smooth", [False, True])
def test_imputation_equals_that_of_grad_cam_without_its_noise(side, smooth):
    image = torch.randn(3, side, side, generator=torch.Generator().manual_seed(0))
    maps = torch.randn(1, 1, 4 if smooth else side, 4 if smooth else side, generator=torch.Generator().manual_seed(1))
    order = torch.nn.functional.interpolate(maps, (side, side), mode="bilinear").flatten().argsort()
    removed = torch.stack([order.argsort() < int(side**2 * share) for share in (0.1, 0.5, 0.9)]).view(3, 1, side, side)
    found = linear_imputation(image, removed)
    for result, where in zip(found, removed[:, 0], strict=True):
        expected = NoisyLinearImputer(noise=0)(image, (~where).float())
        torch.testing.assert_close(result[:, where], expected[:, where], rtol=0, atol=1e-3)


@pytest.mark.parametrize("most_relevant", [True, False])
def test_equals_the_literal_version(make_classifier, most_relevant):
    images, maps, labels = sample()
    classifier = make_classifier()
    hits = road_hits(classifier.logits, images, maps, labels, most_relevant, tie_orders=2)
    published = road_hits(classifier.logits, images, maps, labels, most_relevant, tie_orders=0)
    assert hits.shape == (5, 2, 10)
    for row, (image, heatmap, label) in enumerate(zip(images, maps.numpy(), labels.tolist(), strict=True)):
        order = np.argsort(-heatmap.ravel() if most_relevant else heatmap.ravel())
        noise = NOISE * np.random.default_rng(image_seed(image)).standard_normal(image.shape, np.float32)
        for point, share in enumerate(SHARES):
            removed = torch.zeros(64, dtype=torch.bool)
            removed[order[: int(64 * share)]] = True
            removed = removed.view(8, 8)
            changed = image if not share else NoisyLinearImputer(noise=0)(image, (~removed).float())
            changed = torch.where(removed, changed + noise, image)
            expected = classifier.logits(changed[None]).argmax(1).item() == label
            assert hits[row, 0, point] == hits[row, 1, point] == published[row, 0, point] == expected
    assert 0 < hits.mean() < 1


def test_values_by_hand():
    hits = np.array([[[1, 1, 0, 0, 0, 0, 0, 0, 0, 0]], [[0, 1, 1, 1, 0, 0, 0, 0, 0, 0]]], float)
    assert mean_of_shares(hits).ravel().tolist() == pytest.approx([1 / 9, 3 / 9])  # the whole image does not count
    values = ROAD.compute(road_morf=hits, road_lerf=1 - hits[:, 0])
    assert (values["road_morf"], values["road_lerf"]) == pytest.approx((2 / 9, 7 / 9))
    with pytest.raises(ValueError, match="road_morf"):
        ROAD.compute(road_morf=np.zeros((2, 9)), road_lerf=np.zeros((2, 10)))
