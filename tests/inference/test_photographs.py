import io
from functools import partial

import numpy as np
import pytest
from PIL import Image

from modeling_pm_vit.inference.photographs import Failure, Photograph, in_batches, read_photograph


def jpeg(width, height, orientation=1):
    """A smooth photograph, encoded."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([255 * x / width, 255 * y / height, 127 + 100 * np.sin(x / 40)], -1).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "jpeg", quality=95, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("width, height", [(40, 30), (63, 200), (64, 64), (130, 400), (1003, 700)])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("as_file", [True, False])
def test_a_reduced_jpeg_looks_the_same(make_processor, tmp_path, width, height, orientation, as_file):
    content = jpeg(width, height, orientation)
    (tmp_path / "a.jpg").write_bytes(content)
    value = tmp_path / "a.jpg" if as_file else {"bytes": content, "path": None}
    whole, reduced = (read_photograph(value, make_processor(do_normalize=False), keep) for keep in (True, False))
    assert whole.size == reduced.size == ((height, width) if orientation == 1 else (width, height))
    assert (whole.image.height, whole.image.width) == whole.size
    assert reduced.image is None
    difference = 255 * (whole.pixel_values - reduced.pixel_values).abs()
    if min(width, height) < 64:  # less than twice the side of 32: decoded as a whole
        assert difference.max() == 0
    assert difference.mean() < 0.5
    assert difference.max() < 4


@pytest.mark.parametrize("settings, sizes", [({}, {(32, 32)}), ({"size": {"shortest_edge": 32}}, {(1000, 800)})])
def test_only_images_of_a_fixed_shape_are_reduced(make_processor, settings, sizes):
    processor = make_processor(**settings)
    seen = []

    class Watching:
        do_resize, size, resample = processor.do_resize, processor.size, processor.resample

        def __call__(self, image, **settings):
            seen.append(image.size)
            return processor(image, **settings)

    read_photograph(jpeg(1000, 800), Watching(), keep_image=False)
    assert set(seen) == sizes
    read_photograph(jpeg(1000, 800), Watching(), keep_image=True)
    assert seen[-1] == (1000, 800)


@pytest.mark.parametrize("value", [b"no image", None, {"bytes": jpeg(40, 40)[:200], "path": None}])
@pytest.mark.parametrize("keep_image", [True, False])
def test_what_cannot_be_read_is_a_failure(make_processor, value, keep_image):
    found = read_photograph(value, make_processor(), keep_image)
    assert isinstance(found, Failure)
    assert found.reason


@pytest.mark.parametrize("batch_size, workers", [(1, 1), (3, 2), (20, 4)])
def test_batches_keep_the_order(batch_size, workers):
    batches = list(in_batches(range(10), lambda item: item * 2, batch_size, workers))
    assert [pair for batch in batches for pair in batch] == [(i, 2 * i) for i in range(10)]
    assert {len(batch) for batch in batches[:-1]} <= {batch_size}


def test_few_batches_are_read_ahead():
    read = []
    batches = in_batches(range(100), read.append, 2, 1)
    next(batches)
    assert len(read) <= 6
    batches.close()
    assert len(read) <= 6


def test_items_are_taken_as_they_are_needed(make_processor):
    read = partial(read_photograph, processor=make_processor(), keep_image=False)
    ((pair,),) = in_batches(iter([jpeg(40, 40)]), read, 4, 1)
    assert isinstance(pair[1], Photograph)
