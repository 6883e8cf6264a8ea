"""The files of an endpoint: they are complete, run without torch, and the container pins what it installs."""

import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from modeling_pm_vit.hub import endpoint
from modeling_pm_vit.hub.endpoint import endpoint_files
from tests.test_imports import ROOT, imported

FILES = endpoint_files(with_graphs=True)
DOCKERFILE = FILES["container/Dockerfile"].read_text()
PINNED = FILES["container/requirements.txt"].read_text()


def copied() -> set[str]:
    """What the Dockerfile copies."""
    return {name for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()}


def files_of_the_server() -> set[Path]:
    """The modules of `serving`, and what these import of the package, and so on."""
    found: set[Path] = set()
    waiting = sorted((ROOT / "modeling_pm_vit" / "serving").glob("*.py"))
    while waiting:
        file = waiting.pop()
        found.add(file)
        for module in imported(file):
            parts = module.split(".")
            for name in (parts, parts[:-1]):
                path = ROOT.joinpath(*name).with_suffix(".py")
                if parts[0] == "modeling_pm_vit" and path.is_file() and path not in found:
                    waiting.append(path)
    return found


def test_the_container_gets_what_the_server_imports():
    beside = {path.name for path in files_of_the_server() if path.parent.name != "serving"}
    assert {"image_loading_pm_vit.py", "maps_pm_vit.py"} < beside
    assert all(name.endswith("_pm_vit.py") for name in beside)
    assert copied() == {"container/requirements.txt", "*_pm_vit.py", "serving", "onnx"}


def test_the_server_imports_nothing_but_its_dependencies():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    names = {re.split(r"\W", wanted)[0].replace("pillow", "PIL") for wanted in extras["serve"]}
    allowed = {"fastapi", "numpy", "onnxruntime", "PIL", "uvicorn", "prometheus_client", "starlette", "pydicom"}
    assert {"fastapi", "numpy", "onnxruntime", "PIL", "prometheus", "uvicorn"} == names
    for file in files_of_the_server():
        foreign = {module.partition(".")[0] for module in imported(file)} - {*sys.stdlib_module_names}
        # torch is named where types are checked only
        assert foreign <= allowed | {"modeling_pm_vit", "torch"}, file


def test_the_container_pins_every_package_by_hash():
    pinned = dict(re.findall(r"^([\w-]+)==(\S+) \\$", PINNED, re.MULTILINE))
    entries = re.findall(r"^\S+==\S+ \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+", PINNED, re.MULTILINE)
    assert len(entries) == len(pinned) == len(re.findall(r"^[^ #]", PINNED, re.MULTILINE))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for wanted in map(Requirement, extras["serve"]):
        assert wanted.specifier.contains(pinned[wanted.name.replace("-", "_")]), wanted
    assert not {"torch", "transformers"} & set(pinned)


def test_the_base_image_is_pinned_by_its_digest_or_said_to_be_unpinned(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("lock_container", ROOT / ".ci" / "lock_container.py")
    lock_container = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lock_container)
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(re.sub(r"^(ARG BASE=[^@\s]+)\S*", r"\1", DOCKERFILE, flags=re.MULTILINE))
    monkeypatch.setitem(endpoint._CONTAINER, "container/Dockerfile", dockerfile)
    assert endpoint.unpinned_base() == "python:3.13-slim-bookworm"
    for digest in ("sha256:" + "a" * 64, "sha256:" + "b" * 64):
        lock_container.pin_base(dockerfile, digest)
        assert f"ARG BASE=python:3.13-slim-bookworm@{digest}\nFROM" in dockerfile.read_text()
        assert endpoint.unpinned_base() is None
    with pytest.raises(SystemExit, match="expected sha256:"):
        lock_container.pin_base(dockerfile, "latest")


@pytest.mark.parametrize("statement", ["USER 10001:10001", "HEALTHCHECK", "--require-hashes", "--check"])
def test_the_container_is_not_root_and_checks_itself(statement):
    assert statement in DOCKERFILE
