import json

import numpy as np
import pytest

from modeling_pm_vit.data.synthetic import CLASSES
from modeling_pm_vit.evaluation.arguments import EvaluationArguments
from modeling_pm_vit.evaluation.run import evaluate
from modeling_pm_vit.metrics.held_out_localization import HELD_OUT_LOCALIZATION, at_held_out_thresholds
from modeling_pm_vit.metrics.localization import LOCALIZATION

HALO = np.zeros((8, 8))
HALO[1:6, 0:6] = 0.5
CORE = [1, 2, 4, 5]  # the box of what is added now; that of the halo is 0, 1, 6, 6
HALO[2:5, 1:4] = 1.0


def evaluated(boxes, held_out_boxes, correct=None) -> dict[str, float]:
    return HELD_OUT_LOCALIZATION.compute(
        heatmaps=np.array([HALO] * len(boxes)),
        boxes=[np.array([box]) for box in boxes],
        held_out_heatmaps=np.array([HALO] * len(held_out_boxes)),
        held_out_boxes=[np.array([box]) for box in held_out_boxes],
        correct=correct,
    )


@pytest.mark.parametrize(
    ("held_out", "core", "halo"), [([CORE], 1, 0), ([[0, 1, 6, 6]], 0, 1), ([CORE, CORE, [0, 1, 6, 6]], 1, 0)]
)
def test_the_held_out_images_say_where_a_map_is_cut(held_out, core, halo):
    values = evaluated([CORE], held_out)
    assert (values["gt_known"], values["box_acc_70"]) == (core, core)
    assert (values["threshold"] >= 127 / 255) == bool(core)  # a grey of .5 is the byte 127
    values = evaluated([[0, 1, 6, 6]], held_out)
    assert (values["gt_known"], values["box_acc_70"]) == (halo, halo)


def test_top1_needs_the_class_too():
    values = evaluated([CORE] * 4, [CORE], np.array([1, 0, 1, 1]))
    assert values["gt_known"] == values["box_acc_v2"] == 1
    assert values["top1_localization"] == 0.75


def test_the_threshold_of_the_set_itself_is_never_worse():
    rng = np.random.default_rng(0)
    maps = rng.random((2, 12, 16, 16)).round(1)
    corners = rng.integers(0, 8, (2, 12, 2))
    boxes = [[np.array([[*xy, *(xy + 7)]]) for xy in part] for part in corners]
    records = [LOCALIZATION.measure(heatmaps=m, boxes=b, correct=np.ones(12)) for m, b in zip(maps, boxes, strict=True)]
    fixed = HELD_OUT_LOCALIZATION.values_of(at_held_out_thresholds(records[0], records[1]))
    own = HELD_OUT_LOCALIZATION.values_of(at_held_out_thresholds(records[0], records[0]))
    best = LOCALIZATION.values_of(records[0])
    assert (own["gt_known"], own["box_acc_v2"]) == pytest.approx((best["max_box_acc"], best["max_box_acc_v2"]))
    assert fixed["gt_known"] <= best["max_box_acc"]
    assert fixed["box_acc_v2"] <= best["max_box_acc_v2"]


def test_held_out_images_without_boxes_choose_nothing():
    nothing = LOCALIZATION.measure(heatmaps=HALO[None], boxes=[np.zeros((0, 4))])
    with pytest.raises(ValueError, match="no held-out image has a box"):
        at_held_out_thresholds(nothing, nothing)


@pytest.mark.slow
def test_the_report_has_both(make_model, make_processor, tmp_path):
    make_model(id2label=dict(enumerate(CLASSES))).save_pretrained(tmp_path / "model")
    make_processor().save_pretrained(tmp_path / "model")
    asked = {"explainers": ["gaussian", "pm-vit"], "metrics": ["localization"], "max_samples": 6}
    request = EvaluationArguments(str(tmp_path / "model"), tmp_path / "out", held_out_split="validation", **asked)
    results, folder = evaluate(request)
    for explainer in asked["explainers"]:
        fixed = results["localization_held_out"][explainer]
        assert fixed["gt_known"].count == 6
        assert fixed["box_acc_v2"].value <= results["localization"][explainer]["max_box_acc_v2"].value
    assert "## Localization at held-out thresholds" in (folder / "report.md").read_text()
    assert json.loads((folder / "results.json").read_text())["settings"]["held_out_split"] == "validation"
    with pytest.raises(ValueError, match="add it to --metrics"):
        EvaluationArguments("model", tmp_path, metrics=["pointing"], held_out_split="validation")
