"""Parts of TIFF files are those of the whole image, and nothing else of the file is decoded."""

import numpy as np
import pytest
import torch
from PIL import Image

from modeling_pm_vit.image_loading_pm_vit import load_image
from modeling_pm_vit.inference.photographs import TileOptions, read_photograph
from modeling_pm_vit.regions_pm_vit import KEPT_BYTES, Regions, open_regions

tifffile = pytest.importorskip("tifffile")

RNG = np.random.default_rng(0)
COLOUR, GREY = RNG.integers(0, 256, (100, 90, 3), np.uint8), RNG.integers(0, 256, (100, 90), np.uint8)
DEEP = RNG.integers(0, 4000, (100, 90), np.uint16)
LAYOUTS = [{"tile": (32, 16)}, {"rowsperstrip": 7}, {"tile": (32, 16), "compression": "zlib"}, {"bigtiff": True}]


def written(path, values, **layout):
    colour = {"photometric": "rgb"} if values.shape[2:] == (3,) else {}
    tifffile.imwrite(path, values, **{"photometric": "minisblack", **colour, **layout})
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("values", "window"), [(COLOUR, None), (GREY, None), (GREY, (20, 90)), (DEEP, (100, 3000))])
def test_a_part_is_that_of_the_whole_image(values, window, layout, tmp_path):
    path = written(tmp_path / "scan.tif", values, **layout)
    regions, whole = open_regions(path, window), np.asarray(load_image(path, window=window))
    assert regions.size == (90, 100)
    for left, top, right, bottom in [(0, 0, 90, 100), (17, 31, 33, 65), (89, 99, 90, 100), (5, 0, 6, 100)]:
        found = regions.crop((left, top, right, bottom))
        assert found.mode == "RGB" and (np.asarray(found) == whole[top:bottom, left:right]).all()


def test_only_the_parts_that_are_needed_are_decoded_and_kept(tmp_path, monkeypatch):
    regions = open_regions(written(tmp_path / "scan.tif", COLOUR, tile=(16, 16)))
    before = regions.decoded
    for _ in range(3):
        regions.crop((16, 16, 48, 32))
    assert regions.decoded == before + 2
    monkeypatch.setattr("modeling_pm_vit.regions_pm_vit.KEPT_BYTES", 3 * 16 * 16 * 3)
    regions.crop((0, 0, 90, 100))
    assert sum(part.nbytes for part in regions._kept.values()) <= 3 * 16 * 16 * 3 < KEPT_BYTES


@pytest.mark.parametrize(
    ("values", "layout"),
    [
        (DEEP, {}),  # its levels depend on all values
        (RNG.integers(0, 256, (9, 9, 4), np.uint8), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
        (COLOUR, {"planarconfig": "separate"}),
        (GREY, {"photometric": "miniswhite"}),
        (GREY, {"extratags": [(274, "H", 1, 6, True)]}),  # rotated
    ],
)
def test_other_files_are_read_as_a_whole(values, layout, tmp_path):
    if layout.get("planarconfig"):
        values = np.moveaxis(values, -1, 0)
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, values, **({"photometric": "rgb"} if values.ndim == 3 else {}) | layout)
    assert open_regions(path) is None


def test_what_is_no_readable_tiff_is_left_to_the_loader(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "photo.png")
    (tmp_path / "damaged.tif").write_bytes(written(tmp_path / "scan.tif", COLOUR).read_bytes()[:40])
    assert open_regions(tmp_path / "photo.png") is None and open_regions(tmp_path / "damaged.tif") is None
    assert open_regions(b"II*\0") is None and open_regions(Image.fromarray(COLOUR)) is None


def test_an_explanation_in_tiles_is_the_same(make_model, make_processor, tmp_path, monkeypatch):
    path = written(tmp_path / "scan.tif", COLOUR, tile=(16, 16))
    model, processor = make_model(), make_processor()
    settings = {"labels": [0, 2], "image_processor": processor, "tile": 32, "map_size": "grid"}
    by_parts = model.explain(path, **settings)
    opened = read_photograph(path, processor, keep_image=False, tiles=TileOptions(32))
    assert isinstance(opened.image, Regions) and opened.tiling is not None
    assert read_photograph(path, processor, keep_image=True, tiles=TileOptions(32)).image.mode == "RGB"
    assert read_photograph(path, processor, keep_image=False, tiles=TileOptions(200)).pixel_values is not None
    monkeypatch.setattr("modeling_pm_vit.modeling_pm_vit.open_regions", lambda source: None)
    whole = model.explain(path, **settings)
    torch.testing.assert_close(by_parts["heatmaps"], whole["heatmaps"], rtol=0, atol=0)
    torch.testing.assert_close(by_parts["scores"], whole["scores"], rtol=0, atol=0)
    assert by_parts.overlay().size == (90, 100)
