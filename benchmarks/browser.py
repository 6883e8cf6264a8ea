"""Processor time of the graphs of an export in the runtime of the browser page, in Node.js, on one thread."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from modeling_pm_vit.data.synthetic import synthetic_dataset
from modeling_pm_vit.export import export_folder
from modeling_pm_vit.image_processing_pm_vit import PMViTImageProcessor
from modeling_pm_vit.serving.exported import open_export
from modeling_pm_vit.utils.errors import InputError
from modeling_pm_vit.utils.timing import CPU

from .machine import describe
from .models import SIZES, Size, random_pm_vit

_HERE = Path(__file__).parent
_PACKAGES = _HERE.parent / "hub" / "web"


def measure(quick: bool = False, model: str | None = None) -> dict[str, Any]:
    """
    Args:
        model: folder that `pm-vit export` wrote; by default ViT-S/16 with random weights and 10 classes.

    Returns:
        For each precision `milliseconds_NAME`, the least of six passes of one photograph, and `megabytes_NAME`.

    Raises:
        InputError: if Node.js or the packages of the page are not installed.
    """
    if shutil.which("node") is None or not (_PACKAGES / "node_modules" / "onnxruntime-web").is_dir():
        raise InputError(f"the runtime of the page is missing: run `npm install` in {_PACKAGES} (Node.js 20 or newer).")
    with tempfile.TemporaryDirectory() as folder:
        export = open_export(Path(model) if model else _export(Path(folder), quick))
        files = export.description["files"]
        size, rounds = str(export.description["height"]), "2" if quick else "7"  # the first warms up
        graphs = [f"{name}={file}" for name, file in files.items()]
        script = [str(_HERE / "browser.mjs"), str(_PACKAGES), str(export.folder), size, rounds, *graphs]
        done = subprocess.run(["node", *script], check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        return {
            "machine": describe(CPU) | {"node": found["node"], "onnxruntime-web": found["runtime"]},
            **{f"milliseconds_{name}": min(times[1:]) for name, times in found["milliseconds"].items()},
            **{f"megabytes_{name}": export.graph(name).stat().st_size / 1e6 for name in files},
        }


def _export(folder: Path, quick: bool) -> Path:
    images = synthetic_dataset("test", 1)["image"][:]
    size = Size(192, 4, 3, 0.4) if quick else SIZES["S"]
    # What disagrees is timed too.
    export_folder(random_pm_vit(size, 10), PMViTImageProcessor(), folder, images, least={})
    return folder
