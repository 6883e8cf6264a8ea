"""Pictures of evaluation images are uploaded only if that was asked for."""

import huggingface_hub
import pytest
import transformers.trainer
from huggingface_hub import HfApi

from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.run import train
from tests.hub.hub_server import running_hub
from tests.training.conftest import SETTINGS, as_flags


@pytest.mark.slow
@pytest.mark.parametrize("asked, folder", [({}, "_overlays"), ({"push_overlays": True}, "overlays")])
def test_pictures_of_evaluation_images_are_uploaded_only_if_asked_for(tmp_path, monkeypatch, asked, folder):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    with running_hub() as hub:
        monkeypatch.setattr(transformers.trainer, "hf_api", lambda: HfApi(endpoint=hub.address, token="hf_test"))
        changes = {"output_dir": tmp_path / "run", "push_to_hub": True, "hub_model_id": "birds/run", "overlays": 2}
        train(*parse_arguments(as_flags(SETTINGS | changes | {"report_to": "tensorboard"} | asked)))
    repository = hub.repositories["birds/run"]
    uploaded = repository.commits[repository.refs["main"]]
    assert "model.safetensors" in uploaded
    assert list((tmp_path / "run" / folder).glob("*.png"))
    pictures = [name for name in uploaded if name.endswith(".png")]
    logs = b"".join(content for name, content in uploaded.items() if name.startswith("runs/"))
    assert logs
    assert bool(pictures) == (b"PNG" in logs) == bool(asked)
