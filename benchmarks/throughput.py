"""Throughput of explaining many JPEG files to JSON, a page or parquet, per backend, against the stock pipeline."""

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
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

from .compiling import compile_seconds
from .machine import describe
from .models import SIZES, Size, random_pm_vit
from .precision import LEAST_GAIN, model_gain, product_gain, share_of
from .processes import Worker, two_over_one

BACKENDS = ("fp32", "bf16", "compiled", "compiled-bf16", "onnx-fp32", "onnx-int8")
_BATCH = 4  # for the agreement, and as `explain_files`


def measure(
    quick: bool = False, model: str | None = None, images: Sequence[str] = (), backends: Sequence[str] = ()
) -> dict:
    """
    Args:
        model: folder of a PM-ViT; by default ViT-S/16 with random weights, without `agreement`.
        images: files, folders or patterns; by default 500 x 375 JPEGs of the built-in dataset.
        backends: names in `BACKENDS`; by default all, with `quick` without the compiled ones.

    Returns:
        `pairs`: images per second of each backend over those of the stock `pipeline("image-classification")`, called
        file by file, with the [`compile_seconds`] of compiled ones; `parquet/2-processes`: images per second of two
        processes of one thread each over those of one.
        What the machine can do, and these over it (`.../of-machine`): `machine/bf16-product`, the speed of a matrix
        product in bfloat16 over that in float32; `machine/bf16`, that of the plain model; `machine/2-processes`, that
        of two processes that multiply matrices over one. Where the product gains less than half in bfloat16, the
        machine has no instructions for it, and its backends are `skipped`.
        `agreement` for the most probable class: `top1` and `mask_iou` (masks at the model's input size; two empty ones
        count as 1), relative to the model in float32 with fully decoded JPEGs. `bytes_per_image` in parquet;
        `memory_growth_bytes` and `seconds` per image, slopes over the images of a long run.
    """
    results = {"machine": describe(CPU), "pairs": {}, "agreement": {}, "skipped": {}}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        loaded, processor = _model(model)
        loaded.save_pretrained(place / "model"), processor.save_pretrained(place / "model")
        count = 8 if quick else 16
        files = find_images(images) if images else write_jpegs(place / "photographs", count)
        paths = files[:: max(1, len(files) // count)][:count]
        names = list(backends) or [name for name in BACKENDS if not quick or "compiled" not in name]
        size = processor.size.height, processor.size.width
        tokens = size[0] * size[1] // loaded.config.patch_size**2 + 1
        limits = {"machine/bf16-product": product_gain(loaded.config.hidden_size, tokens)}
        if limits["machine/bf16-product"]["ratio"] < LEAST_GAIN:
            gain = limits["machine/bf16-product"]["ratio"]
            results["skipped"] = {
                f"{kind}/{name}": f"this machine multiplies matrices in bfloat16 {gain:.2f} times as fast"
                for name in names
                for kind in ("json", "page")
                if name.endswith("bf16")
            }
            names = [name for name in names if not name.endswith("bf16")]
        predictors = _predictors(loaded, processor, place, names)
        plain = vit_baseline(loaded)
        if "bf16" in names:
            limits["machine/bf16"] = model_gain(plain, size)
        # With the processor of transformers too, this is the pipeline that any user of a ViT runs.
        stock = pipeline("image-classification", model=plain, image_processor=_stock_processor(processor))
        settings = {"paths": paths, "output": place / "out"}
        calls = {
            f"json/{name}": partial(explain_files, predictor, **settings, pictures=False)
            for name, predictor in predictors.items()
        }
        for name in {"fp32", "bf16"} & predictors.keys():
            calls[f"page/{name}"] = partial(explain_files, predictors[name], **settings)
        batch = torch.zeros(_BATCH, 3, *size)
        for name, call in tqdm(calls.items(), desc="throughput"):
            predictor = predictors[name.split("/")[1]]
            compiled = name.startswith("json/compiled")
            more = {"compile_seconds": compile_seconds(partial(predictor, batch), CPU)} if compiled else {}
            call()
            rounds = take_turns(call, lambda: [stock(str(path)) for path in paths], 2 if quick else 5)
            results["pairs"][name] = reverse(summarize(rounds)) | more
        if model:
            seen = files[:: max(1, len(files) // (2 * count))] if quick else files
            expected = classes_and_masks(TorchPredictor(loaded, processor), seen, keep_image=True)
            for name, predictor in predictors.items():
                results["agreement"][name] = agreement(classes_and_masks(predictor, seen, keep_image=False), expected)
        results["pairs"] |= limits
        for name in ("json/bf16", "page/bf16") if "bf16" in names else ():
            results["pairs"][f"{name}/of-machine"] = share_of(results["pairs"][name], limits["machine/bf16"])
        results["pairs"] |= _two_processes(place, paths, 3 if quick else 5)
        results |= growth(place, paths, 300 if quick else 4000)
    return results


def _model(folder: str | None) -> tuple[PMViTForImageClassification, PMViTImageProcessor]:
    if folder:
        return PMViTForImageClassification.from_pretrained(folder).eval(), PMViTImageProcessor.from_pretrained(folder)
    return random_pm_vit(SIZES["S"], 1000), PMViTImageProcessor()


def _predictors(
    model: PMViTForImageClassification, processor: PMViTImageProcessor, place: Path, backends: Sequence[str]
) -> dict[str, Predictor]:
    if any(name.startswith("onnx") for name in backends):
        from modeling_pm_vit.export import export_folder

        images = synthetic_dataset("test", 1)["image"][:]
        export_folder(model, processor, place / "onnx", images, ["int8"], least={})  # what disagrees is timed too
    predictors: dict[str, Predictor] = {}
    for name in backends:
        if name.startswith("onnx"):
            predictors[name] = OnnxPredictor(place / "onnx", name.removeprefix("onnx-"))
        else:
            dtype = torch.bfloat16 if name.endswith("bf16") else torch.float32
            loaded = PMViTForImageClassification.from_pretrained(place / "model", dtype=dtype)
            predictors[name] = TorchPredictor(loaded, processor, compiled=name.startswith("compiled"))
    return predictors


def _stock_processor(processor: PMViTImageProcessor) -> ViTImageProcessor:
    size = {"height": processor.size.height, "width": processor.size.width}
    return ViTImageProcessor(
        size=size, resample=processor.resample, image_mean=processor.image_mean, image_std=processor.image_std
    )


def write_jpegs(folder: Path, count: int) -> list[Path]:
    """Photographs of 500 x 375 pixels of the built-in dataset."""
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


def _two_processes(place: Path, paths: Sequence[Path], rounds: int) -> dict[str, dict]:
    """Of the same files, explained to parquet by one process and by two."""

    def start(name: str, part: Sequence[Path]) -> Callable[[], Worker]:
        return lambda: Worker(_WORKER, [place / "model", place / name, *part])

    half = len(paths) // 2
    return two_over_one(start("all", paths), [start("first", paths[:half]), start("second", paths[half:])], rounds)


def growth(place: Path, paths: Sequence[Path], count: int) -> dict[str, float]:
    """
    A long run of a small model, which shows the other costs of an image.

    Args:
        place: folder to write to.
        paths: of photographs, used repeatedly.
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
