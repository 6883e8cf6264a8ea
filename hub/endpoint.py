"""The files beside the weights that answer requests: the handler, what it calls, and the container."""

import re
import shutil
from pathlib import Path

import modeling_pm_vit

_HERE, _PACKAGE = Path(__file__).parent, Path(modeling_pm_vit.__file__).parent
_SERVING = {f"serving/{path.name}": path for path in sorted((_PACKAGE / "serving").glob("*.py"))}
_CONTAINER = {f"container/{name}": _HERE / "container" / name for name in ("Dockerfile", "requirements.txt")}
_TORCH = ("pillow>=11", "torch>=2.11", "transformers>=5.23")
# The server behind handlers has numpy, Pillow and a transformers of its own, which must stay as it is.
_ONNX = ("numpy", "onnxruntime>=1.32", "pillow>=11")


def endpoint_files(with_graphs: bool) -> dict[str, Path]:
    """The files of the package that are published, by their place in the repository. The container needs graphs."""
    return {"handler.py": _HERE / "handler.py"} | _SERVING | (_CONTAINER if with_graphs else {})


def stage_endpoint(target: Path, with_graphs: bool, with_timm: bool = False) -> None:
    """
    Copy them to a folder that has the weights, or graphs in `onnx`, and write what the handler needs to install.

    Args:
        with_timm: the backbone is one of timm.
    """
    for name, path in endpoint_files(with_graphs).items():
        (target / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target / name)
    needed = _ONNX if with_graphs else torch_requirements(with_timm)
    (target / "requirements.txt").write_text("".join(f"{package}\n" for package in needed))


def torch_requirements(with_timm: bool) -> tuple[str, ...]:
    """What the weights need to run."""
    return _TORCH + ("timm",) * with_timm


def unpinned_base() -> str | None:
    """The base image of the container, if the Dockerfile names no digest of it."""
    (base,) = re.findall(r"^ARG BASE=(\S+)$", _CONTAINER["container/Dockerfile"].read_text(), re.MULTILINE)
    return None if "@sha256:" in base else str(base)
