"""Models of other backbones, published: staging reads any of them alike, so two stand for all, one of them of timm."""

import json

import pytest

from modeling_pm_vit import PMViTImageProcessor
from modeling_pm_vit.hub.arguments import PublishArguments
from modeling_pm_vit.hub.checks import find_problems
from modeling_pm_vit.hub.release import stage
from modeling_pm_vit.hub.spaces import stage_gradio_space
from tests.backbones import make_family


@pytest.mark.parametrize(
    "family, reads", [("dinov3_vit", "class token"), ("timm_wrapper, mean", "mean of the patches")]
)
def test_what_is_published_says_the_backbone_and_installs_what_it_needs(family, reads, tmp_path):
    make_family(family, id2label=dict(enumerate(["tit", "owl", "hen", "elk", "cod"]))).save_pretrained(tmp_path / "run")
    PMViTImageProcessor(size={"height": 32, "width": 32}, patch_size=8).save_pretrained(tmp_path / "run")
    arguments = PublishArguments(
        tmp_path / "run", "birds/pm-vit", "v1.0", "birds/photographs", "mit", gradio_space="birds/app"
    )
    stage(arguments, tmp_path / "repository")
    assert find_problems(tmp_path / "repository") == []
    card = (tmp_path / "repository" / "README.md").read_text()
    config = json.loads((tmp_path / "repository" / "config.json").read_text())
    assert f"`{config['backbone_config']['model_type']}`, whose {reads} the classifier reads" in card
    stage_gradio_space(arguments, tmp_path / "repository", tmp_path / "space")
    for text in (
        card,
        (tmp_path / "repository" / "requirements.txt").read_text(),
        (tmp_path / "space" / "requirements.txt").read_text(),
    ):
        assert ("timm" in text.replace("timm_wrapper", "")) == family.startswith("timm")
