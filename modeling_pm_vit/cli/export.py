"""Export a PM-ViT to ONNX, in a folder that onnxruntime alone can use, and compare it with PyTorch.

    pm-vit export runs/demo --output_dir runs/demo-onnx
    pm-vit export runs/cub10 --output_dir runs/cub10-onnx --precision int8 --images path/to/photographs

Exit status: 0 if every graph agrees with PyTorch (same class for at least 99 % of the images, mean IoU of the masks at
least 0.95), 1 if one does not, 2 if the model cannot be exported.
"""

import sys
from collections.abc import Sequence

from PIL import Image
from transformers.utils import logging

from ..conversion.checkpoints import load_model, load_processor
from ..export import MIN_AGREEMENT, export_folder, measure_agreement
from ..export.arguments import ExportArguments
from ..image_loading_pm_vit import load_image
from ..inference import find_images
from ..utils.arguments import ArgumentParser
from ..utils.errors import InputError
from ..utils.extras import require
from ..utils.tables import markdown_table

_HEAD = ("precision", "MB", "logits max diff", "masks max diff", "top-1 agreement", "mask IoU")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(ExportArguments, command="pm-vit export", description=__doc__)
    given: ExportArguments = parser.parse(arguments)
    logging.disable_progress_bar()
    model = load_model(given.model).eval()
    processor = load_processor(given.model)
    images = _images(given)
    paths = export_folder(model, processor, given.output_dir, given.precision)

    print(f"{given.model} -> {given.output_dir}, compared with PyTorch on {len(images)} images")
    rows, failed = [_HEAD], []
    for name, path in paths.items():
        found = measure_agreement(model, processor, path, images)
        differences = (f"{found['logit_difference']:.1e}", f"{found['mask_difference']:.1e}")
        agreement = (f"{100 * found['top1_agreement']:.2f} %", f"{found['mask_iou']:.4f}")
        rows.append((name, f"{path.stat().st_size / 1e6:.2f}", *differences, *agreement))
        too_low = {key: minimum for key, minimum in MIN_AGREEMENT.items() if found[key] < minimum}
        failed += [f"{name}: {key} {found[key]:.4f} < {minimum}" for key, minimum in too_low.items()]
    print(markdown_table(rows) + f"not empty: {100 * found['mask_share']:.0f} % of the masks")
    if failed:
        print("pm-vit export: a graph does not agree with PyTorch: " + "; ".join(failed), file=sys.stderr)
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
