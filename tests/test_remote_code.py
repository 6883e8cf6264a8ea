"""A saved folder contains its code and works where this package is not installed."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import DINOv3ViTConfig

import modeling_pm_vit

FILES = sorted(path.name for path in Path(modeling_pm_vit.__file__).parent.glob("*_pm_vit.py"))

SIZES = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}

# Runs in a process that cannot import `modeling_pm_vit`; prints JSON.
SCRIPT = """
import json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "modeling_pm_vit":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocker())
try:
    import modeling_pm_vit
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("the package can be imported, so this test would show nothing")

import torch
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageClassification, pipeline


def explain(folder, again, revision=None):
    trust = {"trust_remote_code": True} | ({"revision": revision} if revision else {})
    config = AutoConfig.from_pretrained(folder, **trust)
    model = AutoModel.from_pretrained(folder, **trust).eval()
    classifier = AutoModelForImageClassification.from_pretrained(folder, **trust).eval()
    processor = AutoImageProcessor.from_pretrained(folder, **trust)
    inputs = processor(image, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs, explain_labels=2)
        assert torch.equal(classifier(**inputs, explain_labels=2).mask_logits, outputs.mask_logits)
    explained = pipeline("image-explanation", model=folder, **trust)(image, top_k=2)
    inferred = pipeline(model=folder, **trust)(image)
    classified = pipeline("image-classification", model=folder, **trust)(image, top_k=2)
    model.save_pretrained(again)
    processor.save_pretrained(again)
    return {
        "classes": [type(x).__name__ for x in (config, model, classifier, processor)],
        "logits": outputs.logits.tolist(),
        "mask_logits": outputs.mask_logits.tolist(),
        "explain": model.explain(image, top_k=2)["heatmaps"].shape,
        "explained": [{**e, "mask": e["mask"].size} for e in explained],
        "inferred": len(inferred),
        "classified": classified,
    }

image, *tasks = sys.argv[1:]
print(json.dumps([explain(*json.loads(task)) for task in tasks]))
"""


@pytest.fixture(scope="module")
def folder(make_model, make_processor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    make_model().save_pretrained(folder)
    make_processor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def backbone(make_model, make_processor, tmp_path_factory):
    """A model with another backbone, and its folder."""
    folder = tmp_path_factory.mktemp("backbone") / "model"
    model = make_model(backbone_config=DINOv3ViTConfig(**SIZES, num_register_tokens=2), pooling="mean")
    for part in (model, make_processor()):
        part.save_pretrained(folder)
    return model, folder


@pytest.fixture(scope="module")
def home(make_model, make_processor, tmp_path_factory):
    """A cache with two revisions of a repository, as after a download, each a saved pipeline."""
    home = tmp_path_factory.mktemp("home")
    repository = home / "hub" / "models--birds--pm-vit"
    (repository / "refs").mkdir(parents=True)
    for commit, reference, names in (("a" * 40, "v1", ["tit", "owl"]), ("b" * 40, "main", ["hen", "elk"])):
        snapshot = repository / "snapshots" / commit
        model = make_model(id2label=dict(enumerate(names)))
        modeling_pm_vit.ImageExplanationPipeline(model, image_processor=make_processor()).save_pretrained(snapshot)
        assert_complete(snapshot)
        (repository / "refs" / reference).write_text(commit)
    return home


@pytest.fixture(scope="module")
def without_package(folder, backbone, home, image, tmp_path_factory):
    """By name, what a process without the package made of a model, and the folder where it saved it again."""
    place = tmp_path_factory.mktemp("again")
    tasks = {
        "saved": [str(folder)],
        "saved again": [str(place / "saved")],
        "another backbone": [str(backbone[1])],
        "pinned revision": ["birds/pm-vit", "v1"],
    }
    again = {name: place / name for name in tasks}
    words = [json.dumps([source, str(again[name]), *revision]) for name, (source, *revision) in tasks.items()]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"HF_HOME": str(home)}
    command = [sys.executable, "-c", SCRIPT, str(image), *words]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: (answers, again[name]) for name, answers in zip(tasks, found, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["saved", "saved again"])
def test_saved_folder_and_a_copy_saved_from_it_work_without_the_package(
    without_package, folder, image, make_model, name
):
    expected = make_model()(
        modeling_pm_vit.PMViTImageProcessor.from_pretrained(folder)(image, return_tensors="pt").pixel_values,
        explain_labels=2,
    )
    found, again = without_package[name]
    assert found["classes"] == ["PMViTConfig", *["PMViTForImageClassification"] * 2, "PMViTImageProcessor"]
    assert torch.allclose(torch.tensor(found["logits"]), expected.logits, atol=1e-6)
    assert torch.allclose(torch.tensor(found["mask_logits"]), expected.mask_logits, atol=1e-6)
    assert found["explain"] == [2, 20, 30]
    assert [e["mask"] for e in found["explained"]] == [[30, 20]] * 2
    assert [e["label"] for e in found["explained"]] == [c["label"] for c in found["classified"]]
    assert found["inferred"] == 1
    assert_complete(again)


@pytest.mark.slow
def test_another_backbone_works_without_the_package(without_package, image, backbone, make_processor):
    found, again = without_package["another backbone"]
    pixel_values = make_processor()(image, return_tensors="pt").pixel_values
    assert torch.allclose(torch.tensor(found["logits"]), backbone[0](pixel_values).logits, atol=1e-6)
    assert_complete(again)


@pytest.mark.slow
def test_pinned_revision_of_a_repository(without_package):
    """The older one is loaded."""
    found, again = without_package["pinned revision"]
    assert {c["label"] for c in found["classified"]} == {e["label"] for e in found["explained"]} == {"tit", "owl"}
    assert_complete(again)
    assert "--" not in (again / "config.json").read_text()


def assert_complete(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        *FILES,
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    for name in FILES:
        assert (folder / name).read_text() == (Path(modeling_pm_vit.__file__).parent / name).read_text()
    config = json.loads((folder / "config.json").read_text())
    assert set(config["auto_map"]) == {
        "AutoConfig",
        "AutoModel",
        "AutoModelForImageClassification",
        "AutoImageProcessor",
    }
    assert "image-explanation" in config["custom_pipelines"]


@pytest.mark.slow
def test_loading_after_importing_the_package_warns_of_nothing(folder):
    """transformers warns once per process: in one of its own."""
    code = f"""
import modeling_pm_vit
from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline
AutoImageProcessor.from_pretrained({str(folder)!r})
AutoModelForImageClassification.from_pretrained({str(folder)!r})
pipeline("image-explanation", model={str(folder)!r}, trust_remote_code=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "backend" not in done.stderr


def test_saved_folder_contains_code_and_safetensors(folder):
    assert_complete(folder)


@pytest.mark.parametrize("name", FILES)
def test_saved_code_imports_nothing_else_of_the_package(name):
    tree = ast.parse((Path(modeling_pm_vit.__file__).parent / name).read_text())
    allowed = {"huggingface_hub", "numpy", "PIL", "torch", "transformers", *sys.stdlib_module_names}
    if name == "timm_pm_vit.py":  # only if the backbone is of timm, and inside `try`
        allowed.add("timm")
    if name == "dicom_pm_vit.py":  # inside `try`
        allowed.add("pydicom")
    if name == "regions_pm_vit.py":  # inside `try`
        allowed.add("tifffile")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {alias.name.partition(".")[0] for alias in node.names} <= allowed
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                assert node.level == 1
                assert f"{node.module}.py" in FILES
            else:
                assert node.module.partition(".")[0] in allowed
