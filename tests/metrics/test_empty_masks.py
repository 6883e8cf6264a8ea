import numpy as np
import pytest

from modeling_pm_vit.metrics.empty_masks import EMPTY_MASKS


def test_by_hand():
    heatmaps = np.array([[[0.4, 0.1]], [[0.5, 0.1]], [[0.9, 0.9]], [[np.nan, 0.9]]])
    values = EMPTY_MASKS.compute(heatmaps=heatmaps)
    assert values == {"empty_maps": 2 / 4, "false_area": pytest.approx((0 + 1 / 2 + 1 + 0) / 4)}
