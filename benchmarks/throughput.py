"""Many photographs, from JPEG files to JSON, a page or parquet: against the stock pipeline, in its several ways."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
import torch
from accelerate import PartialState
from tqdm import tqdm
from transformers import ViTImageProcessor, pipeline

from modeling_pm_vit.data.synthetic import synthetic_dataset
from modeling_pm_vit.evaluation.cost import vit_baseline
from modeling_pm_vit.image_processing_pm_vit import PMViTImageProcessor
from modeling_pm_vit.inference import OnnxPredictor, Predictor, TorchPredictor, explain_files, find_images
from modeling_pm_vit.inference.parquet import PathRows, explain_rows
from modeling_pm_vit.inference.photographs import read_photograph
from modeling_pm_vit.inference.predictor import predict
from modeling_pm_vit.metrics.overlap import intersection_over_union
from modeling_pm_vit.modeling_pm_vit import PMViTForImageClassification
from modeling_pm_vit.utils.timing import CPU, reverse, summarize, take_turns

from .machine import describe
from .models import SIZES, Size, random_pm_vit

WAYS = ("fp32", "bf16", "compiled", "compiled-bf16", "onnx-fp32", "onnx-int8")
_BATCH = 8


def measure(
    quick: bool = False, model: str | None = None, images: Sequence[str] = (), ways: Sequence[str] = ()
) -> dict:
    """
    Args:
        model: folder of a PM-ViT; by default ViT-S/16 with random weights (of which no agreement is told).
        images: files, folders or patterns; by default 500 x 375 JPEGs of the built-in set.
        ways: of `WAYS`; by default all, with `quick` those that need not be compiled.

    Returns:
        `pairs`: how many times as many images a second each way makes as the stock `pipeline("image-classification")`,
        called with one file after the other; `parquet/2-processes`, two of one thread each in one's images a second.
        `agreement`: `top1` and `mask_iou` (masks at the size that the model sees, two empty ones count as 1) of the
        most probable class, relative to the model in float32 with whole JPEGs. `bytes_per_image` in
        parquet; `memory_growth_bytes` and `seconds` per image, slopes over the images of a long run.
    """
    figures = {"machine": describe(CPU), "pairs": {}, "agreement": {}}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        loaded, processor = _model(quick, model)
        loaded.save_pretrained(place / "model"), processor.save_pretrained(place / "model")
        count = 8 if quick else 16
        files = find_images(images) if images else _write_jpegs(place / "photographs", count)
        paths = files[:: max(1, len(files) // count)][:count]
        chosen = _ways(loaded, processor, place, ways or [way for way in WAYS if not quick or "compiled" not in way])
        plain = vit_baseline(loaded)
        # The plain twin's processor is upstream's; the pipeline then is what any user of a ViT would run.
        stock = pipeline("image-classification", model=plain, image_processor=_stock_processor(processor))
        calls = {
            f"json/{name}": lambda way=way: explain_files(way, paths, place / "out", batch_size=_BATCH, pictures=False)
            for name, way in chosen.items()
        }
        for name in {"fp32", "bf16"} & chosen.keys():
            way = chosen[name]
            calls[f"page/{name}"] = lambda way=way: explain_files(way, paths, place / "out", batch_size=_BATCH)
        for name, call in tqdm(calls.items(), desc="throughput"):
            call()
            rounds = take_turns(call, lambda: [stock(str(path)) for path in paths], 2 if quick else 5)
            figures["pairs"][name] = reverse(summarize(rounds))
        if model:
            seen = files[:: max(1, len(files) // (2 * count))] if quick else files
            expected = classes_and_masks(TorchPredictor(loaded, processor), seen, keep_image=True)
            for name, way in chosen.items():
                figures["agreement"][name] = agreement(classes_and_masks(way, seen, keep_image=False), expected)
        figures["pairs"]["parquet/2-processes"] = _two_processes(place, paths, 1 if quick else 3)
        figures |= growth(place, paths, 300 if quick else 4000)
    return figures


def _model(quick: bool, folder: str | None) -> tuple[PMViTForImageClassification, PMViTImageProcessor]:
    if folder:
        return PMViTForImageClassification.from_pretrained(folder).eval(), PMViTImageProcessor.from_pretrained(folder)
    return random_pm_vit(Size(192, 4, 3, 0.4) if quick else SIZES["S"], 1000), PMViTImageProcessor()


def _ways(model, processor: PMViTImageProcessor, place: Path, chosen: Sequence[str]) -> dict[str, Predictor]:
    if any(way.startswith("onnx") for way in chosen):
        from modeling_pm_vit.export import export_folder

        export_folder(model, processor, place / "onnx", ["int8"])
    ways = {}
    for way in chosen:
        if way.startswith("onnx"):
            ways[way] = OnnxPredictor(place / "onnx", way.removeprefix("onnx-"))
        else:
            dtype = torch.bfloat16 if way.endswith("bf16") else torch.float32
            loaded = PMViTForImageClassification.from_pretrained(place / "model", dtype=dtype)
            ways[way] = TorchPredictor(loaded, processor, compiled=way.startswith("compiled"))
    return ways


def _stock_processor(processor: PMViTImageProcessor) -> ViTImageProcessor:
    size = {"height": processor.size.height, "width": processor.size.width}
    return ViTImageProcessor(
        size=size, resample=processor.resample, image_mean=processor.image_mean, image_std=processor.image_std
    )


def _write_jpegs(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    for number, row in enumerate(synthetic_dataset("test", count)):
        row["image"].resize((500, 375)).save(folder / f"{number:04d}.jpg", quality=92)
    return find_images([str(folder)])


def classes_and_masks(predictor: Predictor, paths: Sequence[Path], keep_image: bool) -> tuple[np.ndarray, np.ndarray]:
    """`(images,)`, the most probable classes, and their boolean masks `(images, height, width)`."""
    classes, masks = [], []
    for start in range(0, len(paths), _BATCH):
        part = paths[start : start + _BATCH]
        photographs = [read_photograph(path, predictor.image_processor, keep_image) for path in part]
        for photograph, prediction in zip(photographs, predict(predictor, photographs), strict=True):
            size = photograph.pixel_values.shape[1:]
            (found,) = predictor.image_processor.post_process_masks(prediction, [size])
            classes.append(found["label_ids"].item())
            masks.append(found["masks"][0].numpy())
    return np.array(classes), np.stack(masks)


def agreement(found: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    overlaps = intersection_over_union(found[1], expected[1])
    return {
        **{"top1": float((found[0] == expected[0]).mean()), "mask_iou": float(overlaps.mean())},
        **{"mask_iou_least": float(overlaps.min()), "images": len(overlaps)},
    }


_WORKER = """
import sys, torch
from pathlib import Path
from accelerate import PartialState
from modeling_pm_vit.inference import open_predictor
from modeling_pm_vit.inference.parquet import PathRows, explain_rows
torch.set_num_threads(1)
predictor, process = open_predictor(sys.argv[1]), PartialState(cpu=True)
paths = [Path(path) for path in sys.argv[3:]]
explain_rows(predictor, PathRows(paths[:4]), Path(sys.argv[2]) / "warm", {}, process)
for number, line in enumerate(sys.stdin):
    explain_rows(predictor, PathRows(paths), Path(sys.argv[2]) / str(number), {}, process)
    print("done", flush=True)
