"""Large images in tiles."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from modeling_pm_vit import PMViTImageProcessor
from modeling_pm_vit import tiles_pm_vit as module
from modeling_pm_vit.explanation_pm_vit import Prediction
from modeling_pm_vit.tiles_pm_vit import Tiling, predict_tiles, processor_of_tiles, tiling_of

PROCESSOR = PMViTImageProcessor(
    size={"height": 16, "width": 24}, patch_size=8, image_mean=[0.0] * 3, image_std=[1.0] * 3
)


def brightness(pixel_values: torch.Tensor) -> Prediction:
    """Of a "model" whose two classes are where the image is red and green."""
    maps = torch.nn.functional.avg_pool2d(pixel_values[:, :2], 8)
    scores = maps.amax((2, 3))
    return Prediction(torch.arange(2).expand(len(maps), 2), scores, maps.double().logit())


sizes = st.tuples(st.integers(1, 50), st.integers(1, 50))


@settings(max_examples=60)
@given(sizes, st.integers(1, 7), st.tuples(st.integers(1, 5), st.integers(1, 5)), st.floats(0, 0.9))
def test_tiles_cover_the_image_and_overlap(size, cell, grid, overlap):
    tiling = Tiling(size, cell, grid, overlap)
    shown = np.zeros(tiling.cells, int)
    for row, column in tiling.places:
        assert row + grid[0] <= tiling.cells[0]
        assert column + grid[1] <= tiling.cells[1]
        shown[row : row + grid[0], column : column + grid[1]] += 1
    assert shown.min() >= 1
    assert all(cells * cell >= side for cells, side in zip(tiling.cells, size, strict=True))
    for axis in (0, 1):
        starts = sorted({place[axis] for place in tiling.places})
        most = max(1, int(grid[axis] * (1 - overlap)))
        assert all(later - earlier <= most for earlier, later in pairwise(starts))


@settings(max_examples=15)
@given(sizes, st.integers(4, 40), st.floats(0, 0.6), st.integers(1, 9), st.sampled_from([0, 2**28]))
def test_maps_of_tiles_are_the_map_of_the_image(size, tile, overlap, batch_size, map_bytes):
    """A model that sees each cell by itself gives the same map in tiles of any size, kept or computed twice."""
    tiling = tiling_of(size, tile, overlap, PROCESSOR)
    rows, columns = tiling.cells
    levels = np.random.default_rng(0).integers(1, 255, (rows, columns, 3), np.uint8)
    image = Image.fromarray(levels.repeat(tiling.cell, 0).repeat(tiling.cell, 1)[: size[0], : size[1]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAP_BYTES", map_bytes)
        plain = PMViTImageProcessor(**PROCESSOR.to_dict() | {"resample": Image.Resampling.NEAREST})
        found = predict_tiles(image, tiling, plain, brightness, 2, batch_size)
    assert found.mask_logits.shape == (1, 2, rows, columns)
    seen = torch.from_numpy(levels[..., :2] / 255)[: -(-size[0] // tiling.cell), : -(-size[1] // tiling.cell)]
    inside = found.mask_logits[0].sigmoid()[:, : seen.shape[0], : seen.shape[1]]
    expected = seen.permute(2, 0, 1)[found.explain_labels[0]]
    assert torch.allclose(inside, expected, atol=2e-3)
    assert torch.allclose(found.scores[0].double(), expected.amax((1, 2)), atol=2e-3)
    assert found.scores[0, 0] >= found.scores[0, 1]


def test_a_small_defect_is_found_where_it_is():
    """20 of 900 x 1,200 pixels, with the mask and the box at the size of the image."""
    pixels = np.full((900, 1200, 3), 10, np.uint8)
    pixels[600:620, 500:520, 1] = 250
    tiling = tiling_of((900, 1200), 40, 0.0, PROCESSOR)
    found = predict_tiles(Image.fromarray(pixels), tiling, PROCESSOR, brightness, [1], 64)
    processor = processor_of_tiles(PROCESSOR, tiling.cell)
    (((record,),)) = processor.post_process_records(found, [(900, 1200)], {0: "red", 1: "green"})
    box = [record["box"][side] for side in ("xmin", "ymin", "xmax", "ymax")]
    assert np.abs(np.subtract(box, [500, 600, 520, 620])).max() <= 2
    assert record["score"] > 0.9


@pytest.mark.parametrize(
    ("tile", "overlap", "message"),
    [
        (0, 0.1, "tile must be"),
        (1.5, 0.1, "tile must be"),
        (True, 0, "tile must be"),
        (9, 1.0, "overlap"),
        (9, "a", "overlap"),
    ],
)
def test_values_out_of_range(tile, overlap, message):
    with pytest.raises(ValueError, match=message):
        tiling_of((90, 90), tile, overlap, PROCESSOR)


def test_inputs_of_any_size_have_no_tiles():
    with pytest.raises(ValueError, match="fixed size"):
        tiling_of((90, 90), 32, 0.25, PROCESSOR.adapted(keep_aspect_ratio=True))


def test_a_model_explains_large_images_in_tiles(make_model, make_processor):
    """Small images as ever; a large one at its size, its classes the highest of all tiles, whatever the order."""
    model, processor = make_model(), make_processor()
    noise = np.random.default_rng(0).integers(0, 255, (70, 100, 3), np.uint8)
    large, small = Image.fromarray(noise), Image.fromarray(noise[:30, :20])
    first, second = model.explain([large, small], top_k=2, image_processor=processor, tile=32, overlap=0.5)
    assert first["heatmaps"].shape == (2, 70, 100)
    (plain,) = model.explain([small], top_k=2, image_processor=processor)
    assert torch.equal(second["heatmaps"], plain["heatmaps"])
    tiling = tiling_of((70, 100), 32, 0.5, processor.adapted(model.config.patch_size))
    tiles = [large.crop((x * 8, y * 8, x * 8 + 32, y * 8 + 32)) for y, x in tiling.places if y <= 4 and x <= 8]
    highest = torch.stack(
        [model.explain(tile, [0, 1, 2, 3, 4], image_processor=processor)["scores"] for tile in tiles]
    ).amax(0)
    scores = model.explain(large, [0, 1, 2, 3, 4], image_processor=processor, tile=32, overlap=0.5)["scores"]
    assert (scores >= highest - 1e-6).all()
    assert first["scores"].tolist() == scores.topk(2).values.tolist()
