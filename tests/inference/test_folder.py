import json

import numpy as np
import pytest
from PIL import Image

from modeling_pm_vit.inference import explain_files, find_images, open_predictor


@pytest.fixture
def photographs(tmp_path):
    """Two images that share a name, one in a sub-folder, both red in the lower right quarter; and a broken one."""
    for path in (tmp_path / "photos" / "a.png", tmp_path / "photos" / "deeper" / "a.JPG"):
        path.parent.mkdir(parents=True, exist_ok=True)
        image = np.zeros((60, 80, 3), np.uint8)
        image[30:, 40:, 0] = 255
        Image.fromarray(image).save(path, quality=95)
    (tmp_path / "photos" / "broken.jpg").write_bytes((tmp_path / "photos" / "deeper" / "a.JPG").read_bytes()[:300])
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    return tmp_path / "photos"


def test_files_folders_and_globs_are_found_once(photographs):
    found = find_images([str(photographs / "a.png"), str(photographs), str(photographs / "**" / "*.JPG")])
    assert [path.name for path in found] == ["a.png", "broken.jpg", "a.JPG"]
    with pytest.raises(FileNotFoundError, match=r"nowhere\*"):
        find_images([str(photographs / "nowhere*")])


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_bad_file_stops_nothing_and_the_place_is_right(folder, photographs, tmp_path, batch_size):
    output = tmp_path / "out"
    predictor = open_predictor(folder, ["red"])
    records, failures = explain_files(predictor, find_images([str(photographs)]), output, batch_size=batch_size)
    assert [failure["file"] for failure in failures] == [str(photographs / "broken.jpg")]
    document = json.loads((output / "explanations.json").read_text())
    assert document["images"] == records
    assert document["failed"] == failures
    assert "broken.jpg" in document["failed"][0]["reason"]
    assert len({record["classes"][0]["overlay"] for record in records}) == 2
    for record in records:
        assert (record["width"], record["height"]) == (80, 60)
        (red,) = record["classes"]
        assert red["label"] == "red"
        box = red["box"]
        assert [box[side] for side in ("xmin", "ymin", "xmax", "ymax")] == pytest.approx([40, 30, 80, 60], abs=2)
        picture = np.asarray(Image.open(output / red["overlay"]).convert("RGB"), int)
        assert picture.shape == (60, 80, 3)
        tinted = picture[..., 1] > 40  # the tint is orange, the photograph has no green
        assert tinted[38:55, 50:75].all()
        assert not tinted[:25].any()
    page = (output / "index.html").read_text()
    assert all(record["classes"][0]["overlay"] in page for record in records)
    assert "broken.jpg" in page


def test_without_pictures_the_json_says_the_same(folder, photographs, tmp_path):
    predictor, paths = open_predictor(folder, top_k=2), find_images([str(photographs)])
    with_pictures, _ = explain_files(predictor, paths, tmp_path / "page")
    records, failures = explain_files(predictor, paths, tmp_path / "json", pictures=False)
    for record in with_pictures:
        del record["preview"]
        for found in record["classes"]:
            del found["overlay"]
    assert records == with_pictures
    assert len(failures) == 1
    assert [path.name for path in (tmp_path / "json").iterdir()] == ["explanations.json"]
