"""Publishing against a server that speaks the Hub's protocol; nothing half made, whatever breaks."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub import HfApi, ModelCard
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.repocard_data import model_index_to_eval_results
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from hub import publish
from hub.checks import find_problems
from hub.clean_environment import load_in_clean_environment
from hub.model_card import Details
from hub.release import push, stage
from modeling_pm_vit import PMViTForImageClassification, PMViTImageProcessor
from tests.hub.hub_server import running_hub

NAMES = ["tit", "owl", "hen", "elk", "cod"]
DETAILS = Details("birds/pm-vit", "v1.0", "birds/photographs", base_model="birds/vit")
FIGURES = {"eval_accuracy": 0.9, "eval_patch_iou": 0.5, "eval_loss": 3.0}


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    with running_hub() as hub:
        yield hub


@pytest.fixture
def api(hub):
    return HfApi(endpoint=hub.address, token="hf_test")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, make_model, make_processor):
    """A folder as the training leaves it, with much that is not to be published."""
    folder = tmp_path_factory.mktemp("trained")
    make_model(id2label=dict(enumerate(NAMES)), label2id={name: i for i, name in enumerate(NAMES)}).save_pretrained(
        folder
    )
    make_processor().save_pretrained(folder)
    (folder / "eval_results.json").write_text(json.dumps(FIGURES))
    (folder / "training_args.json").write_text(json.dumps({"learning_rate": 0.001, "output_dir": "/home/me"}))
    (folder / "training_args.bin").write_bytes(b"\x80\x04pickle")
    (folder / "checkpoint-3").mkdir()
    return folder


@pytest.fixture(scope="module")
def example(request):
    return request.config.rootpath / "examples" / "scene.png"


@pytest.fixture(scope="module")
def first(trained, example, tmp_path_factory):
    folder = tmp_path_factory.mktemp("staged") / "first"
    (folder.parent / "onnx").mkdir()
    (folder.parent / "onnx" / "model.json").write_text("{}")
    stage(trained, folder, DETAILS, [example], folder.parent / "onnx")
    return folder


@pytest.fixture
def second(first, tmp_path):
    """Another version: other weights, a file more, a file less."""
    folder = shutil.copytree(first, tmp_path / "second")
    tensors = load_file(folder / "model.safetensors")
    tensors["classifier.bias"] = tensors["classifier.bias"] + torch.arange(5.0)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "requirements.txt").unlink()
    (folder / "notes.md").write_text("more")
    return folder


def files_of(repository, reference: str) -> dict[str, bytes]:
    return {n: c for n, c in repository.commits[repository.refs[reference]].items() if n != ".gitattributes"}


def files_in(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_is_staged_is_fit_to_be_published(first):
    assert find_problems(first) == []
    assert {name for name in files_in(first) if "/" not in name} == {
        *(f"{part}_pm_vit.py" for part in ("configuration", "modeling", "image_processing", "pipeline")),
        *(
            "README.md",
            "config.json",
            "handler.py",
            "model.safetensors",
            "preprocessor_config.json",
            "requirements.txt",
        ),
    }


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda f: (f / "handler.py").unlink(), "handler.py is missing"),
        (lambda f: (f / "model.safetensors").unlink(), "there are no weights"),
        (lambda f: (f / "pytorch_model.bin").write_bytes(b""), "pytorch_model.bin: only"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x80\x04"), "is no safetensors file"),
        (lambda f: (f / "extra.json").write_text('{"a": ["/home/me/x"]}'), "an absolute path: /home/me/x"),
        (lambda f: (f / "extra.json").write_text("{"), "extra.json is no JSON"),
        (lambda f: (f / "modeling_pm_vit.py").write_text("x = 1"), "modeling_pm_vit.py differs"),
        (lambda f: (f / "config.json").write_text('{"id2label": {"0": "LABEL_0"}}'), "have no names"),
        (lambda f: (f / "README.md").write_text("---\nlibrary_name: transformers\n---\n"), "license is missing"),
        (lambda f: (f / "README.md").write_text("---\na: [\n---\n"), "metadata are not valid"),
    ],
)
def test_what_is_not_fit_is_found(first, tmp_path, spoil, message):
    folder = shutil.copytree(first, tmp_path / "spoiled")
    spoil(folder)
    assert any(message in problem for problem in find_problems(folder))


def test_the_card_says_what_is_true(first):
    card = ModelCard.load(first / "README.md")
    metadata = card.data.to_dict()
    assert metadata["library_name"] == "transformers"
    assert metadata["pipeline_tag"] == "image-classification"
    assert metadata["base_model"] == "birds/vit"
    assert metadata["datasets"] == ["birds/photographs"]
    name, results = model_index_to_eval_results(metadata["model-index"])
    assert name == "pm-vit"
    assert {r.metric_type: r.metric_value for r in results} == {"accuracy": 0.9, "mean_iou": 0.5}
    assert metadata["widget"][0]["src"].endswith("/birds/pm-vit/resolve/main/images/scene.png")
    assert "tit, owl, hen, elk, cod." in card.text
    assert "`learning_rate` | 0.001" in card.text
    assert "/home" not in card.content
    for link in re.findall(r"\]\((images/[^)]+)\)", card.text):
        assert (first / link).is_file()


def test_from_a_trained_folder_to_every_use(hub, trained, example, tmp_path, monkeypatch, capsys, request):
    """One command; then only what was pushed is used: by the card's snippets, the endpoint and the Space."""
    monkeypatch.setattr(publish, "HfApi", lambda: HfApi(endpoint=hub.address, token="hf_test"))
    arguments = [str(trained), "birds/pm-vit", "--tag", "v1.0", "--dataset", "birds", "--examples", str(example)]
    assert publish.main([*arguments, "--dry-run"]) == 0
    assert "library_name: transformers" in capsys.readouterr().out
    assert hub.requests == []
    assert publish.main(arguments) == 0
    assert "loaded and verified" in capsys.readouterr().out
    repository = hub.repositories["birds/pm-vit"]
    assert repository.refs["tags/v1.0"] == repository.refs["main"]
    assert len(repository.log) == 2  # the empty repository, and one commit

    card = files_of(repository, "main")["README.md"].decode()
    snippets = "\n".join(re.findall(r"```python\n(.*?)```", card, re.DOTALL))
    script = tmp_path / "snippets.py"
    script.write_text(
        snippets
        + "\nassert explanation['heatmaps'].shape == (1, 256, 256)\n"
        + "folder = hf_hub_download('birds/pm-vit', 'handler.py', revision='v1.0').rpartition('/')[0]\n"
        + "import sys; sys.path.insert(0, folder); import handler\n"
        + "found = handler.EndpointHandler(folder)({'inputs': open(image, 'rb').read(), 'parameters': {'top_k': 2}})\n"
        + "assert found[0]['label'] == pipeline('image-classification', model=model, image_processor=processor)(image)"
        + "[0]['label']\nassert set(found[0]) == {'label', 'score', 'box', 'mask'}\n"
        + f"sys.path.insert(0, {str(request.config.rootpath / 'hub' / 'space')!r})\n"
        + "import explanation as space; from PIL import Image\n"
        + "top = space.Explainer('birds/pm-vit', 'v1.0')(Image.open(image)).top()\n"
        + "assert top[0][0] == found[0]['label']\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = os.environ | {"HF_ENDPOINT": hub.address, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run([sys.executable, str(script)], env=environment, cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_folder_that_is_not_fit_is_not_published(hub, make_model, make_processor, tmp_path, capsys):
    make_model().save_pretrained(tmp_path)
    make_processor().save_pretrained(tmp_path)
    assert publish.main([str(tmp_path), "birds/pm-vit", "--tag", "v1", "--dataset", "birds"]) == 2
    assert "the classes have no names" in capsys.readouterr().err
    assert hub.requests == []


def test_a_newer_revision_leaves_the_older_one(api, hub, first, second, example):
    seen = []
    one = push(api, first, DETAILS, seen.append)
    two = push(api, second, replace(DETAILS, tag="v2.0"), seen.append)
    repository = hub.repositories["birds/pm-vit"]
    assert repository.refs["tags/v1.0"] == one
    assert repository.refs["tags/v2.0"] == repository.refs["main"] == two
    assert files_of(repository, "tags/v1.0") == files_in(first)
    assert files_of(repository, "main") == files_in(second)
    assert len(seen) == 2
    found = load_in_clean_environment("birds/pm-vit", example, "v1.0", hub.address)
    expected = PMViTForImageClassification.from_pretrained(first).explain(
        example, 5, PMViTImageProcessor.from_pretrained(first)
    )
    assert [entry["label"] for entry in found["classified"]] == expected["labels"]
    assert [entry["score"] for entry in found["classified"]] == pytest.approx(expected["scores"].tolist(), abs=1e-5)


def test_the_same_again_changes_nothing(api, hub, first):
    commit = push(api, first, DETAILS, lambda revision: None)
    repository = hub.repositories["birds/pm-vit"]
    before = (dict(repository.refs), len(repository.commits))
    assert push(api, first, DETAILS, lambda revision: None) == commit
    assert (repository.refs, len(repository.commits)) == before


def test_a_tag_is_never_moved(api, hub, first, second):
    push(api, first, DETAILS, lambda revision: None)
    with pytest.raises(ValueError, match=r"tag v1\.0 with other contents"):
        push(api, second, DETAILS, lambda revision: None)
    assert files_of(hub.repositories["birds/pm-vit"], "main") == files_in(first)


@pytest.mark.parametrize("step", ["preupload/", "/lfs/", "objects/batch", "/commit/", "/merge", "/tag/", "/tree/"])
def test_broken_off_anywhere_main_is_whole_and_the_next_try_goes_on(api, hub, first, second, step):
    push(api, first, DETAILS, lambda revision: None)
    repository = hub.repositories["birds/pm-vit"]
    hub.break_on = lambda method, path: step in path
    newer = replace(DETAILS, tag="v2.0")
    with pytest.raises((HfHubHTTPError, RuntimeError)):
        push(api, second, newer, lambda revision: None)
    assert files_of(repository, "main") in (files_in(first), files_in(second))
    assert "tags/v2.0" not in repository.refs
    hub.break_on = lambda method, path: False
    push(api, second, newer, lambda revision: None)
    assert files_of(repository, "tags/v2.0") == files_of(repository, "main") == files_in(second)
    assert repository.log.count("initial commit") == 1
    assert len(repository.log) == 3


def test_what_arrives_spoiled_never_becomes_main(api, hub, first, second, tmp_path):
    push(api, first, DETAILS, lambda revision: None)
    repository = hub.repositories["birds/pm-vit"]
    hub.spoil = lambda path, content: content[:2000] if path == "model.safetensors" else content

    def verify(revision):
        load_file(api.hf_hub_download("birds/pm-vit", "model.safetensors", revision=revision, cache_dir=tmp_path))

    with pytest.raises(SafetensorError):
        push(api, second, replace(DETAILS, tag="v2.0"), verify)
    assert files_of(repository, "main") == files_in(first)
    assert set(repository.refs) == {"main", "refs/pr/1", "refs/pr/2", "tags/v1.0"}
    assert repository.closed == [2]
