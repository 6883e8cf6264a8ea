"""Publishing to a local server with the protocol of the Hub. No failure may leave `main` incomplete."""

import hashlib
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
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from modeling_pm_vit import PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.cli.main import main
from modeling_pm_vit.hub.arguments import PublishArguments
from modeling_pm_vit.hub.checks import CODE, find_problems
from modeling_pm_vit.hub.clean_environment import load_in_clean_environment
from modeling_pm_vit.hub.model_card import read_values, render_model_card
from modeling_pm_vit.hub.publish import publish
from modeling_pm_vit.hub.release import push, stage
from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.run import train
from modeling_pm_vit.utils.errors import InputError, NotFoundError, PMViTError
from modeling_pm_vit.utils.fingerprint import fingerprint
from tests.hub.hub_server import running_hub
from tests.training.conftest import SETTINGS, as_flags

NAMES = ["tit", "owl", "hen", "elk", "cod"]
REPOSITORY = "birds/pm-vit"
RESULTS = {"eval_accuracy": 0.9, "eval_patch_iou": 0.5, "eval_energy_pointing_game": 0.7, "eval_loss": 3.0}


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
    """A folder as the training leaves it, with files that must not be published."""
    folder = tmp_path_factory.mktemp("trained")
    make_model(id2label=dict(enumerate(NAMES)), label2id={name: i for i, name in enumerate(NAMES)}).save_pretrained(
        folder
    )
    make_processor().save_pretrained(folder)
    (folder / "eval_results.json").write_text(json.dumps(RESULTS))
    (folder / "training_args.json").write_text(json.dumps({"learning_rate": 0.001, "output_dir": "/home/me"}))
    (folder / "training_args.bin").write_bytes(b"\x80\x04pickle")
    (folder / "checkpoint-3").mkdir()
    return folder


@pytest.fixture(scope="module")
def example(request):
    return request.config.rootpath / "examples" / "scene.png"


def write_export(folder: Path, model: Path, **agreement) -> None:
    """A folder as `pm-vit export` writes it, with something in place of a graph."""
    (folder / "model.onnx").write_bytes(b"graph")
    measured = {"top1_agreement": 1.0, "mask_iou": 0.99, "logit_difference": 0.1, "mask_difference": 0.1}
    measured |= {"sha256": hashlib.sha256(b"graph").hexdigest()} | agreement
    weights = fingerprint(PMViTForImageClassification.from_pretrained(model))
    description = {"weights": weights, "files": {"fp32": "model.onnx"}, "agreement": {"fp32": measured}}
    (folder / "model.json").write_text(json.dumps(description))


@pytest.fixture(scope="module")
def arguments(trained, example, tmp_path_factory):
    onnx = tmp_path_factory.mktemp("onnx")
    write_export(onnx, trained)
    return PublishArguments(
        trained,
        REPOSITORY,
        "v1.0",
        "birds/photographs",
        "cc-by-nc-4.0",
        [str(example)],
        base_model="birds/vit",
        onnx=onnx,
    )


@pytest.fixture(scope="module")
def first(arguments, tmp_path_factory):
    folder = tmp_path_factory.mktemp("staged") / "first"
    stage(arguments, folder)
    return folder


@pytest.fixture
def second(first, tmp_path):
    """Another version: other weights, one more file, one file less."""
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


def test_staged_folder_passes_the_checks(first):
    assert find_problems(first) == []
    assert {name for name in files_in(first) if "/" not in name} == {
        *CODE,
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
        (lambda f: (f / "model.safetensors").write_bytes(b"\x80\x04"), "is not a safetensors file"),
        (lambda f: (f / "extra.json").write_text('{"a": ["/home/me/x"]}'), "an absolute path: /home/me/x"),
        (lambda f: (f / "extra.json").write_text("{"), "extra.json is not JSON"),
        (lambda f: (f / "modeling_pm_vit.py").write_text("x = 1"), "modeling_pm_vit.py differs"),
        (lambda f: (f / "config.json").write_text('{"id2label": {"0": "LABEL_0"}}'), "have no names"),
        (lambda f: (f / "README.md").write_text("---\nlibrary_name: transformers\n---\n"), "license is missing"),
        (lambda f: (f / "README.md").write_text("---\na: [\n---\n"), "metadata are not valid"),
    ],
)
def test_checks_find_problems(first, tmp_path, spoil, message):
    folder = shutil.copytree(first, tmp_path / "spoiled")
    spoil(folder)
    assert any(message in problem for problem in find_problems(folder))


