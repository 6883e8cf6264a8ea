"""Writes a folder that needs onnxruntime only: graphs, `model.json` and an example."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from transformers.image_utils import PILImageResampling

from ..backbone_pm_vit import pair
from ..configuration_pm_vit import CONFIDENCE_SETTINGS
from ..image_processing_pm_vit import PMViTImageProcessor
from ..modeling_pm_vit import PMViTForImageClassification
from ..serving.exported import DESCRIPTION, GRAPHS, find_export, open_export
from ..utils.errors import InputError
from ..utils.extras import require
from ..utils.files import write_json
from ..utils.fingerprint import fingerprint
from .agreement import MIN_AGREEMENT, measure_agreement, shortfalls
from .graph import write_fp16, write_fp32, write_int8
from .transformers_js import write_configs

# As transformers.js names them.
FILES = {"fp32": "model.onnx", "fp16": "model_fp16.onnx", "int8": "model_quantized.onnx"}
_WRITE = {"fp16": write_fp16, "int8": write_int8}


def export_folder(
    model: PMViTForImageClassification,
    processor: PMViTImageProcessor,
    output: Path,
    images: Sequence[Image.Image],
    precisions: Sequence[str] = tuple(FILES),
    least: Mapping[str, float] = MIN_AGREEMENT,
) -> dict[str, dict[str, Any]]:
    """
    Write the graphs that agree with the model, with `model.json` (class names, preprocessing, and how well each graph
    agrees) and `example.py`, in the sub-folder `onnx`, and beside it the configuration for transformers.js.

    Args:
        images: photographs on which each graph is compared with the model, at least one.
        precisions: some of `"fp32"`, `"fp16"` and `"int8"`; fp32 is always written, because the others are made of it.
        least: values of [`measure_agreement`] from which a graph is written.

    Returns:
        For each precision what [`measure_agreement`] returns, `megabytes`, and `problems`: why the graph was not
        written, empty if it was. If fp32 has problems, nothing is written.

    Raises:
        MissingExtraError: if the extra `export` is not installed.
        InputError: if there is no image, a precision is unknown, the processor does more than resize, scale and
            normalise, or the patch size does not divide its size.
    """
    unknown = set(precisions) - set(FILES)
    if unknown:
        raise InputError(f"--precision: precisions are {', '.join(FILES)}, got {sorted(unknown)[0]!r}.")
    if not images:
        raise InputError("--images: there is no image to compare the graphs on.")
    description = _description(model, processor)
    require("export", "export", "onnx", "onnxruntime", "onnxscript")
    import onnx

    output.mkdir(parents=True, exist_ok=True)
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix=".export-", dir=output) as temporary:
        graphs = {name: Path(temporary) / FILES[name] for name in FILES if name == "fp32" or name in precisions}
        for name, path in graphs.items():
            if name == "fp32":
                write_fp32(model, path, (processor.size.height, processor.size.width))
            else:
                _WRITE[name](graphs["fp32"], path)
            onnx.checker.check_model(path, full_check=True)
            measured = measure_agreement(model, processor, path, images)
            size, problems = path.stat().st_size / 1e6, shortfalls(measured, least)
            found[name] = measured | {"megabytes": size, "problems": problems}
            if name == "fp32" and found[name]["problems"]:
                return found
        kept = [name for name in graphs if not found[name]["problems"]]
        _remove_earlier(output)
        target = output / GRAPHS
        target.mkdir(exist_ok=True)
        for name in kept:
            graphs[name].replace(target / FILES[name])
    description["weights"] = fingerprint(model)
    description["files"] = {name: FILES[name] for name in kept}
    description["agreement"] = {
        name: {key: value for key, value in found[name].items() if key not in ("megabytes", "problems")}
        | {"images": len(images), "sha256": _sha256(target / FILES[name])}
        for name in kept
    }
    shutil.copyfile(Path(__file__).with_name("example.py"), target / "example.py")
    write_configs(model, processor, output, kept)
    write_json(target / DESCRIPTION, description)
    return found


def _remove_earlier(folder: Path) -> None:
    """Remove the graphs of an earlier export, also of an older version, which wrote them into the folder itself."""
    while place := find_export(folder):
        files = json.loads((place / DESCRIPTION).read_text(encoding="utf-8")).get("files") or {}
        for name in (DESCRIPTION, "example.py", *files.values()):
            (place / name).unlink(missing_ok=True)


def problems_of_export(folder: Path, model: PMViTForImageClassification) -> list[str]:
    """
    Why an exported folder should not be published with a model: it is of other weights, or has graphs that do not agree
    with the model, were not compared with it, or were changed since. Empty: nothing.
    """
    export = open_export(folder)
    folder, description = export.folder, export.description
    files, agreement = description.get("files") or {}, description.get("agreement") or {}
    if description.get("weights") != fingerprint(model):
        return ["it was not exported from these weights, or before they were calibrated"]
    problems = [] if "fp32" in files else [f"{DESCRIPTION} names no graph in fp32"]
    for name, file in files.items():
        measured = agreement.get(name)
        if not (folder / file).is_file():
            problems.append(f"{file} is missing")
        elif measured is None or measured.get("sha256") != _sha256(folder / file):
            problems.append(f"{file} was not compared with the model, or was changed since")
        else:
            problems += [f"{file} does not agree with the model: {reason}" for reason in shortfalls(measured)]
    stray = sorted({path.name for path in folder.rglob("*.onnx")} - set(files.values()))
    return problems + [f"{name} is not named in {DESCRIPTION}" for name in stray]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _description(model: PMViTForImageClassification, processor: PMViTImageProcessor) -> dict[str, Any]:
    simple = processor.do_resize and not processor.do_center_crop and not processor.do_pad and processor.size.height
    simple = simple and processor.resample in (PILImageResampling.BILINEAR, PILImageResampling.BICUBIC)
    if not simple or not processor.do_normalize or abs(processor.rescale_factor * 255 - 1) > 1e-6:
        raise InputError(
            "export supports image processors that resize (bilinear, bicubic) to a fixed height and width, scale to "
            f"[0, 1] and normalise; this processor has size {processor.size}, do_resize {processor.do_resize}, "
            f"do_center_crop {processor.do_center_crop}, do_pad {processor.do_pad}, resample {processor.resample}, "
            f"rescale_factor {processor.rescale_factor}, do_normalize {processor.do_normalize}."
        )
    patch_size = list(pair(model.config.patch_size))
    if processor.size.height % patch_size[0] or processor.size.width % patch_size[1]:
        raise InputError(
            f"the processor resizes to {processor.size.height} x {processor.size.width} pixels (height x width), "
            f"which the patch size {patch_size[0]} x {patch_size[1]} does not divide."
        )
    return {
        "labels": [model.config.id2label[index] for index in range(model.config.num_labels)],
        "problem_type": model.config.problem_type,
        "height": processor.size.height,
        "width": processor.size.width,
        "resample": int(processor.resample),  # as Pillow numbers them: 2 bilinear, 3 bicubic
        "mean": list(processor.image_mean),
        "std": list(processor.image_std),
        "patch_size": patch_size,
        **{name: getattr(model.config, name) for name in CONFIDENCE_SETTINGS},
    }
