"""Turn a plain Vision Transformer of transformers or timm into a PM-ViT.

    python scripts/convert.py facebook/dinov2-small models/pm-vit-s14 --labels names.txt --image-size 224

Exit status: 0 if the model was written, 2 if it cannot be converted (one line says why).
"""

import argparse
import sys
from pathlib import Path

from transformers.utils import logging

from modeling_pm_vit.conversion import convert


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder or Hub id of transformers (ViT, DINOv2) or timm, or a timm model name")
    parser.add_argument("output", type=Path, help="folder to write")
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument(
        "--labels", nargs="+", metavar="NAME", help="class names, or one .txt file of them, one a line, in their order"
    )
    classes.add_argument(
        "--num-labels", type=int, metavar="N", help="number of classes (default: the source's classes)"
    )
    parser.add_argument(
        "--image-size", type=int, nargs="+", metavar="PIXELS", help="one side, or height and width (default: source's)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of a new classifier (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="write into the folder although it is not empty")
    args = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    try:
        if args.output.exists() and not args.output.is_dir():
            raise ValueError(f"{args.output} is not a folder.")
        if not args.force and args.output.is_dir() and any(args.output.iterdir()):
            raise ValueError(f"{args.output} is not empty: give another folder, or --force to write into it.")
        labels, image_size = args.labels, args.image_size
        if labels and len(labels) == 1 and labels[0].endswith(".txt"):
            labels = [line.strip() for line in Path(labels[0]).read_text("utf-8").splitlines() if line.strip()]
        if image_size and len(image_size) > 2:
            raise ValueError("--image-size takes one side, or height and width.")
        image_size = image_size and (image_size * 2)[:2]
        model, image_processor, difference, new_classifier = convert(
            args.source, labels, args.num_labels, image_size, args.seed
        )
        model.save_pretrained(args.output)
        image_processor.save_pretrained(args.output)
    except (ImportError, OSError, ValueError) as error:
        print(f"convert.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 2

    config = model.config
    print(
        f"{args.source} -> {args.output}: {config.num_hidden_layers} layers, hidden size {config.hidden_size}, patch "
        f"{config.patch_size}, image {config.image_size}, {config.num_labels} classes\n"
        f"largest difference from the source: {difference:.1e}\n"
        f"classifier: {'new, to be trained' if new_classifier else 'kept'}\n"
        f"load with: PMViTForImageClassification.from_pretrained({str(args.output)!r})\n"
        f"           PMViTImageProcessor.from_pretrained({str(args.output)!r})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
