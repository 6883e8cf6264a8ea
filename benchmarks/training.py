"""Cost of a training step and its data: PM-ViT against a plain ViT, the loader against JPEG decoding alone."""

import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification

from modeling_pm_vit.configuration_pm_vit import PMViTConfig
from modeling_pm_vit.data.augmentation.parameters import AugmentationSettings
from modeling_pm_vit.data.dataset import ExampleDataset
from modeling_pm_vit.data.shard_readers import ParquetRows
from modeling_pm_vit.data.transforms import ExampleTransform
from modeling_pm_vit.explanation_pm_vit import IGNORE
from modeling_pm_vit.image_loading_pm_vit import load_image
from modeling_pm_vit.image_processing_pm_vit import PMViTImageProcessor
from modeling_pm_vit.modeling_pm_vit import PMViTForImageClassification
from modeling_pm_vit.utils.timing import compare, take_turns

from .machine import describe
from .rows import write_rows


def measure(quick: bool = False) -> dict:
    """
    [`compare_steps`], [`compare_attention`] and [`compare_loading`].

    Returns:
        `ratio`: time of a PM-ViT step with masks on 1 % of the images over that of a plain step, the mean over `rounds`
        alternating pairs; `ratio_error`: its standard error; the CPU seconds of both; `fused_attention`: time of a step
        with PyTorch's fused attention over one with plain products, in bfloat16; `loader_images_per_second` with
        augmentation, `decode_images_per_second` and `step_images_per_second`, of one core; `bound_by`: which of the two
        limits the speed with one loading process.
    """
    size = (6, 192, 128) if quick else (12, 384, 224)
    results = {"machine": describe(torch.device("cpu"))}
    results |= compare_steps(*size, batch_size=16 if quick else 32, pairs=20 if quick else 30)
    results["fused_attention"] = compare_attention(*((4, 128, 64) if quick else (9, 192, 64)), batch_size=64)
    results |= compare_loading(side=size[2], count=100 if quick else 400)
    loads = results["loader_images_per_second"] < results["step_images_per_second"]
    results["bound_by"] = "loader" if loads else "model"
    return results


def compare_steps(
    layers: int, hidden: int, image_size: int, batch_size: int, pairs: int, mask_share: float = 0.01
) -> dict[str, float]:
    """
    Forward pass, backward pass and AdamW of both models on the same images, in alternating order. The share
    `mask_share * batch_size` of the steps has one mask, so that `mask_share` of all images have one.
    """
    torch.manual_seed(0)
    common = {
        **{"num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": 4 * hidden},
        **{"image_size": image_size, "num_attention_heads": max(1, hidden // 64), "num_labels": 1000},
    }
    plain, pm = ViTForImageClassification(ViTConfig(**common)), PMViTForImageClassification(PMViTConfig(**common))
    batch = {
        "pixel_values": torch.randn(batch_size, 3, image_size, image_size),
        "labels": torch.randint(1000, (batch_size,)),
    }
    side = image_size // 16
    masks = torch.full((batch_size, 1, side, side), float(IGNORE))
    explained = {"explain_labels": batch["labels"].unsqueeze(1)}
    without = batch | explained | {"mask_labels": masks}
    masks = masks.clone()
    masks[0] = torch.rand(1, side, side)
    one_mask = batch | explained | {"mask_labels": masks}

    step_plain, step_pm = _stepper(plain), _stepper(pm)
    for _ in range(2):
        step_plain(batch), step_pm(one_mask), step_pm(without)
    masked = np.diff(np.floor(np.arange(pairs + 1) * mask_share * batch_size)) > 0
    inputs = iter([one_mask if has_mask else without for has_mask in masked])
    times = take_turns(lambda: step_pm(next(inputs)), lambda: step_plain(batch), pairs)
    # The lowest and the highest quarter of the ratios, most disturbed by other processes, are dropped.
    ratios = np.sort(times[:, 0] / times[:, 1])
    kept = ratios[pairs // 4 : pairs - pairs // 4]
    return {
        "ratio": float(kept.mean()),
        "ratio_error": float(kept.std(ddof=1) / len(kept) ** 0.5),
        "rounds": pairs,
        "pm_step_seconds": float(np.median(times[:, 0])),
        "plain_step_seconds": float(np.median(times[:, 1])),
        "step_images_per_second": float(batch_size / np.median(times[:, 0])),
    }


def compare_attention(
    layers: int, hidden: int, image_size: int, batch_size: int, patch_size: int = 8, seconds: float = 5.0
) -> dict[str, float]:
    """Forward and backward pass in bfloat16 on the CPU: fused attention over that of [`choose_attention`]."""
    sizes = {
        **{"num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": 2 * hidden},
        **{"num_attention_heads": max(1, hidden // 64), "image_size": image_size, "patch_size": patch_size},
    }
    torch.manual_seed(0)
    inputs = {
        "pixel_values": torch.randn(batch_size, 3, image_size, image_size),
        "labels": torch.randint(200, (batch_size,)),
    }
    steps = []
    for implementation in ("sdpa", "eager"):
        model = PMViTForImageClassification(PMViTConfig(**sizes, num_labels=200)).train()
        model.set_attn_implementation(implementation)

        def step(model: PMViTForImageClassification = model) -> None:
            with torch.autocast("cpu", torch.bfloat16):
                output = model(**inputs)
            output.loss.backward()

        steps.append(step)
    return compare(*steps, seconds)


def _stepper(model: torch.nn.Module) -> Callable[[dict], None]:
    """A function that runs one training step."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step(inputs: dict) -> None:
        model(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def compare_loading(side: int, count: int) -> dict[str, float]:
    """JPEG photographs of 500 x 375 pixels per second: from the encoded row to the example, and decoded only."""
    with tempfile.TemporaryDirectory() as folder:
        rows = ParquetRows([write_rows(Path(folder), 64, (375, 500))])
        processor = PMViTImageProcessor(size={"height": side, "width": side})
        dataset = ExampleDataset([(rows, ExampleTransform(processor, augmentation=AugmentationSettings()))])
        samples = [sample for batch in dataset.batches(64) for sample in batch]
        encoded = [rows[sample.index]["image"]["bytes"] for sample in samples]

        def decode(i):
            load_image(Image.open(io.BytesIO(encoded[i % len(encoded)])))

        def load(i):
            dataset[samples[i % len(samples)]]

        seconds = {}
        for name, job in (("decode", decode), ("loader", load)):
            job(0)
            start = time.process_time()
            for i in range(count):
                job(i)
            seconds[name] = time.process_time() - start
    return {f"{name}_images_per_second": count / spent for name, spent in seconds.items()}