def test_model_card_has_results_settings_and_valid_metadata(first):
    card = ModelCard.load(first / "README.md")
    metadata = card.data.to_dict()
    assert metadata["library_name"] == "transformers"
    assert metadata["pipeline_tag"] == "image-classification"
    assert metadata["base_model"] == "birds/vit"
    assert metadata["license"] == "cc-by-nc-4.0"
    assert metadata["datasets"] == ["birds/photographs"]
    name, results = model_index_to_eval_results(metadata["model-index"])
    assert name == "pm-vit"
    assert {r.metric_type: r.metric_value for r in results} == {
        "accuracy": 0.9,
        "mean_iou": 0.5,
        "energy_pointing_game": 0.7,
    }
    assert metadata["widget"][0]["src"].endswith("/birds/pm-vit/resolve/main/images/1.png")
    assert "tit, owl, hen, elk, cod." in card.text
    assert "`learning_rate` | 0.001" in card.text
    assert "/home" not in card.content
    for link in re.findall(r"\]\((images/[^)]+)\)", card.text):
        assert (first / link).is_file()


@pytest.mark.parametrize("key", ["eval_energy_pointing_game", "eval_energy_inside"])
def test_model_card_reads_new_and_old_result_keys(arguments, tmp_path, key):
    """Folders that an older version trained have `eval_energy_inside`."""
    folder = shutil.copytree(arguments.model, tmp_path / "model")
    (folder / "eval_results.json").write_text(json.dumps({"eval_accuracy": 0.9, key: 0.71234}))
    card = render_model_card(replace(arguments, model=folder), ["1.png"])
    assert "| energy-based pointing game | 0.712 |" in card
    assert "type: energy_pointing_game" in card
    assert [value for _, value in read_values({"eval_energy_inside": 0.1, "eval_energy_pointing_game": 0.2})] == [0.2]


def test_model_card_of_several_labels_per_image(arguments, tmp_path):
    folder = shutil.copytree(arguments.model, tmp_path / "model")
    results = {"eval_mean_average_precision": 0.8125, "eval_auroc": 0.9, "eval_auroc_tit": 0.95}
    (folder / "eval_results.json").write_text(json.dumps(results))
    card = render_model_card(replace(arguments, model=folder), ["1.png"])
    assert "| mean average precision | 0.812 |" in card
    assert "| AUROC | 0.900 |" in card
    assert "type: roc_auc" in card
    assert "accuracy" not in card


SUMMARY = {
    **{"data": "photographs", "train_split": "train[!0/20]", "eval_data": "photographs", "eval_split": "test[:50]"},
    **{"base_model": "vit-s14", "frozen_layers": 9, "lora_rank": 0, "mask_encoding": "box"},
    "train": {"images": 300, "masks": 25},
    "evaluation": {"images": 50, "masks": 50},
    "classes": {
        name: {"train": {"images": 60, "masks": 5}, "evaluation": {"images": 10, "accuracy": 0.75 + 0.01 * number}}
        for number, name in enumerate(NAMES)
    },
    "versions": {"torch": "2.13.0"},
}


def test_model_card_says_what_the_run_was(arguments, tmp_path):
    folder = shutil.copytree(arguments.model, tmp_path / "model")
    (folder / "training_summary.json").write_text(json.dumps(SUMMARY))
    card = ModelCard(render_model_card(replace(arguments, model=folder, base_model=None), []))
    for text in (
        "Of it 300 images (split `train[!0/20]`), 25 of them with a mask (bounding boxes).",
        "One run, on the 50 images of the split `test[:50]`:",
        "Base model: vit-s14.",
        "The embeddings and the first 9 layers are those of the base model.",
        "Versions: torch 2.13.0.",
    ):
        assert text in card.text
    assert re.search(r"^\| owl +\| 60 +\| 5 +\| 10 +\| 0\.760 +\|$", card.text, re.MULTILINE)
    metadata = card.data.to_dict()
    assert "base_model" not in metadata  # a folder of the publisher is no id
    assert metadata["model-index"][0]["results"][0]["dataset"]["split"] == "test"