"""


class _Worker:
    """A process of one thread that explains its files to parquet whenever it is told to."""

    def __init__(self, place: Path, name: str, paths: Sequence[Path]):
        command = [sys.executable, "-c", _WORKER, place / "model", place / name, *paths]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self.process = subprocess.Popen([str(part) for part in command], **pipes)

    def begin(self) -> None:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def wait(self) -> None:
        if self.process.stdout.readline() != "done\n":
            raise RuntimeError("a process that explains files has ended.")

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def _two_processes(place: Path, paths: Sequence[Path], rounds: int) -> dict[str, float]:
    """The same files by one process and by two, on the wall clock."""
    workers = [
        _Worker(place, "all", paths),
        _Worker(place, "first", paths[: len(paths) // 2]),
        _Worker(place, "second", paths[len(paths) // 2 :]),
    ]

    def run(*which: _Worker) -> Callable[[], float]:
        def call() -> float:
            start = time.perf_counter()
            for worker in which:
                worker.begin()
            for worker in which:
                worker.wait()
            return time.perf_counter() - start

        return call

    one, two = run(workers[0]), run(*workers[1:])
    try:
        one(), two()  # all have loaded their model
        times = np.array([(two(), one()) if number % 2 else (one(), two())[::-1] for number in range(rounds)])
    finally:
        for worker in workers:
            worker.close()
    return reverse(summarize(times))


def growth(place: Path, paths: Sequence[Path], count: int) -> dict[str, float]:
    """
    A long run of a small model, so that what else an image costs is seen.

    Args:
        place: folder to write to.
        paths: of photographs, which are taken again and again.
        count: images.

    Returns:
        Slopes over the second half of the images: `memory_growth_bytes` and processor `seconds`; `seconds_first_half`;
        `bytes_per_image` on disk.
    """
    predictor = TorchPredictor(random_pm_vit(Size(48, 1, 1, 0), 1000), PMViTImageProcessor())
    rows, process = PathRows([paths[number % len(paths)] for number in range(count)]), PartialState(cpu=True)
    seen, held, clock = [], [], []

    class Watched(PathRows):
        def __getitem__(self, index: int) -> dict:
            if index % 50 == 0:
                seen.append(index)
                held.append(psutil.Process().memory_info().rss)
                clock.append(time.process_time())
            return super().__getitem__(index)

    output = place / "long"
    explain_rows(predictor, Watched(rows.paths), output, {}, process, rows_per_shard=max(100, count // 10))
    half = len(seen) // 2
    size = sum(path.stat().st_size for path in output.glob("*.parquet"))
    return {
        "long_run_images": count,
        "memory_growth_bytes": float(np.polyfit(seen[half:], held[half:], 1)[0]),
        "seconds": float(np.polyfit(seen[half:], clock[half:], 1)[0]),
        "seconds_first_half": float(np.polyfit(seen[:half], clock[:half], 1)[0]),
        "bytes_per_image": size / count,
    }
