"""Overlays, heat maps and figures."""

import numpy as np
import pytest
from PIL import Image

from modeling_pm_vit import load_image, visualization
from modeling_pm_vit.visualization import CLASS_COLOURS, figure, heatmap_image, overlay


@pytest.fixture
def photograph():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))


def test_colours_show_the_probability_without_rescaling():
    weak, strong = np.full((4, 4), 0.3), np.full((4, 4), 0.3)
    strong[0, 0] = 1.0
    assert heatmap_image(weak).getpixel((2, 2)) == heatmap_image(strong).getpixel((2, 2))


def test_brightness_grows_with_the_probability():
    ramp = np.asarray(heatmap_image(np.linspace(0, 1, 101)[None]).convert("L"), int)[0]
    assert (np.diff(ramp) >= 0).all()
    assert ramp[-1] - ramp[0] > 150


def test_overlay_of_an_empty_map_is_the_photograph(photograph):
    assert np.array_equal(overlay(photograph, np.zeros((30, 40))), photograph)


def test_tint_has_the_colour_of_the_class_at_its_place(photograph):
    heatmaps = np.zeros((2, 30, 40))
    heatmaps[0, :10, :15] = 1
    heatmaps[1, 20:, 30:] = 1
    tinted = np.asarray(overlay(photograph, heatmaps, threshold=None, opacity=1.0))
    assert (tinted[:10, :15] == CLASS_COLOURS[0]).all()
    assert (tinted[20:, 30:] == CLASS_COLOURS[1]).all()
    assert np.array_equal(tinted[10:20], np.asarray(photograph)[10:20])


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_line_follows_the_threshold_inside_the_class(threshold):
    heatmap = np.tile(np.linspace(0, 1, 40), (30, 1))
    lined = np.asarray(overlay(Image.new("RGB", (40, 30)), heatmap, threshold, opacity=0.0))
    columns = np.flatnonzero(lined.any((0, 2)))
    assert columns[0] == np.flatnonzero(heatmap[0] >= threshold)[0]
    assert len(columns) == 2  # the coloured line and its white rim


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_images_of_any_mode(photograph, mode):
    assert overlay(photograph.convert(mode), np.zeros((30, 40))).mode == "RGB"


def test_an_image_is_painted_as_it_is_explained():
    """Turned upright, and with the depth of its values."""
    deep = Image.fromarray((np.arange(1200).reshape(30, 40) * 3).astype(np.uint16))
    assert np.array_equal(overlay(deep, np.zeros((30, 40))), load_image(deep))
    deep.getexif()[0x0112] = 6
    assert overlay(deep, np.zeros((40, 30))).size == (30, 40)


def outline(mask, width):
    """The pixels of the mask that what lies outside reaches in `width` steps."""
    reached = ~mask
    for _ in range(width):
        before = reached.copy()
        reached[1:] |= before[:-1]
        reached[:-1] |= before[1:]
        reached[:, 1:] |= before[:, :-1]
        reached[:, :-1] |= before[:, 1:]
    return mask & reached


@pytest.mark.parametrize("stripe", [40, 10**6])
def test_a_large_image_is_painted_in_stripes(monkeypatch, stripe):
    monkeypatch.setattr(visualization, "_STRIPE", stripe)
    rng = np.random.default_rng(0)
    image = Image.new("RGB", (300, 300))
    small = Image.fromarray(rng.random((4, 4), np.float32))
    heatmap = np.asarray(small.resize(image.size, Image.Resampling.BILINEAR))
    painted = np.asarray(overlay(image, heatmap, 0.8, opacity=0))
    rim, line = outline(heatmap >= 0.8, 4), outline(heatmap >= 0.8, 2)  # 300 / 200, rounded
    assert line.any()
    assert (painted[line] == CLASS_COLOURS[0]).all()
    assert (painted[rim & ~line] == 255).all()
    assert (painted[~rim] == 0).all()


@pytest.mark.parametrize("wrong", [np.zeros((40, 30)), np.full((30, 40), 1.1), np.full((30, 40), np.nan)])
def test_wrong_maps_are_refused(photograph, wrong):
    with pytest.raises(ValueError, match="expected"):
        overlay(photograph, wrong)


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
