import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from modeling_pm_vit.explainers import EXPLAINERS

LABELS = torch.tensor([0, 3, 1])


class Logits(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        return self.model(pixel_values, interpolate_pos_encoding=True).logits


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("grad-cam", pytorch_grad_cam.GradCAM),
        ("grad-cam-plus-plus", pytorch_grad_cam.GradCAMPlusPlus),
        ("xgrad-cam", pytorch_grad_cam.XGradCAM),
        ("layer-cam", pytorch_grad_cam.LayerCAM),
    ],
)
@pytest.mark.parametrize("size", ["images", "wide_images"])
def test_enlarged_to_pixels_equals_the_package_called_directly(model, name, method, size, request):
    pixels = request.getfixturevalue(size)
    height, width = pixels.shape[-2:]

    def reshape_transform(tokens):
        return tokens[:, 1:].reshape(3, height // 8, width // 8, 16).permute(0, 3, 1, 2)

    cam = method(Logits(model), [model.vit.layers[-1].layernorm_before], reshape_transform=reshape_transform)
    expected = cam(pixels, [ClassifierOutputTarget(int(label)) for label in LABELS])
    maps = EXPLAINERS[name](model, pixels, LABELS)
    np.testing.assert_allclose(scale_cam_image(scale_cam_image(maps, (width, height))), expected, atol=1e-6)


def test_finer_cam_is_grad_cam_of_the_difference_to_the_most_similar_classes(model, wide_images):
    """Of four classes all others are compared with, weighted by their probabilities."""
    found = EXPLAINERS["finer-cam"](model, wide_images, LABELS)
    kept = []
    model.vit.layers[-1].layernorm_before.register_forward_hook(lambda module, inputs, output: kept.append(output))
    logits = Logits(model)(wide_images)
    total = 0
    for row, label in zip(logits, LABELS.tolist(), strict=True):
        others = [c for c in range(4) if c != label]
        total = total + (row.softmax(0)[others] * (row[label] - row[others])).sum() / row.softmax(0)[others].sum()
    (gradient,) = torch.autograd.grad(total, kept)
    maps = (kept[0][:, 1:] * gradient[:, 1:].mean(1, keepdim=True)).sum(-1).relu().detach().numpy()
    stretched = [(m - m.min()) / (m.max() - m.min()) for m in maps]
    np.testing.assert_allclose(found, np.reshape(stretched, (3, 3, 5)), atol=1e-5)


def test_finer_cam_needs_two_classes(make, images):
    with pytest.raises(ValueError, match="the model has one: use grad-cam"):
        EXPLAINERS["finer-cam"](make("vit", num_labels=1), images, 0)


def test_grad_cam_equals_its_definition(model, wide_images):
    found = EXPLAINERS["grad-cam"](model, wide_images, LABELS)
    kept = []
    model.vit.layers[-1].layernorm_before.register_forward_hook(lambda module, inputs, output: kept.append(output))
    logits = Logits(model)(wide_images)
    (gradient,) = torch.autograd.grad(logits[range(3), LABELS].sum(), kept)
    maps = (kept[0][:, 1:] * gradient[:, 1:].mean(1, keepdim=True)).sum(-1).relu().detach().numpy()
    stretched = [(m - m.min()) / (m.max() - m.min()) for m in maps]
    np.testing.assert_allclose(found, np.reshape(stretched, (3, 3, 5)), atol=1e-5)
