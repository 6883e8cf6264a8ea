"""Export a PM-ViT to ONNX, in a folder that onnxruntime alone can use, and compare it with PyTorch.

    python scripts/export.py runs/demo runs/demo-onnx
    python scripts/export.py runs/cub10 runs/cub10-onnx --precision int8 --images path/to/photographs

Exit status: 0 if every graph agrees with PyTorch (same class for at least 99 % of the images, mean IoU of the masks at
least .95), 1 if one does not, 2 if the model cannot be exported (one line says why).
"""

import argparse
import sys
from pathlib import Path

from transformers.utils import logging

from modeling_pm_vit import PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.export import FILES, LEAST, export_folder, measure_agreement
from modeling_pm_vit.image_processing_pm_vit import load_image
from modeling_pm_vit.inference import find_images


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder or Hub id of a PM-ViT")
    parser.add_argument("output", type=Path, help="folder to write")
    parser.add_argument(
        "--precision", nargs="+", choices=list(FILES), default=list(FILES), help="(default: all; fp32 is always there)"
    )
    parser.add_argument("--images", nargs="+", help="what to compare on (default: unseen images of the built-in set)")
    parser.add_argument("--count", type=int, default=500, help="of images of the built-in set (default: %(default)s)")
    args = parser.parse_args()
    logging.disable_progress_bar()

    try:
        model = PMViTForImageClassification.from_pretrained(args.model).eval()
        processor = PMViTImageProcessor.from_pretrained(args.model)
        images = photographs(args.images, args.count)
        paths = export_folder(model, processor, args.output, args.precision)
    except (ImportError, OSError, ValueError) as error:
        print(f"export.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 2

    print(f"{args.model} -> {args.output}, compared with PyTorch on {len(images)} images")
    columns = ("MB", "logits max diff", "masks max diff", "top-1 agreement", "mask IoU")
    print("      " + "".join(f"{column:>17}" for column in columns))
    failed = []
    for name, path in paths.items():
        found = measure_agreement(model, processor, path, images)
        cells = [f"{path.stat().st_size / 1e6:.2f}", f"{found['logit_difference']:.1e}"]
        cells += [f"{found['mask_difference']:.1e}", f"{found['top1_agreement']:.2%}", f"{found['mask_iou']:.4f}"]
        print(f"{name:<6}" + "".join(f"{cell:>17}" for cell in cells))
        failed += [f"{name}: {key} {found[key]:.4f} < {least}" for key, least in LEAST.items() if found[key] < least]
    print(f"not empty: {found['mask_share']:.0%} of the masks")
    if failed:
        print("export.py: does not agree with PyTorch: " + "; ".join(failed), file=sys.stderr)
    return 1 if failed else 0


def photographs(patterns: list[str] | None, count: int) -> list:
    if patterns:
        return [load_image(path) for path in find_images(patterns)]
    import datasets  # of the extra `eval` or `train`

    from modeling_pm_vit.data.synthetic import synthetic_dataset

    datasets.disable_progress_bars()
    return synthetic_dataset("test", count)["image"][:]


if __name__ == "__main__":
    sys.exit(main())
