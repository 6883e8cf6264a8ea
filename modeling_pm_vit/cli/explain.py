"""Explain photographs with a PM-ViT: overlays and an HTML page, a JSON of classes, scores and boxes, or parquet files.

    pm-vit explain photo.jpg
    pm-vit explain runs/demo photos/ "more/**/*.jpg" --output_dir explanations --top_k 3
    pm-vit explain runs/demo photos/ --format json --precision bf16
    pm-vit explain runs/demo scans/ --tile 448
    pm-vit explain runs/demo photos/ --evidence --expected labels.csv --output_dir records
    pm-vit explain runs/demo-onnx photos/ --backend onnx --precision int8
    torchrun --nproc_per_node 2 -m modeling_pm_vit.cli explain runs/demo --data path/to/shards --streaming

The first form uses the checkpoint that ships with the package. The last form is for millions of images: parquet files
of classes, scores, boxes and maps, by any number of processes. The same command continues where it was interrupted.

Exit status: 0 if all images were explained, 1 if some could not be read (they are listed or counted), 2 for a wrong
call.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from ..inference import explain_files, find_images, open_predictor
from ..inference.arguments import ExplainArguments
from ..inference.evidence import Settings, expected_classes, write_evidence
from ..inference.files import FoundImages
from ..inference.photographs import TileOptions
from ..inference.predictor import Predictor
from ..inference.written import DOCUMENT, PAGE
from ..utils.arguments import ArgumentParser
from ..utils.extras import require
from ..utils.fingerprint import place_settings
from ..utils.threads import choose_threads


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(ExplainArguments, command="pm-vit explain", description=__doc__)
    given: ExplainArguments = parser.parse(arguments)
    choose_threads(given.num_threads)
    if given.evidence:
        return _to_evidence(given)
    return _to_parquet(given) if given.format == "parquet" else _to_folder(given)


def _to_folder(given: ExplainArguments) -> int:
    paths = find_images(given.images, leave_out=[given.output_dir / name for name in ("overlays", "previews")])
    records, failures = explain_files(
        _predictor(given, given.device),
        paths,
        given.output_dir,
        given.threshold,
        given.opacity,
        given.images_at_once,
        given.workers,
        pictures=given.format != "json",
        window=given.grey_window,
        instances=given.instances,
        min_area=given.min_area,
    )
    page = (given.output_dir / PAGE).resolve()
    print(f"{len(records)} images explained: {page if given.format == 'page' else page.with_name(DOCUMENT)}")
    if given.format == "page":
        print(f"to see them, open the page in a browser: {page.as_uri()}")
    for failure in failures:
        print(f"failed: {failure['reason']}", file=sys.stderr)
    return 1 if _say_skipped(paths) or failures else 0


def _to_evidence(given: ExplainArguments) -> int:
    paths = find_images(given.images, leave_out=[given.output_dir])
    records, failures = write_evidence(
        _predictor(given, given.device),
        given.model,
        paths,
        given.output_dir,
        Settings(
            given.backend,
            given.precision,
            given.threshold,
            given.keep_aspect_ratio,
            given.tile,
            given.overlap if given.tile else None,
            given.grey_window,
        ),
        expected_classes(given.expected, paths),
    )
    print(f"{len(records)} records: {(given.output_dir / 'index.html').resolve()}")
    print(f"check them with: pm-vit verify {given.model} {given.output_dir} --images FOLDER")
    for failure in failures:
        print(f"failed: {failure['reason']}", file=sys.stderr)
    return 1 if _say_skipped(paths) or failures else 0


def _say_skipped(paths: FoundImages) -> bool:
    """Print what was skipped in folders. Returns whether there were images among them."""
    if paths.summary:
        print(paths.summary, file=sys.stderr)
    return paths.unread > 0


def _to_parquet(given: ExplainArguments) -> int:
    require("explaining to parquet files", "train", "accelerate", "datasets", "pyarrow")
    from ..data.rows import Rows
    from ..data.sources import open_rows
    from ..inference.parquet import PathRows, explain_rows
    from ..utils.processes import processes

    process = processes(given.device.split(":")[0])
    settings = {
        "model": Path(given.model).name,
        "explain": given.labels or given.top_k,
        **place_settings("source", *([given.data] if given.data else given.images)),
    }
    rows: Rows | PathRows
    unread = False
    if given.data:
        rows = open_rows(given.data, given.split, given.max_samples, given.streaming, label_column=None)
        settings |= {"split": given.split}
    else:
        found = find_images(given.images)
        unread = process.is_main_process and _say_skipped(found)
        rows = PathRows(found)
    counts = explain_rows(
        _predictor(given, str(process.device) if process.num_processes > 1 else given.device),
        rows,
        given.output_dir,
        settings,
        process,
        given.image_column,
        given.threshold,
        given.images_at_once,
        given.workers,
        given.rows_per_shard,
        given.grey_window,
    )
    if process.is_main_process:
        print(f"{counts.rows} images, {counts.rows - counts.failed} explained: {given.output_dir.resolve()}")
        if counts.failed:
            print(f"failed: {counts.failed}; the column 'error' has the reasons", file=sys.stderr)
    return 1 if (counts.failed or unread) and process.is_main_process else 0


def _predictor(given: ExplainArguments, device: str) -> Predictor:
    return open_predictor(
        given.model,
        given.labels or None,
        None if given.labels else given.top_k,
        given.backend,
        given.precision,
        given.compile,
        device,
        given.keep_aspect_ratio,
        TileOptions(given.tile, given.overlap) if given.tile else None,
        given.images_at_once,
    )
