import io

import numpy as np
import pytest
from PIL import Image

from modeling_pm_vit.data.mask_values import mask_pixels, value_ranges
from modeling_pm_vit.data.masks import MaskFormat, decode_mask
from modeling_pm_vit.utils.errors import InputError

SIZE = (40, 48)
INSIDE = (slice(8, 32), slice(8, 40))


def drawn(inside: float, outside: float = 0, dtype: type = np.uint8) -> np.ndarray:
    mask = np.full(SIZE, outside, dtype)
    mask[INSIDE] = inside
    return mask


def trimap() -> np.ndarray:
    """As of Oxford-IIIT Pet: 1 object, 2 background, 3 unknown, a border of one pixel around the object."""
    mask = np.full(SIZE, 2, np.uint8)
    mask[7:33, 7:41] = 3
    mask[INSIDE] = 1
    return mask


def void() -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[7:33, 7:41] = 255
    mask[INSIDE] = 1
    return mask


def jpeg(array: np.ndarray) -> Image.Image:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "jpeg", quality=60)
    return Image.open(file)


def palette(array: np.ndarray, *colours: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(array, "P")
    image.putpalette([value for colour in colours for value in colour])
    return image


def disc() -> np.ndarray:
    """Not aligned with the blocks of a JPEG."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.where((y - 19) ** 2 + (x - 23) ** 2 < 150, 255, 0).astype(np.uint8)


def blurred(array: np.ndarray) -> Image.Image:
    small = Image.fromarray(array).resize((24, 20), Image.Resampling.BILINEAR)
    return small.resize((48, 40), Image.Resampling.BILINEAR)


@pytest.mark.parametrize(
    "mask",
    [
        drawn(1),
        drawn(255),
        drawn(38),
        drawn(1, dtype=bool),
        drawn(65535, dtype=np.uint16),
        drawn(1, dtype=np.float32),
        Image.fromarray(drawn(255)).convert("1"),
        Image.fromarray(drawn(255)).convert("RGB"),
        Image.fromarray(drawn(255)).convert("RGBA"),
        Image.fromarray(drawn(255)).convert("LA"),
        np.repeat(drawn(255)[..., None], 3, -1),
        drawn(255)[..., None],
        palette(drawn(1), (0, 0, 0), (128, 0, 0)),  # a coloured palette: its indices
        palette(drawn(0, 1), (255, 255, 255), (0, 0, 0)),  # a grey one: its grey levels
    ],
)
def test_one_value_besides_0_is_the_object(mask):
    assert np.array_equal(decode_mask(mask, "binary", 3, SIZE).planes[0], drawn(1))
    assert mask_pixels(mask, "binary").shape == SIZE


@pytest.mark.parametrize("mask", [drawn(1, 1), drawn(255, 255), drawn(0)])
def test_a_mask_of_a_single_value_is_full_or_empty(mask):
    assert np.array_equal(decode_mask(mask, "binary", 0, SIZE).planes[0], mask > 0)


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (trimap(), r"found 1 \(40 %\), 2 \(54 %\), 3 \(6 %\): .*--mask_foreground 1 --mask_ignore 3 for the trimaps"),
        (void(), r"found 0 \(54 %\), 1 \(40 %\), 255 \(6 %\): .*--mask_ignore 255"),
        (drawn(2, 1), r"found 1 \(60 %\), 2 \(40 %\)"),
        (drawn(255, 128), r"found 128 \(60 %\), 255 \(40 %\): .*--mask_foreground 255"),
        (np.arange(40 * 48, dtype=np.uint16).reshape(SIZE) % 256, "found 256 values from 0 to 255: .*128-255"),
        (jpeg(disc() // 5), r"found \d+ values from 0 to 6\d: .*--mask_foreground 3\d-6"),
        (
            Image.fromarray(np.stack([drawn(255), drawn(0), drawn(0)], -1)),
            r"coloured \(\(0, 0, 0\) 60 %, \(255, 0, 0\) 40",
        ),
        (Image.fromarray(np.stack([drawn(255), disc()], -1), "LA"), "in part transparent"),
    ],
)
def test_values_that_leave_the_object_open_are_told_with_the_options(mask, told):
    with pytest.raises(InputError, match=told):
        decode_mask(mask, "binary", 0, SIZE)


@pytest.mark.parametrize(
    ("mask", "options", "expected_ignored"),
    [
        (trimap(), {"foreground": ["1"], "ignore": ["3"]}, trimap() == 3),
        (void(), {"ignore": ["255"]}, void() == 255),
        (void(), {"foreground": ["1"]}, None),
        (drawn(200, 100), {"foreground": ["128-255"]}, None),
        (drawn(0, 7), {"foreground": ["0"]}, None),
    ],
)
def test_options_name_the_object_and_the_unknown(mask, options, expected_ignored):
    ranges = {name: value_ranges(values, f"--mask_{name}") for name, values in options.items()}
    found = decode_mask(mask, MaskFormat(**ranges), 0, SIZE)
    assert np.array_equal(found.planes[0], drawn(1))
    assert np.array_equal(found.ignored, expected_ignored) if expected_ignored is not None else found.ignored is None


@pytest.mark.parametrize("mask", [jpeg(disc()), jpeg(np.repeat(disc()[..., None], 3, -1)), blurred(disc())])
def test_grey_levels_at_the_edge_are_split_at_half(mask):
    """The values of a JPEG above 0 reach far beyond the disc; its half does not."""
    values = np.asarray(mask.convert("L"))
    assert ((values > 0) & (values < 255)).any()
    plane = decode_mask(mask, "binary", 0, SIZE).planes[0]
    assert np.array_equal(plane, values >= 128)
    assert (plane != disc() // 255).mean() < 0.02


def test_a_soft_mask_of_floats_is_split_at_half():
    edge = np.linspace(0, 1, 30, dtype=np.float32)
    soft = np.concatenate([np.zeros(80, np.float32), edge, np.ones(80, np.float32)])[None]
    assert np.array_equal(decode_mask(soft, "binary", 0, soft.shape).planes[0], soft >= 0.5)


def test_further_values_can_be_unknown_among_numbers_of_classes():
    ids = np.array([[0, 2, 255, 65535]], np.uint16)
    found = decode_mask(ids, MaskFormat("class_id", ignore=value_ranges(["255"], "--mask_ignore")), 0, (1, 4))
    assert found.classes == [1]
    assert found.ignored.tolist() == [[False, False, True, True]]


def test_numbers_of_classes_may_be_in_a_palette_or_in_equal_channels_but_not_in_a_jpeg():
    ids = drawn(2)
    for mask in (palette(ids, (0, 0, 0), (9, 9, 9), (7, 7, 7)), Image.fromarray(ids).convert("RGB")):
        found = decode_mask(mask, "class_id", 0, SIZE)
        assert found.classes == [1]
        assert np.array_equal(found.planes[0], drawn(1))
    with pytest.raises(InputError, match=r"\(--mask_encoding class_id\) is a JPEG, which changes the numbers"):
        decode_mask(jpeg(ids), "class_id", 0, SIZE)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoding": "class_id", "foreground": ((1, 1),)}, "--mask_foreground is for binary masks"),
        ({"encoding": "box", "ignore": ((1, 1),)}, "--mask_ignore is for mask images; --mask_encoding is box"),
    ],
)
def test_options_that_do_not_fit_the_encoding_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        MaskFormat(**settings)


@pytest.mark.parametrize("text", ["", "a", "1-", "-3", "1,2", "0x1"])
def test_a_value_that_is_no_number_is_refused(text):
    with pytest.raises(InputError, match="--mask_ignore takes values such as 3 and ranges such as 128-255, got"):
        value_ranges([text], "--mask_ignore")
