import numpy as np
import pytest
import quantus
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modeling_pm_vit.metrics.pointing import POINTING, energy_pointing_game, pointing_game

MASK = np.array([[1, 0], [0, 1]])


@pytest.mark.parametrize(
    ("heatmap", "hit", "energy"),
    [
        ([[4, 3], [2, 1]], 1, 5 / 10),
        ([[3, 4], [2, 1]], 0, 4 / 10),
        ([[3, 4], [2, 4]], 1, 7 / 13),  # one of two maxima is inside
        ([[-1, -2], [-2, -2]], 1, 0),  # a maximum, but no mass
        ([[-5, 4], [0, 4]], 1, 4 / 8),  # what is negative has no mass
        ([[2, 2], [2, 2]], 1, 1 / 2),
        ([[0, 0], [0, 0]], 1, 0),
        ([[np.nan, 1], [2, 3]], 0, 0),
        ([[np.inf, 1], [2, 3]], 0, 0),
    ],
)
def test_by_hand(heatmap, hit, energy):
    heatmaps, masks = np.array([heatmap], float), np.array([MASK])
    assert pointing_game(heatmaps, masks)[0] == hit
    assert energy_pointing_game(heatmaps, masks)[0] == pytest.approx(energy, abs=1e-12)


def test_an_image_with_an_empty_mask_does_not_count():
    heatmaps, masks = np.array([[[1, 0], [0, 0]]] * 3), np.array([MASK, 0 * MASK, 1 - MASK])
    assert POINTING.compute(heatmaps=heatmaps, masks=masks) == {"pointing_game": 0.5, "energy_pointing_game": 0.5}
    assert np.isnan(list(POINTING.compute(heatmaps=heatmaps[1:2], masks=masks[1:2]).values())).all()


def test_masks_may_hold_any_number():
    assert energy_pointing_game(np.ones((1, 1, 4)), np.array([[[0, 255, 7, 0]]]))[0] == 0.5


@pytest.mark.parametrize("function", [pointing_game, energy_pointing_game])
def test_shapes_must_agree(function):
    with pytest.raises(ValueError, match=r"\(1, 2, 3\)"):
        function(np.zeros((1, 2, 3)), np.zeros((1, 3, 2)))


def by_quantus(metric, maps, masks) -> np.ndarray:
    return np.array(
        metric(
            model=None,
            x_batch=np.zeros((len(maps), 3, *maps.shape[1:])),
            y_batch=np.zeros(len(maps), int),
            a_batch=maps[:, None].copy(),
            s_batch=masks[:, None].copy(),
        ),
        float,
    )


@pytest.mark.parametrize("seed", range(5))
def test_equals_quantus(seed):
    rng = np.random.default_rng(seed)
    maps, masks = rng.normal(size=(12, 6, 7)) * 10, rng.random((12, 6, 7)) < 0.4
    maps[::3] = maps[::3].round(-1)  # tied maxima
    game = quantus.PointingGame(abs=False, normalise=False, disable_warnings=True)
    energy = quantus.AttributionLocalisation(
        abs=False, normalise=False, positive_attributions=True, disable_warnings=True
    )
    assert np.array_equal(pointing_game(maps, masks), by_quantus(game, maps, masks))
    assert energy_pointing_game(maps, masks) == pytest.approx(by_quantus(energy, maps, masks), abs=1e-6)


MAPS = hnp.arrays(np.int16, (3, 3, 4), elements=st.integers(-5, 5))
MASKS = hnp.arrays(bool, (3, 3, 4))


@given(MAPS, MASKS)
def test_the_game_depends_on_the_order_alone(maps, masks):
    hits = pointing_game(maps, masks)
    assert np.array_equal(hits, pointing_game(np.exp(maps / 3) - 9, masks), equal_nan=True)
    assert np.array_equal(np.isnan(hits), ~masks.any((1, 2)))


@given(MAPS, MASKS)
def test_energy_is_a_share(maps, masks):
    inside, outside = energy_pointing_game(maps, masks), energy_pointing_game(maps, ~masks)
    both = masks.any((1, 2)) & ~masks.all((1, 2))
    assert (inside + outside)[both] == pytest.approx((maps > 0).any((1, 2))[both].astype(float))
    assert np.array_equal(energy_pointing_game(maps * 4, masks), inside, equal_nan=True)
