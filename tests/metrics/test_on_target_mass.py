import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modeling_pm_vit.metrics.on_target_mass import ON_TARGET_MASS, on_target_mass
from modeling_pm_vit.metrics.pointing import energy_pointing_game


@pytest.mark.parametrize(
    ("heatmap", "share"),
    [
        ([[3, 1, 9]], 3 / 4),  # what lies on no object does not matter
        ([[0, 1, 9]], 0),
        ([[0, 0, 9]], np.nan),  # no mass on any object
        ([[-3, -1, 9]], np.nan),
        ([[np.nan, 1, 9]], np.nan),
    ],
)
def test_on_target_mass_by_hand(heatmap, share):
    heatmaps, masks, objects = np.array([heatmap], float), np.array([[[1, 0, 0]]]), np.array([[[1, 1, 0]]])
    assert on_target_mass(heatmaps, masks, objects)[0] == pytest.approx(share, nan_ok=True)
    assert np.isnan(on_target_mass(heatmaps, 0 * masks, objects)[0])
    values = ON_TARGET_MASS.compute(heatmaps=heatmaps, masks=masks, objects=objects)
    assert values["on_target_mass"] == pytest.approx(share, nan_ok=True)


MAPS = hnp.arrays(np.int16, (3, 3, 4), elements=st.integers(-5, 5))
MASKS = hnp.arrays(bool, (3, 3, 4))


@given(MAPS, MASKS)
def test_with_objects_everywhere_it_is_the_energy_based_pointing_game(maps, masks):
    has_mass = (maps > 0).any((1, 2))
    shares = on_target_mass(maps, masks, np.ones_like(masks))
    assert np.array_equal(shares[has_mass], energy_pointing_game(maps, masks)[has_mass], equal_nan=True)


@given(MAPS, MASKS, MASKS)
def test_on_target_mass_ignores_what_lies_on_no_object(maps, masks, objects):
    changed = np.where(objects, maps, 99)
    assert np.array_equal(on_target_mass(maps, masks, objects), on_target_mass(changed, masks, objects), equal_nan=True)