def test_model_card_without_examples_shows_no_picture(arguments, tmp_path):
    arguments = replace(arguments, examples=[], onnx=None)
    assert stage(arguments, tmp_path / "staged") == []
    assert find_problems(tmp_path / "staged") == []
    card = ModelCard.load(tmp_path / "staged" / "README.md")
    assert "widget" not in card.data.to_dict()
    assert "images/" not in card.text and 'image = "photograph.jpg"' in card.text
    assert not (tmp_path / "staged" / "images").exists()


@pytest.mark.parametrize("licence, text", [("unknown", "No licence is stated"), ("mit", "The weights: mit.")])
def test_model_card_has_the_licence_of_the_publisher(arguments, licence, text):
    card = ModelCard(render_model_card(replace(arguments, license=licence), []))
    assert card.data.to_dict()["license"] == licence
    assert text in card.text


def test_examples_are_published_without_their_names_and_metadata(arguments, tmp_path):
    folder = tmp_path / "of Ms Example"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x013B] = "the photographer"  # artist
    Image.new("RGB", (40, 30), (9, 99, 0)).save(folder / "Ms Example.jpg", exif=exif, comment=b"private")
    Image.new("RGB", (40, 30), (99, 9, 0)).save(folder / "scan.png")
    names = stage(replace(arguments, examples=[str(folder)]), tmp_path / "staged")
    assert names == ["1.png", "2.png"]
    for name, content in files_in(tmp_path / "staged").items():
        assert "example" not in name.lower().replace("onnx/example.py", "")
        assert b"Ms Example" not in content
        if name.startswith("images/"):
            assert not Image.open(tmp_path / "staged" / name).info
            assert b"photographer" not in content and b"private" not in content


def test_only_weights_of_the_model_are_published(arguments, tmp_path):
    folder = shutil.copytree(arguments.model, tmp_path / "model")
    shutil.copy(folder / "model.safetensors", folder / "optimizer.safetensors")
    stage(replace(arguments, model=folder, onnx=None), tmp_path / "staged")
    assert [path.name for path in (tmp_path / "staged").glob("*.safetensors")] == ["model.safetensors"]
    assert not [path for path in (tmp_path / "staged").rglob("*") if path.suffix == ".bin"]


@pytest.mark.slow
def test_model_card_of_a_run(arguments, tmp_path):
    flags = as_flags(SETTINGS | {"output_dir": tmp_path / "run"})
    train(*parse_arguments(flags))
    stage(replace(arguments, model=tmp_path / "run", examples=[], onnx=None), tmp_path / "staged")
    assert find_problems(tmp_path / "staged") == []
    card = (tmp_path / "staged" / "README.md").read_text()
    assert "Of it 24 images (split `train`), 6 of them with a mask (pixel masks)." in card
    assert "One run, on the 8 images of the split `validation`:" in card
    assert "| `num_train_epochs` | 1 |" in card  # the run was limited to three steps
    assert re.search(
        r"^\| class +\| training images \| with a mask \| evaluation images \| accuracy \|", card, re.MULTILINE
    )


def test_model_card_without_evaluation(arguments, tmp_path):
    folder = shutil.copytree(arguments.model, tmp_path / "model")
    (folder / "eval_results.json").unlink()
    assert "recorded no evaluation" in render_model_card(replace(arguments, model=folder), ["1.png"])


@pytest.mark.slow
def test_published_model_works_in_every_documented_use(hub, api, arguments, tmp_path, capsys, request):
    """Publish once. Then the snippets of the card, the endpoint and the Space load only what was uploaded."""
    commit = publish(replace(arguments, dataset="birds"), api)
    assert "loaded and verified" in capsys.readouterr().out
    repository = hub.repositories[REPOSITORY]
    assert repository.refs["tags/v1.0"] == repository.refs["main"] == commit
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


def test_model_without_class_names_is_not_published(hub, api, arguments, make_model, make_processor, tmp_path):
    make_model().save_pretrained(tmp_path)
    make_processor().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="the classes have no names"):
        publish(replace(arguments, model=tmp_path), api)
    assert hub.requests == []


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"model": Path("nowhere")}, NotFoundError, "nowhere/config.json is missing"),
        ({"onnx": Path("nowhere")}, NotFoundError, "`pm-vit export`"),
        ({"examples": ["nowhere.png"]}, NotFoundError, r"--examples: nowhere\.png: no such file"),
        ({"examples": [__file__]}, InputError, r"--examples: .*test_publish\.py is not an image"),
        ({"license": "My own licence"}, InputError, "--license: expected a name as the Hub has it"),
        ({"repo_id": "pm-vit"}, InputError, "expected user/name, got 'pm-vit'"),
    ],
)
def test_wrong_arguments_are_refused_before_the_upload(hub, api, arguments, change, error, message):
    with pytest.raises(error, match=message):
        publish(replace(arguments, **change), api)
    assert hub.requests == []


