"""Overlays and heat maps."""

import numpy as np
import pytest
from PIL import Image

from modeling_pm_vit import heatmap, load_image, overlay, overlay_pm_vit
from modeling_pm_vit.overlay_pm_vit import CLASS_COLOURS


@pytest.fixture
def photograph():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))


def test_colours_show_the_probability_without_rescaling():
    weak, strong = np.full((4, 4), 0.3), np.full((4, 4), 0.3)
    strong[0, 0] = 1.0
    assert heatmap(weak).getpixel((2, 2)) == heatmap(strong).getpixel((2, 2))


def test_brightness_grows_with_the_probability():
    ramp = np.asarray(heatmap(np.linspace(0, 1, 101)[None]).convert("L"), int)[0]
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


@pytest.mark.parametrize(
    "ground", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (255, 90, 0), (0, 150, 255), (0, 255, 0)]
)
def test_tints_are_visible_on_any_ground(ground):
    """Each differs from the ground, from the other, and so does a rim of the line."""
    heatmaps = np.zeros((2, 100, 100))
    heatmaps[0, 10:50, 10:90] = heatmaps[1, 60:90, 10:90] = 0.9
    painted = np.asarray(overlay(Image.new("RGB", (100, 100), ground), heatmaps), int)
    first, second, plain = painted[30, 50], painted[75, 50], painted[5, 5]
    assert min(abs(first - plain).max(), abs(second - plain).max(), abs(first - second).max()) > 40
    assert abs(painted[10:13, 50] - plain).max() > 120


def test_under_a_tint_the_photograph_keeps_its_brightness_and_loses_its_colours(photograph):
    tinted = np.asarray(overlay(photograph, np.ones((30, 40)), threshold=None, opacity=0.0), int)
    assert abs(tinted - np.asarray(photograph.convert("L"), int)[..., None]).max() <= 1


def place_of(picture, colour):
    """The first and last row and the first and last column that have this colour."""
    rows, columns = np.nonzero((np.asarray(picture) == colour).all(-1))
    return rows.min(), rows.max(), columns.min(), columns.max()


def test_captions_stand_on_the_colour_of_their_class_above_it_and_apart():
    image, heatmaps = Image.new("RGB", (300, 200)), np.zeros((2, 200, 300))
    heatmaps[:, 100:180, 100:200] = 1  # both at one place
    captioned = overlay(image, heatmaps, threshold=None, opacity=0, captions=["cat", "dog"])
    top, bottom, left, right = place_of(captioned, CLASS_COLOURS[0])
    assert 70 < top < bottom < 100
    assert (left + right) / 2 == pytest.approx(150, abs=3)
    other = place_of(captioned, CLASS_COLOURS[1])
    assert other[0] > bottom or other[1] < top
    nowhere = place_of(overlay(image, heatmaps[:1] * 0.4, opacity=0, captions=["cat"]), CLASS_COLOURS[0])
    assert nowhere[0] < 5 and nowhere[2] < 5  # in the corner


def test_a_caption_of_any_length_stays_on_the_picture_and_small_pictures_get_none():
    maps, small = np.ones((1, 120, 100)), np.ones((1, 64, 64))
    assert overlay(Image.new("RGB", (100, 120)), maps, captions=["a very long name of a class 12.5 %"]).size == (
        100,
        120,
    )
    without = overlay(Image.new("RGB", (64, 64)), small)
    assert np.array_equal(overlay(Image.new("RGB", (64, 64)), small, captions=["cat"]), without)
    with pytest.raises(ValueError, match="a caption for each of 1 maps, got 2"):
        overlay(Image.new("RGB", (64, 64)), small, captions=["cat", "dog"])


def test_the_scale_is_beside_the_image_and_has_its_tints(photograph):
    photograph = photograph.resize((400, 300))
    heatmaps = np.zeros((2, 300, 400))
    heatmaps[0, :150], heatmaps[1, 150:] = 1, 1
    plain, scaled = (np.asarray(overlay(photograph, heatmaps, scale=scale), int) for scale in (False, True))
    assert np.array_equal(scaled[:, :400], plain)
    for colour in CLASS_COLOURS[:2]:
        strongest = 128 * 0.4 + 0.6 * np.array(colour)
        assert (abs(scaled[:20, 400:] - strongest).max(-1) <= 1).any()


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_line_follows_the_threshold_inside_the_class(threshold):
    ramp = np.tile(np.linspace(0, 1, 40), (30, 1))
    lined = np.asarray(overlay(Image.new("RGB", (40, 30)), ramp, threshold, opacity=0.0))
    columns = np.flatnonzero(lined.any((0, 2)))
    assert columns[0] == np.flatnonzero(ramp[0] >= threshold)[0]
    assert lined[15, columns].tolist() == [[32] * 3, list(CLASS_COLOURS[0]), [255] * 3]


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


@pytest.mark.parametrize("columns", [slice(None), slice(1, 2), slice(0, 1)], ids=["all", "inner", "left"])
@pytest.mark.parametrize("stripe", [40, 10**6])
def test_a_large_image_is_painted_in_stripes(monkeypatch, stripe, columns):
    monkeypatch.setattr(overlay_pm_vit, "_STRIPE", stripe)
    rng = np.random.default_rng(0)
    image = Image.new("RGB", (500, 500))
    values = np.zeros((4, 4), np.float32)
    values[:, columns] = rng.random((4, 4), np.float32)[:, columns]
    small = Image.fromarray(values)
    large = np.asarray(small.resize(image.size, Image.Resampling.BILINEAR))
    painted = np.asarray(overlay(image, large, 0.8, opacity=0))
    dark, line, rim = (outline(large >= 0.8, width) for width in (2, 4, 6))  # 500 / 250 a part
    assert dark.any()
    assert (painted[dark] == 32).all()
    assert (painted[line & ~dark] == CLASS_COLOURS[0]).all()
    assert (painted[rim & ~line] == 255).all()
    assert (painted[~rim] == 0).all()


@pytest.mark.parametrize("wrong", [np.zeros((40, 30)), np.full((30, 40), 1.1), np.full((30, 40), np.nan)])
def test_wrong_maps_are_refused(photograph, wrong):
    with pytest.raises(ValueError, match="expected"):
        overlay(photograph, wrong)
