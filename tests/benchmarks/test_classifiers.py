import copy

import torch

from benchmarks.classifiers import Called, compare_models
from benchmarks.models import Size, random_pm_vit
from modeling_pm_vit.classifier_pm_vit import _is_plain_linear


def test_only_one_of_the_compared_classifiers_is_called():
    plain = random_pm_vit(Size(64, 1, 1, 0.001), 7, image_size=32)
    called = copy.deepcopy(plain)
    called.classifier.__class__ = Called
    assert _is_plain_linear(plain.classifier)
    assert not _is_plain_linear(called.classifier)
    pair = compare_models(called, plain, torch.zeros(1, 3, 32, 32), seconds=0)
    assert pair["low"] <= pair["ratio"] <= pair["high"]
