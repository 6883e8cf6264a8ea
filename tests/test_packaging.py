"""What is shipped, and what is said about it elsewhere, agree with the repository."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import modeling_pm_vit

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_listed():
    folders = {ROOT / "hub", *(path.parent for path in (ROOT / "modeling_pm_vit").rglob("*.py"))}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    names = {"modeling_pm_vit.hub" if name == "hub" else name for name in names}
    assert names == set(PROJECT["tool"]["setuptools"]["packages"])
    assert all((folder / "__init__.py").is_file() for folder in folders)


def test_the_version_is_the_same_everywhere():
    version = modeling_pm_vit.__version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    sections = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[:2] == ["Unreleased", version]


def test_every_python_version_that_is_tested_is_declared():
    declared = [name.rpartition(" :: ")[2] for name in PROJECT["project"]["classifiers"] if ":: 3." in name]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert workflow["jobs"]["versions"]["strategy"]["matrix"]["python"] == declared
    assert PROJECT["project"]["requires-python"] == f">={declared[0]}"


def test_the_workflows_call_targets_that_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in [*(ROOT / ".github").rglob("*.yml"), ROOT / ".ci" / "run", ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"(?:run: |^|`)make ([\w-]+)", path.read_text(), re.MULTILINE):
            assert target in targets | {"test-"}, f"{path}: make {target}"  # test-${{ matrix.versions }}


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"])
def test_relative_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / name).read_text()):
        assert "://" in target or (ROOT / target).exists(), target


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> set[str]:
    """The files of the wheel, built from a copy of what git has."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    source.mkdir()
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for file in filter(None, files.split("\0")):
        if file.startswith(("modeling_pm_vit/", "hub/", "benchmarks/", "experiments/", "tests/")) or "/" not in file:
            target = source / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / file).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place, source]
    subprocess.run(command, check=True, capture_output=True)
    with zipfile.ZipFile(next(place.glob("*.whl"))) as file:
        return set(file.namelist())


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    information = f"pm_vit-{modeling_pm_vit.__version__}.dist-info"
    assert {name.split("/")[0] for name in wheel} == {"modeling_pm_vit", information}
    assert not [name for name in wheel if {"benchmarks", "experiments", "tests"} & set(name.split("/"))]


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_the_files_beside_them(wheel):
    for path in (ROOT / "modeling_pm_vit").rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert path.relative_to(ROOT).as_posix() in wheel
    for path in [*(ROOT / "hub").glob("*"), *(ROOT / "hub" / "space").glob("*"), *(ROOT / "hub" / "web").glob("*")]:
        if path.suffix in (".py", ".md", ".txt", ".css", ".html", ".json", ".mjs"):
            assert f"modeling_pm_vit/{path.relative_to(ROOT).as_posix()}" in wheel
    for path in (ROOT / "hub" / "web" / "src").glob("*"):
        assert f"modeling_pm_vit/hub/web/src/{path.name}" in wheel
    assert not [name for name in wheel if "node_modules" in name]
