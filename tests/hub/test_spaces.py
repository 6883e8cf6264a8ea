"""The Spaces that are published with a model: their files and settings, and the page in a browser."""

import json
import re
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version
from PIL import Image

from modeling_pm_vit.hub.publish import publish
from modeling_pm_vit.hub.release import WRITTEN
from modeling_pm_vit.hub.spaces import front_matter
from modeling_pm_vit.utils.errors import InputError
from tests.hub.browser import CHROMIUM, file_server, open_page
from tests.hub.conftest import REPOSITORY

ROOT = Path(__file__).parents[2]
STATIC, GRADIO = "birds/page", "birds/app"
ZERO_GPU = {
    "torch": ["2.8.0", "2.9.1", "2.10.0", "2.11.0"],
    "python": ["3.10.13", "3.12.12"],
}  # docs/hub/spaces-zerogpu


@pytest.fixture
def no_build(monkeypatch):
    """In place of Node.js: a page without its runtime."""

    def run(command, problem):
        target = Path(command[3])
        shutil.copytree(Path(command[2]) / "onnx", target / "model")
        (target / "index.html").write_text("<p>page")

    monkeypatch.setattr("modeling_pm_vit.hub.spaces._run", run)
    monkeypatch.setattr("modeling_pm_vit.hub.checks.require_node", lambda: None)


@pytest.mark.usefixtures("fast_load", "no_build")
def test_both_spaces_are_published_with_the_commit_of_the_model(hub, api, arguments, capsys):
    arguments = replace(arguments, static_space=STATIC, gradio_space=GRADIO)
    commit = publish(arguments, api)
    assert hub.sdks == {f"spaces/{STATIC}": ("static", None), f"spaces/{GRADIO}": ("gradio", "zero-a10g")}
    head = hub.repositories[REPOSITORY].commits[commit]
    for name in (STATIC, GRADIO):
        space = hub.repositories[f"spaces/{name}"]
        files = space.commits[space.refs["main"]]
        settings = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
        assert settings["models"] == [REPOSITORY]
        assert settings["license"] == "cc-by-nc-4.0"
        assert f"commit `{commit}`" in files["README.md"].decode()
        assert all(WRITTEN.fullmatch(path) for path in files if path != ".gitattributes")
        assert f"{api.endpoint}/spaces/{name}: commit {space.refs['main']}" in capsys.readouterr().out or name == GRADIO
    assert json.loads(files["model.json"]) == {"model": REPOSITORY, "revision": commit}
    assert files["examples/1.png"] == head["images/1.png"]
    (preloaded,) = settings["preload_from_hub"]
    repository, names, revision = preloaded.split(" ")
    assert (repository, revision) == (REPOSITORY, commit)
    assert {"model.safetensors", "config.json", "modeling_pm_vit.py"} <= set(names.split(",")) <= set(head)

    before = {name: dict(found.refs) for name, found in hub.repositories.items()}
    assert publish(arguments, api) == commit  # the same again changes nothing
    assert {name: dict(found.refs) for name, found in hub.repositories.items()} == before


@pytest.mark.usefixtures("fast_load", "no_build")
def test_dry_run_leaves_what_would_be_uploaded_to_look_at(hub, arguments, tmp_path, capsys):
    arguments = replace(arguments, static_space=STATIC, dry_run=True, output_dir=tmp_path / "look")
    assert publish(arguments) is None
    assert f"the files are in {tmp_path / 'look'} (the commit of the model is all zeros" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "look").iterdir()} == {"repository", "static-space"}
    page = tmp_path / "look" / "static-space"
    assert front_matter(page / "README.md")["sdk"] == "static"
    graph = json.loads((page / "model" / "model.json").read_text())["agreement"]["fp32"]["sha256"]
    assert f"`model.onnx`: SHA-256 {graph}" in (page / "README.md").read_text()
    assert hub.requests == []
    with pytest.raises(InputError, match=r"--output_dir: .* is not empty"):
        publish(arguments)