@pytest.mark.parametrize(
    "agreement, message",
    [
        ({"mask_iou": 0.899}, r"model\.onnx does not agree with the model: mask_iou 0\.8990 < 0\.95"),
        ({"logit_difference": float("nan")}, "logit_difference is not finite"),
        ({"sha256": "0"}, "was changed since"),
    ],
)
def test_graphs_that_do_not_agree_with_the_model_are_not_published(hub, api, arguments, tmp_path, agreement, message):
    write_export(tmp_path, arguments.model, **agreement)
    with pytest.raises(InputError, match=f"--onnx: .*{message}.* Run `pm-vit export` again"):
        publish(replace(arguments, onnx=tmp_path), api)
    assert hub.requests == []


def test_graphs_of_another_model_are_not_published(arguments, make_model, tmp_path):
    make_model(hidden_size=32).save_pretrained(tmp_path / "other")
    write_export(tmp_path, tmp_path / "other")
    with pytest.raises(InputError, match="it was not exported from these weights"):
        publish(replace(arguments, onnx=tmp_path, dry_run=True))


def test_publishing_without_login_is_refused(arguments, monkeypatch):
    monkeypatch.setattr("modeling_pm_vit.hub.publish.get_token", lambda: None)
    with pytest.raises(InputError, match="run `hf auth login`"):
        publish(arguments)


@pytest.fixture
def fast_load(monkeypatch):
    """In place of the separate process, which has tests of its own."""
    result = {"keys": [], "explained": [{"label": "tit", "score": 0.9, "box": None}]}
    monkeypatch.setattr("modeling_pm_vit.hub.publish.load_in_clean_environment", lambda *arguments: result)


def test_dry_run_shows_files_and_card_and_uploads_nothing(hub, arguments, fast_load, capsys):
    assert publish(replace(arguments, dry_run=True)) is None
    printed = capsys.readouterr().out
    for text in (
        "model.safetensors",
        "library_name: transformers",
        "images/1.png, scene.png: ",
        "tit (90.0 %)",
        "dry run",
    ):
        assert text in printed
    assert hub.requests == []


@pytest.mark.parametrize("status, is_expected", [(401, True), (403, True), (500, False)])
def test_refusals_of_the_hub_are_one_line_and_other_failures_are_not_hidden(
    hub, api, arguments, fast_load, status, is_expected
):
    hub.break_on = lambda method, path: path == "/api/repos/create"
    hub.status = status
    with pytest.raises(PMViTError if is_expected else HfHubHTTPError) as caught:
        publish(arguments, api)
    if is_expected:
        assert "\n" not in str(caught.value)
        assert f"with status {status}" in str(caught.value)


def test_hub_that_cannot_be_reached_is_one_line(hub, arguments, fast_load):
    with pytest.raises(PMViTError, match="cannot be reached"):
        publish(arguments, HfApi(endpoint="http://127.0.0.1:1", token="hf_test"))


@pytest.mark.slow
def test_new_tag_leaves_the_old_one_loadable(api, hub, first, second, example):
    seen = []
    one = push(api, first, REPOSITORY, "v1.0", seen.append)
    two = push(api, second, REPOSITORY, "v2.0", seen.append)
    repository = hub.repositories[REPOSITORY]
    assert repository.refs["tags/v1.0"] == one
    assert repository.refs["tags/v2.0"] == repository.refs["main"] == two
    assert files_of(repository, "tags/v1.0") == files_in(first)
    assert files_of(repository, "main") == files_in(second)
    assert len(seen) == 2
    found = load_in_clean_environment("birds/pm-vit", example, "v1.0", hub.address)
    expected = PMViTForImageClassification.from_pretrained(first).explain(
        example, top_k=5, image_processor=PMViTImageProcessor.from_pretrained(first)
    )
    assert [entry["label"] for entry in found["classified"]] == expected["labels"]
    assert [entry["score"] for entry in found["classified"]] == pytest.approx(expected["scores"].tolist(), abs=1e-5)


