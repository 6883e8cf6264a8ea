"""Publishing to a local server with the protocol of the Hub. No failure may leave `main` incomplete."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from modeling_pm_vit import PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.cli.main import main
from modeling_pm_vit.hub import clean_environment
from modeling_pm_vit.hub.checks import CODE, find_problems
from modeling_pm_vit.hub.clean_environment import load_in_clean_environment
from modeling_pm_vit.hub.publish import publish
from modeling_pm_vit.hub.release import WRITTEN, push, stage
from modeling_pm_vit.utils.errors import InputError, NotFoundError, PMViTError
from tests.hub.conftest import REPOSITORY, write_export


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
    assert all(WRITTEN.fullmatch(name) for name in files_in(first))  # so that the next version can remove them
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
        (lambda f: (f / "serving" / "answers.py").unlink(), "serving/answers.py is missing"),
        (lambda f: (f / "container" / "Dockerfile").write_text("FROM x"), "container/Dockerfile differs"),
        (lambda f: (f / "config.json").write_text('{"id2label": {"0": "LABEL_0"}}'), "have no names"),
        (lambda f: (f / "README.md").write_text("---\nlibrary_name: transformers\n---\n"), "license is missing"),
        (lambda f: (f / "README.md").write_text("---\na: [\n---\n"), "metadata are not valid"),
    ],
)
def test_checks_find_problems(first, tmp_path, spoil, message):
    folder = shutil.copytree(first, tmp_path / "spoiled")
    spoil(folder)
    assert any(message in problem for problem in find_problems(folder))


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


def test_a_run_of_another_version_is_published_with_the_code_of_the_package(arguments, tmp_path, capsys):
    folder = shutil.copytree(arguments.model, tmp_path / "model")
    (folder / "modeling_pm_vit.py").write_text("of another version")
    (folder / "confidence_pm_vit.py").unlink()
    stage(replace(arguments, model=folder), tmp_path / "staged")
    assert "has code of another version: published is that of pm-vit" in capsys.readouterr().out
    assert find_problems(tmp_path / "staged") == []


@pytest.mark.slow
def test_published_model_works_in_every_documented_use(hub, api, arguments, fast_load, tmp_path, capsys, request):
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
        + "from huggingface_hub import snapshot_download\n"
        + "folder = snapshot_download('birds/pm-vit', revision='v1.0', ignore_patterns=['onnx/*'])\n"
        + "import sys; sys.path.insert(0, folder); import handler\n"
        + "found = handler.EndpointHandler(folder)({'inputs': open(image, 'rb').read(), 'parameters': {'top_k': 2}})\n"
        + "assert found[0]['label'] == pipeline('image-classification', model=model, image_processor=processor)(image)"
        + "[0]['label']\nassert set(found[0]) == {'label', 'score', 'box', 'mask', 'doubt'}\n"
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
        publish(replace(arguments, model=tmp_path, onnx=None), api)
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
        ({"license_link": "https://example.org/text"}, InputError, "give them with --license other, not with"),
        ({"benchmark": "birds"}, InputError, "--benchmark: expected user/dataset:task, got 'birds'"),
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


def test_dry_run_shows_files_and_card_and_uploads_nothing(hub, arguments, fast_load, capsys):
    assert publish(replace(arguments, dry_run=True)) is None
    printed = capsys.readouterr().out
    for text in (
        "model.safetensors",
        "library_name: transformers",
        "images/1.png, scene.png: ",
        "its answer for images/1.png is: tit (90.0 %)",
        "state it with --intended_use",
        "state it with --limits",
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
def test_new_tag_leaves_the_old_one_loadable(api, hub, first, second, example, monkeypatch, capsys):
    seen = []
    one = push(api, first, REPOSITORY, "v1.0", seen.append)
    two = push(api, second, REPOSITORY, "v2.0", seen.append)
    repository = hub.repositories[REPOSITORY]
    assert repository.refs["tags/v1.0"] == one
    assert repository.refs["tags/v2.0"] == repository.refs["main"] == two
    assert files_of(repository, "tags/v1.0") == files_in(first)
    assert files_of(repository, "main") == files_in(second)  # without requirements.txt, which is no longer there
    assert len(seen) == 2
    found = load_in_clean_environment("birds/pm-vit", example, "v1.0", hub.address)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    clean_environment._main(str(first), str(example), "")  # in this process: one of its own imports for 6 seconds
    assert found == json.loads(capsys.readouterr().out.splitlines()[-1])
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


def test_files_that_others_merged_are_kept_and_named(api, hub, first, second, capsys):
    push(api, first, REPOSITORY, "v1.0", lambda revision: None)
    repository = hub.repositories[REPOSITORY]
    merged = {".eval_results/hle.yaml": b"- value: 1", "images/notes.txt": b"of an old version", "LICENSE": b"text"}
    head = repository.commits[repository.refs["main"]]
    repository.commit(head | merged, "main", "Merge results")
    push(api, second, REPOSITORY, "v2.0", lambda revision: None)
    kept = {name: merged[name] for name in (".eval_results/hle.yaml", "LICENSE")}
    assert files_of(repository, "main") == files_of(repository, "tags/v2.0") == files_in(second) | kept
    printed = capsys.readouterr().out
    assert "kept, from others: .eval_results/hle.yaml, LICENSE\n" in printed
    assert "removed, no longer published: images/notes.txt, requirements.txt\n" in printed
    push(api, second, REPOSITORY, "v2.0", lambda revision: None)  # the tag is that of these files
    with pytest.raises(InputError, match="other contents"):
        push(api, first, REPOSITORY, "v2.0", lambda revision: None)


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
    printed = capsys.readouterr().out
    assert "its answer for an image of noise is: tit" in printed
    assert 'the card says "not stated" of the licence: state it with --license' in printed
    assert "dry run: nothing was uploaded to birds/pm-vit" in printed
    assert main([*words, "--onnx", "nowhere"]) == 2
    assert capsys.readouterr().err == (
        "pm-vit publish: --onnx: expected a folder that `pm-vit export` wrote, nowhere has no onnx/model.json: "
        "run `pm-vit export MODEL --output_dir nowhere`.\n"
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
