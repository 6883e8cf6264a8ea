"""Files to JSON against the model alone, on any device: whether reading and writing keep up with it."""

import os
import tempfile
from pathlib import Path

import torch

from modeling_pm_vit.image_processing_pm_vit import PMViTImageProcessor
from modeling_pm_vit.inference import TorchPredictor, explain_files, find_images
from modeling_pm_vit.inference.arguments import ExplainArguments
from modeling_pm_vit.utils.timing import reverse, summarize, take_turns

from .compiling import compile_seconds
from .machine import describe
from .models import SIZES, Size, random_pm_vit
from .throughput import write_jpegs

_DIFFERENT = 64  # photographs; the others are the same under other names


def measure(quick: bool = False, device: str = "cpu", compiled: bool = False) -> dict:
    """
    JPEGs of 500 x 375 pixels to a JSON of one class each, with the defaults of `pm-vit explain` on this device; in bf16
    on a GPU.

    Args:
        compiled: use `torch.compile`.

    Returns:
        `machine`; `pairs`: images per second of `explain_files` over those of the predictor that gets tensors, and the
        [`compile_seconds`] of a compiled one; `images_per_second` from files.
    """
    place = torch.device(device)
    on_gpu = place.type == "cuda"
    name, size = ("tiny", Size(48, 1, 1, 0)) if quick else ("S", SIZES["S"])
    model = random_pm_vit(size, 1000).to(place, torch.bfloat16 if on_gpu else torch.float32)
    predictor = TorchPredictor(model, PMViTImageProcessor(), compiled=compiled)
    with tempfile.TemporaryDirectory() as folder:
        paths = _photographs(Path(folder) / "photographs", 2048 if on_gpu and not quick else 16)
        settings = ExplainArguments("model", [folder], device=device)
        batch = torch.randn(settings.images_at_once, 3, 224, 224).to(place)

        def ours() -> None:
            out = Path(folder) / "out"
            explain_files(predictor, paths, out, batch_size=len(batch), workers=settings.workers, pictures=False)

        def theirs() -> None:
            for _ in range(0, len(paths), len(batch)):
                predictor(batch)

        more = {"compile_seconds": compile_seconds(lambda: predictor(batch), place)} if compiled else {}
        theirs(), ours()
        pair = reverse(summarize(take_turns(ours, theirs, 3, place))) | more
    return {
        "machine": describe(place),
        "workers": settings.workers,
        "compiled": str(compiled),
        "pairs": {f"{name}/json": pair},
        "images_per_second": {f"{name}/json": len(paths) / pair["ours_seconds"]},
    }


def _photographs(folder: Path, count: int) -> list[Path]:
    written = write_jpegs(folder, min(count, _DIFFERENT))
    for number in range(len(written), count):
        os.link(written[number % len(written)], folder / f"{number:04d}.jpg")
    return find_images([str(folder)])
