"""Figures."""

import numpy as np
from PIL import Image

from modeling_pm_vit import figure


def test_figure_shows_every_panel_upright_and_in_order():
    red, tall = Image.new("RGB", (10, 10), (255, 0, 0)), Image.new("RGB", (10, 20), (0, 0, 255))
    tall.paste((0, 255, 0), (0, 0, 10, 10))
    sheet = np.asarray(
        figure([[("first", red), ("a caption of many words that does not fit", tall)], [("x", red)]], 64)
    )
    is_red = (sheet == (255, 0, 0)).all(-1)
    is_green, is_blue = (sheet == (0, 255, 0)).all(-1), (sheet == (0, 0, 255)).all(-1)
    assert is_red.sum() == 2 * 64 * 64
    assert is_green.sum() == is_blue.sum() == 32 * 32
    assert np.nonzero(is_green)[0].max() < np.nonzero(is_blue)[0].min()
    assert np.nonzero(is_red)[1].min() < np.nonzero(is_green)[1].min()
