import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modeling_pm_vit.metrics.off_object import border_share, border_zone, off_object_share
from modeling_pm_vit.metrics.pointing import energy_pointing_game


@given(hnp.arrays(np.float32, (3, 4, 5), elements=st.floats(-1, 1, width=32)), hnp.arrays(bool, (3, 4, 5)))
def test_what_is_not_on_the_object_is_off_it(heatmaps, masks):
    shares = off_object_share(heatmaps, masks)
    known = (heatmaps > 0).any((1, 2)) & masks.any((1, 2))
    assert np.array_equal(np.isfinite(shares), known)
    assert shares[known] == pytest.approx(1 - energy_pointing_game(heatmaps, masks)[known])


def test_the_border_is_a_tenth_of_each_side():
    zone = border_zone((20, 40))
    assert not zone[2:18, 4:36].any() and zone.sum() == 20 * 40 - 16 * 32
    corner, middle = np.zeros((2, 20, 40))
    corner[0, 0] = middle[10, 20] = 1
    even = np.ones((20, 40))
    assert border_share(np.stack([corner, middle, even])) == pytest.approx([1, 0, zone.mean()])
