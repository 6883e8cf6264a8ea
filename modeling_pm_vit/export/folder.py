"""Writes a folder that needs onnxruntime only: graphs, `model.json` and an example."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers.image_utils import PILImageResampling

from ..image_processing_pm_vit import PMViTImageProcessor
from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.errors import InputError
from ..utils.extras import require
from ..utils.files import write_json
from .graph import write_fp16, write_fp32, write_int8

FILES = {"fp32": "model.onnx", "fp16": "model_fp16.onnx", "int8": "model_int8.onnx"}


def export_folder(
    model: PMViTForImageClassification,
    processor: PMViTImageProcessor,
    output: Path,
    precisions: Sequence[str] = tuple(FILES),
) -> dict[str, Path]:
    """
    Write the graphs, `model.json` (class names and preprocessing) and `example.py`.

    Args:
        precisions: some of `"fp32"`, `"fp16"` and `"int8"`; fp32 is always written, because the others are made of it.

    Returns:
        The path of each graph.

    Raises:
        MissingExtraError: if the extra `export` is not installed.
        InputError: if a precision is unknown, or the processor does more than resize, scale and normalise.
    """
    unknown = set(precisions) - set(FILES)
    if unknown:
        raise InputError(f"--precision: precisions are {', '.join(FILES)}, got {sorted(unknown)[0]!r}.")
    description = _description(model, processor)
    require("export", "export", "onnx", "onnxruntime", "onnxscript")

    output.mkdir(parents=True, exist_ok=True)
    paths = {name: output / FILES[name] for name in FILES if name == "fp32" or name in precisions}
    write_fp32(model, paths["fp32"])
    for name, write in (("fp16", write_fp16), ("int8", write_int8)):
        if name in paths:
            write(paths["fp32"], paths[name])
    description["files"] = {name: path.name for name, path in paths.items()}
    write_json(output / "model.json", description)
    shutil.copyfile(Path(__file__).with_name("example.py"), output / "example.py")
    return paths


def _description(model: PMViTForImageClassification, processor: PMViTImageProcessor) -> dict[str, Any]:
    simple = processor.do_resize and not processor.do_center_crop and processor.size.height
    simple = simple and processor.resample in (PILImageResampling.BILINEAR, PILImageResampling.BICUBIC)
    if not simple or not processor.do_normalize or abs(processor.rescale_factor * 255 - 1) > 1e-6:
        raise InputError(
            "export supports image processors that resize (bilinear, bicubic) to a fixed height and width, scale to "
            f"[0, 1] and normalise; this processor has size {processor.size}, do_resize {processor.do_resize}, "
            f"do_center_crop {processor.do_center_crop}, resample {processor.resample}, rescale_factor "
            f"{processor.rescale_factor}, do_normalize {processor.do_normalize}."
        )
    return {
        "labels": [model.config.id2label[index] for index in range(model.config.num_labels)],
        "height": processor.size.height,
        "width": processor.size.width,
        "resample": int(processor.resample),  # as Pillow numbers them: 2 bilinear, 3 bicubic
        "mean": list(processor.image_mean),
        "std": list(processor.image_std),
        "patch_size": list(model.vit.embeddings.patch_embeddings.patch_size),
    }