@pytest.mark.usefixtures("fast_load")
def test_the_app_of_a_model_without_examples_gets_the_photographs_of_the_project(arguments, tmp_path):
    for names, given in ((["1.png"], arguments.examples), (["cat-and-coffee.jpg", "cat.jpg", "coffee.jpg"], [])):
        look = tmp_path / str(len(names))
        publish(replace(arguments, examples=given, gradio_space=GRADIO, dry_run=True, output_dir=look))
        space = look / "gradio-space"
        assert sorted(path.name for path in (space / "examples").iterdir()) == names
        assert ("CC0" in (space / "README.md").read_text()) == (given == [])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"static_space": STATIC, "onnx": None}, "--static_space needs --onnx"),
        ({"onnx_repo": "birds/pm-vit-ONNX", "onnx": None}, "--onnx_repo needs --onnx"),
        ({"static_space": "page"}, "--static_space: expected user/name, got 'page'"),
        ({"gradio_space": "a/b/c"}, "--gradio_space: expected user/name, got 'a/b/c'"),
    ],
)
def test_wrong_arguments_are_refused(hub, api, arguments, change, message):
    with pytest.raises(InputError, match=message):
        publish(replace(arguments, **change), api)
    assert hub.requests == []


def test_node_is_asked_for_before_anything_is_done(hub, api, arguments, monkeypatch):
    monkeypatch.setattr("modeling_pm_vit.hub.spaces.shutil.which", lambda program: None)
    with pytest.raises(InputError, match=r"--static_space builds the page with node: install Node\.js"):
        publish(replace(arguments, static_space=STATIC), api)
    assert hub.requests == []


def test_the_app_asks_for_versions_that_zero_gpu_has_and_the_package_allows():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    allowed = {Requirement(line).name: Requirement(line).specifier for line in project["dependencies"]}
    asked = (ROOT / "hub" / "space" / "requirements.txt").read_text().splitlines()
    asked = {Requirement(line).name: Requirement(line).specifier for line in asked if not line.startswith("#")}
    (torch,) = asked["torch"]
    assert torch.operator == "==" and torch.version in ZERO_GPU["torch"]
    assert torch.version in allowed["torch"]
    assert asked["transformers"] == allowed["transformers"]
    settings = front_matter(ROOT / "hub" / "space" / "README.md")
    assert settings["python_version"] in ZERO_GPU["python"]
    assert settings["python_version"] in Requirement(f"python{project['requires-python']}").specifier
    (gradio,) = project["optional-dependencies"]["space"]
    assert Version(settings["sdk_version"]) in Requirement(gradio).specifier


@pytest.mark.slow
def test_the_folder_of_the_static_space_is_a_page_that_needs_nothing_else(
    fast_load, arguments, vivid_model, export_once, make_processor, tmp_path
):
    """Publish with a real export and a real build; then open the very folder in a browser that has no network."""
    if not (CHROMIUM and shutil.which("node") and (ROOT / "hub" / "web" / "node_modules").is_dir()):
        pytest.skip("needs chromium, node and `npm install` in hub/web")
    pytest.importorskip("websockets")
    onnx, example = export_once(vivid_model), Image.open(arguments.examples[0]).convert("RGB")
    given = replace(arguments, onnx=onnx, static_space=STATIC, dry_run=True, output_dir=tmp_path / "look")
    publish(given)
    page_folder = tmp_path / "look" / "static-space"
    expected = vivid_model.explain(example, top_k=5, image_processor=make_processor())
    headers = front_matter(page_folder / "README.md")["custom_headers"]
    with file_server(page_folder, headers) as address, open_page(address) as page:
        page.wait_for("document.body.dataset.state === 'ready'")
        assert page.run("crossOriginIsolated")  # so that WebAssembly has threads
        page.choose_file("#file", Path(arguments.examples[0]))
        page.wait_for("document.body.dataset.state === 'explained'")
        best = page.run("document.querySelector('#classes button').dataset.label")
        assert best == expected["labels"][0]
        hosts = "[...new Set(performance.getEntriesByType('resource').map(e => new URL(e.name).origin))]"
        assert page.run(hosts) == [address]
        assert page.errors == []
    text = (page_folder / "index.html").read_text() + (page_folder / "style.css").read_text()
    assert not re.search(r"https?:|//", text)
