"""The repository of the graphs, which is published beside the model."""

import json
from dataclasses import replace

import pytest

from modeling_pm_vit.hub.publish import publish
from modeling_pm_vit.hub.release import WRITTEN
from modeling_pm_vit.hub.spaces import front_matter
from tests.conftest import NAMES
from tests.hub.conftest import REPOSITORY

GRAPHS = "birds/pm-vit-ONNX"


@pytest.mark.usefixtures("fast_load")
def test_the_graphs_are_published_with_the_commit_of_the_model(hub, api, arguments, tmp_path):
    arguments = replace(arguments, onnx_repo=GRAPHS)
    commit = publish(arguments, api)
    repository = hub.repositories[GRAPHS]
    files = repository.commits[repository.refs["main"]]
    assert all(WRITTEN.fullmatch(path) for path in files if path != ".gitattributes")
    config = json.loads(files["config.json"])
    assert (config["model_type"], list(config["id2label"].values())) == ("vit", NAMES)
    assert json.loads(files["preprocessor_config.json"])["size"] == {"height": 32, "width": 32}
    model = hub.repositories[REPOSITORY].commits[commit]
    for name in ("onnx/model.onnx", "onnx/model.json"):
        assert files[name] == model[name]
    (tmp_path / "README.md").write_bytes(files["README.md"])
    card = files["README.md"].decode()
    assert front_matter(tmp_path / "README.md") == {
        "library_name": "transformers.js",
        "pipeline_tag": "image-classification",
        "license": "cc-by-nc-4.0",
        "base_model": REPOSITORY,
        "base_model_relation": "quantized",
        "tags": ["pm-vit", "explainability", "vision", "onnx"],
    }
    sha256 = json.loads(files["onnx/model.json"])["agreement"]["fp32"]["sha256"]
    assert f"commit `{commit}`" in card and f"`model.onnx`: SHA-256 {sha256}" in card
    assert f'pipeline("image-classification", "{GRAPHS}")' in card and "5 classes" in card
    assert f"{GRAPHS}" in model["README.md"].decode()

    before = {name: dict(found.refs) for name, found in hub.repositories.items()}
    assert publish(arguments, api) == commit  # the same again changes nothing
    assert {name: dict(found.refs) for name, found in hub.repositories.items()} == before