def test_pushing_the_same_twice_changes_nothing(api, hub, first):
    commit = push(api, first, REPOSITORY, "v1.0", lambda revision: None)
    repository = hub.repositories[REPOSITORY]
    before = (dict(repository.refs), len(repository.commits))
    assert push(api, first, REPOSITORY, "v1.0", lambda revision: None) == commit
    assert (repository.refs, len(repository.commits)) == before


def test_tag_is_never_moved(api, hub, first, second):
    push(api, first, REPOSITORY, "v1.0", lambda revision: None)
    with pytest.raises(InputError, match=r"tag v1\.0 with other contents"):
        push(api, second, REPOSITORY, "v1.0", lambda revision: None)
    assert files_of(hub.repositories[REPOSITORY], "main") == files_in(first)


@pytest.mark.parametrize("step", ["preupload/", "/lfs/", "objects/batch", "/commit/", "/merge", "/tag/", "/tree/"])
def test_interruption_leaves_main_complete_and_the_next_call_continues(api, hub, first, second, step):
    push(api, first, REPOSITORY, "v1.0", lambda revision: None)
    repository = hub.repositories[REPOSITORY]
    hub.break_on = lambda method, path: step in path
    with pytest.raises((HfHubHTTPError, PMViTError, RuntimeError)):
        push(api, second, REPOSITORY, "v2.0", lambda revision: None)
    assert files_of(repository, "main") in (files_in(first), files_in(second))
    assert "tags/v2.0" not in repository.refs
    hub.break_on = lambda method, path: False
    push(api, second, REPOSITORY, "v2.0", lambda revision: None)
    assert files_of(repository, "tags/v2.0") == files_of(repository, "main") == files_in(second)
    assert repository.log.count("initial commit") == 1
    assert len(repository.log) == 3


def test_corrupt_upload_never_becomes_main(api, hub, first, second, tmp_path):
    push(api, first, REPOSITORY, "v1.0", lambda revision: None)
    repository = hub.repositories[REPOSITORY]
    hub.spoil = lambda path, content: content[:2000] if path == "model.safetensors" else content

    def verify(revision):
        load_file(api.hf_hub_download("birds/pm-vit", "model.safetensors", revision=revision, cache_dir=tmp_path))

    with pytest.raises(SafetensorError):
        push(api, second, REPOSITORY, "v2.0", verify)
    assert files_of(repository, "main") == files_in(first)
    assert set(repository.refs) == {"main", "refs/pr/1", "refs/pr/2", "tags/v1.0"}
    assert repository.closed == [2]


def test_command_publishes_or_prints_one_line(hub, arguments, fast_load, capsys):
    words = ["publish", str(arguments.model), REPOSITORY, "--tag", "v1.0", "--dataset", "birds"]
    words += ["--license", "unknown"]
    assert main([*words, "--dry-run"]) == 0
    assert "dry run: nothing was uploaded to birds/pm-vit" in capsys.readouterr().out
    assert main([*words, "--onnx", "nowhere"]) == 2
    assert capsys.readouterr().err == (
        "pm-vit publish: --onnx: expected a folder that `pm-vit export` wrote, nowhere/model.json is missing.\n"
    )
    assert hub.requests == []


def test_an_adapter_is_published_merged(arguments, trained, make_processor, tmp_path, capsys):
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(
        PMViTForImageClassification.from_pretrained(trained),
        peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["classifier"], init_lora_weights=False),
    )
    adapted.save_pretrained(tmp_path / "adapter")
    adapted.get_base_model().config.save_pretrained(tmp_path / "adapter")
    make_processor().save_pretrained(tmp_path / "adapter")
    stage(replace(arguments, model=tmp_path / "adapter", onnx=None), tmp_path / "staged")
    assert "is an adapter: published is the whole model, merged with its base model" in capsys.readouterr().out
    assert not [path.name for path in (tmp_path / "staged").iterdir() if "adapter" in path.name]
    assert find_problems(tmp_path / "staged") == []
    published = PMViTForImageClassification.from_pretrained(tmp_path / "staged").eval()
    pixel_values = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(published(pixel_values).logits, adapted.eval()(pixel_values).logits)
