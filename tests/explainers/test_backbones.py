"""Every explainer that can on every family of backbones of a PM-ViT, as on the classifier of transformers."""

import numpy as np
import pytest
import torch

from modeling_pm_vit import PMViTForImageClassification
from modeling_pm_vit.evaluation.arguments import EvaluationArguments
from modeling_pm_vit.evaluation.cost import explanation_costs
from modeling_pm_vit.evaluation.randomized_models import randomized_models
from modeling_pm_vit.evaluation.run import methods_of
from modeling_pm_vit.explainers import explainers
from modeling_pm_vit.pseudo_masks.features import patch_features
from modeling_pm_vit.utils.errors import InputError
from tests.backbones import every_family, every_stock, make_family

QUICK = explainers(rise_masks=20, integration_steps=7)
OF_ATTENTIONS = ("raw-attention", "rollout", "relevance", "legrad")
LABELS = torch.tensor([0, 3])


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@every_stock
def test_maps_are_those_of_the_classifier_of_transformers(case, images, tmp_path):
    stock = case.build()
    stock.save_pretrained(tmp_path)
    model = PMViTForImageClassification.from_pretrained(tmp_path).eval()
    for name in ("patch-logits", "grad-cam", "relevance", "raw-attention", "legrad", "pm-vit"):
        expected = QUICK[name](stock, images, LABELS)
        np.testing.assert_allclose(QUICK[name](model, images, LABELS), expected, atol=1e-4, err_msg=name)


@every_family
def test_every_explainer_gives_maps_or_says_that_there_are_no_attentions(family, images):
    model = make_family(family)
    for name, explainer in QUICK.items():
        if name in OF_ATTENTIONS and family.startswith("timm"):
            with pytest.raises(InputError, match=r"a timm backbone gives no attentions.*name others"):
                explainer(model, images, LABELS)
            continue
        maps = explainer(model, images, LABELS)
        assert maps.shape in ((2, 4, 4), (2, 32, 32)) and np.isfinite(maps).all(), name
    assert explanation_costs({"pm-vit": QUICK["pm-vit"]}, model, images, rounds=1)["pm-vit"]
    random = randomized_models(model)["upper_half"]
    assert not torch.equal(random.classifier.weight, model.classifier.weight)
    assert patch_features(model, images, "token").shape == (2, 16, 4, 4)


@every_family
def test_an_evaluation_by_all_explainers_takes_those_that_the_backbone_allows(family, capsys):
    model = make_family(family)
    found = methods_of(EvaluationArguments("any", device="cpu"), model)
    left_out = OF_ATTENTIONS if family.startswith("timm") else ()
    assert found.keys() == QUICK.keys() - set(left_out)
    assert all(name in capsys.readouterr().out for name in left_out[:1])
    named = EvaluationArguments("any", device="cpu", explainers=["pm-vit", "rollout"])
    if left_out:
        with pytest.raises(InputError, match="a timm backbone gives no attentions"):
            methods_of(named, model)
    else:
        assert methods_of(named, model).keys() == {"pm-vit", "rollout"}
