"""The Spaces of a published model: the browser page as a static Space, and the Gradio app for ZeroGPU."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from modeling_pm_vit import PMViTConfig
from modeling_pm_vit.backbone_pm_vit import is_of_timm
from modeling_pm_vit.utils.errors import InputError, PMViTError

from .arguments import PublishArguments
from .companions import UNKNOWN, Companion, hashes_of_graphs

_HERE = Path(__file__).parent
_WEB, _APP = _HERE / "web", _HERE / "space"
_PHOTOGRAPHS = _HERE.resolve().parent / "examples"  # of a clone; an installed package has none
_CREDIT = """\
The example photographs are CC0, from scikit-image: a cat by Stefan van der Walt, a cup of coffee by Rachel Michetti,
and a collage of both. They are not of the data of the model."""
_SOURCES = ("index.html", "style.css", "build.mjs", "package.json", "package-lock.json", "src")  # of the page
_SMALL = {"onnx", "images", "container"}  # folders of a model's repository that the app does not load


def require_node() -> None:
    """
    Raises:
        InputError: if the programs that build the page are not installed.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise InputError(f"--static_space builds the page with {program}: install Node.js 20 or newer.")


def stage_static_space(arguments: PublishArguments, repository: Path, target: Path) -> Companion:
    """
    Build the page of `hub/web` with the graphs of a published model, in a folder that any static server can serve: it
    loads nothing from elsewhere.

    Args:
        repository: the folder of the model that is published, with graphs.
        target: a new folder.

    Raises:
        PMViTError: if the page cannot be built.
    """
    assert arguments.static_space is not None
    with tempfile.TemporaryDirectory(prefix="pm-vit-web-") as temporary:
        web = _WEB
        if not (web / "node_modules").is_dir():  # not in a clone where `npm install` was run
            web = Path(temporary)
            for name in _SOURCES:
                copy: Any = shutil.copytree if (_WEB / name).is_dir() else shutil.copyfile
                copy(_WEB / name, web / name)
            install = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
            _run(["npm", "--prefix", str(web), *install], "the packages of the page cannot be installed")
        build = ["node", str(web / "build.mjs"), str(repository), str(target)]
        _run(build, "the page cannot be built")
    headers = {
        "cross-origin-embedder-policy": "require-corp",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "cross-origin",
    }
    settings = {"sdk": "static", "app_file": "index.html", "custom_headers": headers}
    graphs = json.loads((target / "model" / "model.json").read_text("utf-8"))
    text = "The model runs in the browser, and no photograph leaves it. The page loads only files of this Space."
    _write_readme(arguments, target, settings, [text, "", *hashes_of_graphs(graphs)])
    return Companion(target, arguments.static_space, "static")


def stage_gradio_space(arguments: PublishArguments, repository: Path, target: Path) -> Companion:
    """
    Copy the app of `hub/space` with the example images of a published model, by default the photographs of the project,
    and pin it to the commit: the Hub puts the files of the model into the Space when it builds it, so that nothing is
    loaded when it starts.

    Args:
        repository: the folder of the model that is published.
        target: a new folder.
    """
    assert arguments.gradio_space is not None
    target.mkdir(parents=True)
    for name in ("app.py", "explanation.py", "requirements.txt"):
        shutil.copyfile(_APP / name, target / name)
    if is_of_timm(PMViTConfig.from_pretrained(repository)):
        with (target / "requirements.txt").open("a") as file:
            file.write("timm\n")
    (target / "model.json").write_text(json.dumps({"model": arguments.repo_id, "revision": UNKNOWN}) + "\n")
    own = sorted((repository / "images").glob("[0-9]*.png"))
    examples = own or sorted(_PHOTOGRAPHS.glob("*.jpg"))
    for path in examples:
        (target / "examples").mkdir(exist_ok=True)
        shutil.copyfile(path, target / "examples" / path.name)
    names = sorted(path.relative_to(repository) for path in repository.rglob("*") if path.is_file())
    loaded = ",".join(str(name) for name in names if name.parts[0] not in _SMALL and not name.parts[0].startswith("."))
    settings = front_matter(_APP / "README.md") | {"preload_from_hub": [f"{arguments.repo_id} {loaded} {UNKNOWN}"]}
    text = "Shows which classes a photograph contains and where they are. It runs on ZeroGPU, on a GPU or on a CPU."
    _write_readme(arguments, target, settings, [text] if own or not examples else [text, "", _CREDIT])
    return Companion(target, arguments.gradio_space, "gradio")


def front_matter(readme: Path) -> dict[str, Any]:
    """The settings of a Space at the top of its `README.md`."""
    settings: dict[str, Any] = yaml.safe_load(readme.read_text("utf-8").split("---\n")[1])
    return settings


def _write_readme(arguments: PublishArguments, target: Path, settings: dict[str, Any], text: Sequence[str]) -> None:
    name = arguments.repo_id.rpartition("/")[2]
    first = {"title": name, "emoji": "🍃", "colorFrom": "yellow", "colorTo": "gray"}
    last = {"license": arguments.license, "models": [arguments.repo_id], "tags": ["pm-vit", "explainability"]}
    metadata = yaml.safe_dump(settings | first | last, sort_keys=False, allow_unicode=True)
    source = f"Model: `{arguments.repo_id}`, {arguments.tag}, commit `{UNKNOWN}`."
    (target / "README.md").write_text("\n".join([f"---\n{metadata}---\n", *text, "", source, ""]), "utf-8")


def _run(command: Sequence[str], problem: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()[-5:]
        raise PMViTError(f"--static_space: {problem}: {'; '.join(lines)}")
