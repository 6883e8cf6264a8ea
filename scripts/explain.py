"""Show what a PM-ViT saw in photographs: overlays, a JSON of classes, scores and boxes, and an HTML page.

    python scripts/explain.py runs/demo photos/ "more/**/*.jpg" --output explanations --top-k 3

Exit status: 0 if all images were explained, 1 if some could not be read (they are listed), 2 for a wrong call.
"""

import argparse
import sys
from pathlib import Path

import torch

from modeling_pm_vit import PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.explaining import explain_files, find_images


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder or Hub id of a PM-ViT")
    parser.add_argument("images", nargs="+", help="files, folders (searched to any depth) or glob patterns")
    parser.add_argument("--output", type=Path, default=Path("explanations"), help="folder (default: %(default)s)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--top-k", type=int, default=1, help="explain the k most probable classes (default: 1)")
    which.add_argument("--labels", nargs="+", help="explain these classes, by name, in every image")
    parser.add_argument("--threshold", type=float, default=0.5, help="probability of the contour (default: 0.5)")
    parser.add_argument("--opacity", type=float, default=0.6, help="of the tint at probability 1 (default: 0.6)")
    parser.add_argument("--batch-size", type=int, default=8, help="images at a time (default: 8)")
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="(default: %(default)s)"
    )
    args = parser.parse_args()

    try:
        paths = find_images(args.images)
        model = PMViTForImageClassification.from_pretrained(args.model).to(args.device)
        processor = PMViTImageProcessor.from_pretrained(args.model)
        records, failures = explain_files(
            model,
            processor,
            paths,
            args.output,
            args.labels or args.top_k,
            args.threshold,
            args.opacity,
            args.batch_size,
        )
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{len(records)} images explained: {(args.output / 'index.html').resolve()}")
    for failure in failures:
        print(f"failed: {failure.reason}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
