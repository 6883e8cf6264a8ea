"""Which score is chosen, from which value on an answer is believed, and of which classes nothing is to be seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from modeling_pm_vit.confidence_pm_vit import DISTANCE_SCORES
from modeling_pm_vit.distance_pm_vit import FeatureDistance
from modeling_pm_vit.evaluation.calibration.answers import Answers, Outputs
from modeling_pm_vit.evaluation.calibration.confidence import (
    WRONG,
    as_json,
    empty_classes_of,
    measure_confidence,
    scores_of,
)
from modeling_pm_vit.evaluation.calibration.unknown_images import unknown_images
from modeling_pm_vit.utils.errors import InputError

SIZE = 300


@pytest.fixture
def answers():
    """Of three classes, the last of which is never seen; one answer of ten is wrong, and less sure."""
    rng = np.random.default_rng(0)
    named = np.arange(SIZE) % 3
    wrong = np.arange(SIZE) % 10 == 0
    logits = rng.normal(0, 0.2, (SIZE, 3))
    logits[np.arange(SIZE), named] += np.where(wrong, 1.5, 4)
    top = np.where(named == 2, -4, 3) + rng.normal(0, 0.5, SIZE)
    empty = np.zeros((SIZE, 1, 1))
    return Answers(
        **{"labels": np.where(wrong, (named + 1) % 3, named), "logits": logits, "map_logits": empty},
        **{"coverage": empty, "top_map_logits": top, "features": rng.standard_normal((SIZE, 4)) + logits[:, :1]},
    )


@pytest.fixture
def unseen():
    """Images of another kind: as sure as the right answers, but seen nowhere."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 0.2, (60, 3)) + np.array([4, 0, 0])
    return Outputs(logits=logits, top_map_logits=rng.normal(-1, 0.5, 60), features=rng.standard_normal((60, 4)) + 9)


def test_the_score_that_tells_most_is_chosen(answers, unseen):
    assert empty_classes_of(answers) == [2]
    known, other = (scores_of(outputs, 1.0, 1.0, [2]) for outputs in (answers, unseen))
    found = measure_confidence(answers, known, {"drawings": other}, coverage=0.9)
    assert found.score == "named_and_seen"  # the only one that sees both kinds
    assert found.auroc["max_probability"][WRONG][0] > 0.95 > 0.7 > found.auroc["max_probability"]["drawings"][0]
    assert found.auroc["seen"]["drawings"][0] > 0.95
    assert found.coverage == pytest.approx(0.9, abs=0.01) and found.precision > 0.95
    assert found.seen_nowhere["drawings"] > 0.9 > 0.1 > found.seen_nowhere["right answers"]
    assert found.refused["drawings"] > 0.9 > 0.1 > found.refused["right answers"]
    only_wrong = measure_confidence(answers, known, {}, coverage=0.9)
    assert as_json(only_wrong)["auroc"]["seen"].keys() == {WRONG}


def test_a_distance_is_chosen_where_it_tells_more(answers, unseen):
    reference = torch.from_numpy(answers.features), torch.from_numpy(answers.labels)
    distances = [FeatureDistance.fitted(score, *reference) for score in DISTANCE_SCORES]
    known, other = (scores_of(outputs, 1.0, 1.0, [2], distances) for outputs in (answers, unseen))
    found = measure_confidence(answers, known, {"drawings": other}, coverage=0.9)
    assert found.auroc["mahalanobis"]["drawings"][0] > 0.99 and found.auroc.keys() > set(DISTANCE_SCORES)
    means = {name: np.mean([area[0] for area in areas.values()]) for name, areas in found.auroc.items()}
    assert found.score == max(means, key=lambda name: means[name])


def test_a_class_without_an_object_is_not_doubted(answers):
    is_last = answers.logits.argmax(1) == 2
    assert scores_of(answers, 1.0, 1.0, []).seen_nowhere[is_last & answers.right].all()
    assert not scores_of(answers, 1.0, 1.0, [2]).seen_nowhere[is_last].any()


def test_a_class_whose_objects_have_masks_is_not_empty_although_nothing_is_seen(answers):
    coverage = np.where(answers.labels == 2, 0.5, 0.0)[:, None, None]
    assert empty_classes_of(replace(answers, coverage=coverage)) == []


def test_the_precision_that_is_wanted_is_kept_or_refused(answers):
    known = scores_of(answers, 1.0, 1.0, [2])
    found = measure_confidence(answers, known, {}, score="max_probability", precision=0.98)
    assert found.precision >= 0.98 and found.coverage < 1
    stored = measure_confidence(answers, known, {}, score="energy", threshold=-100.0)
    assert (stored.coverage, stored.precision, stored.threshold) == (1, pytest.approx(0.9), -100)
    worst = answers[~answers.right]
    with pytest.raises(
        InputError, match=r"--precision 0.5: no threshold of energy reaches it; .* 0.0 % are classified"
    ):
        measure_confidence(worst, scores_of(worst, 1.0, 1.0, []), {}, score="energy", precision=0.5)


def test_images_of_another_kind(tmp_path):
    noise = list(unknown_images("noise", 3, side=20))
    assert [image.size for image in noise] == [(20, 20)] * 3 and np.asarray(noise[0]).std() > 60
    assert all(np.array_equal(*pair) for pair in zip(noise, unknown_images("noise", 3, side=20), strict=True))
    assert len(list(unknown_images("drawings", 2))) == 2
    pictures = {"photo": [Image.new("L", (9, 7), 40 * number) for number in range(5)]}
    features = Features({"photo": ImageFeature()})
    Dataset.from_dict(pictures, features=features).to_parquet(tmp_path / "moles" / "test.parquet")
    found = list(unknown_images(str(tmp_path / "moles"), 3, column="photo"))
    assert len({image.getpixel((0, 0)) for image in found}) == 3 and found[0].mode == "RGB"
    with pytest.raises(InputError, match="no column 'image'"):
        list(unknown_images(str(tmp_path / "moles"), 3))
