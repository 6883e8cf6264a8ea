"""Show what a PM-ViT saw in photographs: overlays and an HTML page, a JSON of classes, scores and boxes, or parquet.

    python scripts/explain.py runs/demo photos/ "more/**/*.jpg" --output explanations --top-k 3
    python scripts/explain.py runs/demo photos/ --format json --precision bf16
    python scripts/explain.py runs/demo-onnx photos/ --backend onnx --precision int8
    ACCELERATE_USE_CPU=true accelerate launch --config_file configs/accelerate/cpu2.yaml scripts/explain.py runs/demo \
        --data path/to/shards --streaming --split train --output explanations

The last form is for millions: parquet files of classes, scores, boxes and maps, by any number of processes. The same
command again goes on where it was interrupted.

Exit status: 0 if all images were explained, 1 if some could not be read (they are listed), 2 for a wrong call.
"""

import argparse
import sys
from pathlib import Path

import torch

from modeling_pm_vit.inference import explain_files, find_images, open_predictor

PRECISIONS = ("fp32", "bf16", "fp16", "int8")


def main() -> int:
    parser = _parser()
    args = parser.parse_args()
    if bool(args.images) == bool(args.data):
        parser.error("give images or --data, one of the two.")
    if args.data and args.format in ("page", "json"):
        parser.error("--data is explained to --format parquet.")
    if args.threads:
        torch.set_num_threads(args.threads)
    try:
        if args.data or args.format == "parquet":
            return to_parquet(args)
        return to_folder(args)
    except (ImportError, OSError, ValueError) as error:
        parser.error(" ".join(str(error).split()))


def to_folder(args: argparse.Namespace) -> int:
    paths = find_images(args.images)
    predictor = predictor_of(args, args.device)
    records, failures = explain_files(
        predictor,
        paths,
        args.output,
        args.threshold,
        args.opacity,
        args.batch_size,
        args.workers,
        pictures=args.format != "json",
    )
    file = "explanations.json" if args.format == "json" else "index.html"
    print(f"{len(records)} images explained: {(args.output / file).resolve()}")
    for failure in failures:
        print(f"failed: {failure['reason']}", file=sys.stderr)
    return 1 if failures else 0


def to_parquet(args: argparse.Namespace) -> int:
    from modeling_pm_vit.data.sources import open_rows
    from modeling_pm_vit.inference.parquet import PathRows, explain_rows
    from modeling_pm_vit.utils.processes import processes  # of the extra `train`, as what follows

    process = processes(args.device.split(":")[0])
    settings = {"model": args.model, "explain": args.labels or args.top_k}
    if args.data:
        rows = open_rows(args.data, args.split, args.size, args.streaming, label_column=None)
        settings |= {"source": args.data, "split": args.split}
    else:
        rows = PathRows(find_images(args.images))
        settings |= {"source": args.images}
    device = str(process.device) if process.num_processes > 1 else args.device
    counts = explain_rows(
        predictor_of(args, device),
        rows,
        args.output,
        settings,
        process,
        args.image_column,
        args.threshold,
        args.batch_size,
        args.workers,
        args.rows_per_shard,
    )
    if process.is_main_process:
        print(f"{counts.rows} images, {counts.rows - counts.failed} explained: {args.output.resolve()}")
        if counts.failed:
            print(f"failed: {counts.failed}; the column 'error' says why", file=sys.stderr)
    return 1 if counts.failed and process.is_main_process else 0


def predictor_of(args: argparse.Namespace, device: str):
    return open_predictor(args.model, args.labels or args.top_k, args.backend, args.precision, args.compile, device)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder or Hub id of a PM-ViT; with --backend onnx a folder of scripts/export.py")
    parser.add_argument("images", nargs="*", help="files, folders (searched to any depth) or glob patterns")
    parser.add_argument("--output", type=Path, default=Path("explanations"), help="folder (default: %(default)s)")
    parser.add_argument(
        "--format",
        choices=("page", "json", "parquet"),
        help="page: overlays, a JSON and an HTML page (default); json: the JSON alone; parquet: see --data",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--top-k", type=int, default=1, help="explain the k most probable classes (default: 1)")
    which.add_argument("--labels", nargs="+", help="explain these classes, by name, in every image")
    parser.add_argument("--threshold", type=float, default=0.5, help="probability of the contour (default: 0.5)")
    parser.add_argument("--opacity", type=float, default=0.6, help="of the tint at probability 1 (default: 0.6)")
    speed = parser.add_argument_group("speed")
    speed.add_argument("--batch-size", type=int, default=8, help="images at a time (default: 8)")
    speed.add_argument("--workers", type=int, default=2, help="threads that read and write (default: 2)")
    speed.add_argument("--threads", type=int, help="threads that compute (default: torch's, one a core)")
    speed.add_argument("--backend", choices=("torch", "onnx"), default="torch", help="(default: torch)")
    speed.add_argument(
        "--precision",
        "--dtype",
        choices=PRECISIONS,
        default="fp32",
        help="torch: fp32 (default), bf16 (twice as fast on a CPU that has it) or fp16; onnx: fp32, fp16 or int8",
    )
    speed.add_argument("--compile", action="store_true", help="torch.compile: a minute at first, then faster")
    speed.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="(default: %(default)s)"
    )
    many = parser.add_argument_group("millions, to parquet")
    many.add_argument("--data", help="a folder, a dataset of the Hub, or a pattern of parquet or tar files")
    many.add_argument("--split", default="train", help="(default: %(default)s)")
    many.add_argument("--size", type=int, help="only the first so many rows")
    many.add_argument("--streaming", action="store_true", help="read parquet files where they are")
    many.add_argument("--image-column", default="image", help="(default: %(default)s)")
    many.add_argument("--rows-per-shard", type=int, default=1000, help="of a parquet file (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
