"""Cost of explanations and of metrics: PM-ViT's map in plain forward passes, insertion / deletion against quantus."""

import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from modeling_pm_vit.data.columns import Columns
from modeling_pm_vit.data.synthetic import CLASSES, synthetic_dataset
from modeling_pm_vit.evaluation.classifier import Classifier
from modeling_pm_vit.evaluation.cost import vit_baseline
from modeling_pm_vit.evaluation.evaluator import EvaluationPlan, Evaluator
from modeling_pm_vit.explainers import explainers
from modeling_pm_vit.image_processing_pm_vit import PMViTImageProcessor
from modeling_pm_vit.metrics.insertion_deletion import insertion_deletion_curves
from modeling_pm_vit.metrics.perturbation import perturbation_hits
from modeling_pm_vit.utils.timing import compare

from .machine import describe
from .models import SIZES, Size, random_pm_vit


def measure(quick: bool = False) -> dict:
    """
    Uses random weights: ViT-S/16 at 192 px (quantus needs a side divisible by 3), with `quick` a smaller model.

    Returns:
        `ratio`: PM-ViT's explanation in plain forward passes (`ratio_low`, `ratio_high`: 95 % interval of the median);
        `insertion_deletion_speedup` and `perturbation_speedup`: time of quantus over ours, for equally many points of
        the same curve; `forward_share`: share of the model's forward passes in the time that an evaluation spends on
        perturbation and insertion / deletion.
    """
    torch.manual_seed(0)
    size, side = (Size(192, 6, 3, 0.2), 96) if quick else (SIZES["S"], 192)
    model = random_pm_vit(size, len(CLASSES), side)
    images = torch.randn(4 if quick else 8, 3, side, side)
    labels, plain, ours = torch.zeros(len(images), dtype=torch.long), vit_baseline(model), explainers()["pm-vit"]
    forward = torch.inference_mode()(lambda: plain(images))
    cost = compare(lambda: ours(model, images, labels), forward, seconds=3 if quick else 20)
    return {
        "machine": describe(torch.device("cpu")),
        **{"ratio": cost["ratio"], "ratio_low": cost["low"], "ratio_high": cost["high"]},
        **_against_quantus(model, images[:1], rounds=1 if quick else 3),
        "forward_share": _forward_share(model, images=2 if quick else 4),
    }


def _against_quantus(model: nn.Module, images: torch.Tensor, rounds: int) -> dict[str, float]:
    """quantus' `PixelFlipping`, in steps of a row of pixels and of a twelfth of all pixels, against our curves."""
    import quantus

    classifier = Classifier(model, [0.5] * 3, [0.5] * 3)
    maps = torch.rand(len(images), *images.shape[-2:])
    labels = model(images).logits.argmax(1)

    class Logits(nn.Module):
        def forward(self, pixel_values):
            return model(pixel_values).logits

    def flip(step: int):
        flipping = quantus.PixelFlipping(
            features_in_step=step, perturb_baseline=0.0, normalise=False, abs=False, disable_warnings=True
        )
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            flipping(
                model=Logits().eval(),
                x_batch=images.numpy(),
                y_batch=labels.numpy(),
                a_batch=maps[:, None].repeat(1, 3, 1, 1).numpy(),
                channel_first=True,
                softmax=True,
                device="cpu",
            )

    height, width = images.shape[-2:]
    few_calls = {"seconds": 0, "least": rounds}
    both = compare(
        lambda: flip(3 * width), lambda: insertion_deletion_curves(classifier.logits, images, maps, labels), **few_calls
    )
    few = compare(
        lambda: flip(3 * height * width // 12),
        lambda: perturbation_hits(classifier.logits, images, maps, labels, True, classifier.black),
        **few_calls,
    )
    # Ours draws two curves, insertion and deletion, where quantus draws one; and 10 points where quantus draws 12.
    return {"insertion_deletion_speedup": 2 * both["ratio"], "perturbation_speedup": few["ratio"] * 10 / 12}


def _forward_share(model: nn.Module, images: int) -> float:
    side = model.config.image_size
    processor = PMViTImageProcessor(size={"height": side, "width": side}, patch_size=model.config.patch_size)
    classifier = Classifier(model, processor.image_mean, processor.image_std)
    plan = EvaluationPlan({"pm-vit": explainers()["pm-vit"]}, ["perturbation", "insertion_deletion"], batch_size=images)
    with TemporaryDirectory() as folder:
        dataset = synthetic_dataset("test", images, image_size=side)
        evaluator = Evaluator(classifier, processor, dataset, "class_id", Columns(), plan, Path(folder) / "records")
        start = time.perf_counter()
        evaluator.run()
        return classifier.seconds / (time.perf_counter() - start)
