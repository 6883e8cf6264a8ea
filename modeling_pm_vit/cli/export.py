"""Export a PM-ViT to ONNX, in a folder that onnxruntime alone can use, and compare it with PyTorch.

    pm-vit export runs/demo --output_dir runs/demo-onnx
    pm-vit export runs/cub10 --output_dir runs/cub10-onnx --precision int8 --images path/to/photographs

Only graphs that agree with PyTorch are written: the same class for at least 99 % of the images, a mean IoU of the masks
of at least 0.95. Exit status: 0 if they are, 1 if fp32 or one that --precision names is not, 2 if the model cannot be
exported.
"""

import sys
from collections.abc import Sequence

from PIL import Image
from transformers.utils import logging

from ..conversion.checkpoints import load_model, load_processor
from ..export import FILES, export_folder
from ..export.arguments import ExportArguments
from ..image_loading_pm_vit import load_image
from ..inference import find_images
from ..utils.arguments import ArgumentParser
from ..utils.errors import InputError
from ..utils.extras import require
from ..utils.tables import markdown_table

_HEAD = ("precision", "MB", "logits max diff", "masks max diff", "top-1 agreement", "mask IoU", "written")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(ExportArguments, command="pm-vit export", description=__doc__)
    given: ExportArguments = parser.parse(arguments)
    logging.disable_progress_bar()
    model = load_model(given.model).eval()
    processor = load_processor(given.model)
    images = _images(given)
    found = export_folder(model, processor, given.output_dir, images, given.precision or tuple(FILES))

    print(f"{given.model} -> {given.output_dir}, compared with PyTorch on {len(images)} images")
    rows, left_out = [_HEAD], {}
    for name, values in found.items():
        differences = (f"{values['logit_difference']:.1e}", f"{values['mask_difference']:.1e}")
        agreement = (f"{100 * values['top1_agreement']:.2f} %", f"{values['mask_iou']:.4f}")
        written = "no" if values["problems"] else "yes"
        rows.append((name, f"{values['megabytes']:.2f}", *differences, *agreement, written))
        if values["problems"]:
            left_out[name] = f"{name} does not agree with PyTorch, and is not written: {'; '.join(values['problems'])}"
    print(markdown_table(rows) + f"not empty: {100 * found['fp32']['mask_share']:.0f} % of the masks")
    failed = bool(left_out.keys() & {"fp32", *given.precision})
    for line in left_out.values():
        print(f"pm-vit export: {line}", file=sys.stderr if failed else sys.stdout)
    return 1 if failed else 0


def _images(given: ExportArguments) -> list[Image.Image]:
    if given.images:
        try:
            return [load_image(path) for path in find_images(given.images)[: given.max_samples]]
        except (OSError, ValueError) as error:
            raise InputError(str(error)) from error
    require("the comparison on built-in images (without --images)", "train", "datasets")
    import datasets

    from ..data.synthetic import synthetic_dataset

    datasets.disable_progress_bars()
    return list(synthetic_dataset("test", given.max_samples or 500)["image"][:])
