"""What `explain` returns: a dictionary that draws, saves and tabulates itself."""

import copy
import io
import json
import pickle
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from modeling_pm_vit import Explanation


@pytest.fixture(scope="module")
def explain(make_model, make_processor):
    model, processor = make_model(id2label=dict(enumerate(["ant", "bee", "<cat>"]))), make_processor()

    def call(image, **options):
        return model.explain(image, image_processor=processor, **({"top_k": 2, "threshold": 0.4} | options))

    return call


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)).save(path)
    return path


def test_it_is_a_dictionary_and_stays_one_when_it_is_copied_or_pickled(explain, file):
    explanation = explain(file)
    keys = ["label_ids", "labels", "scores", "heatmaps", "masks", "boxes", "confidence", "doubt"]
    for found in (
        explanation,
        copy.copy(explanation),
        copy.deepcopy(explanation),
        pickle.loads(pickle.dumps(explanation)),
    ):
        assert isinstance(found, dict)
        assert list({**found}) == keys
        assert torch.equal(found["heatmaps"], explanation["heatmaps"])
        assert found.overlay() == explanation.overlay()
        assert repr(found) == repr(explanation)


def test_the_image_is_kept_as_it_was_given_unless_it_cannot_be_read_again(explain, file):
    image, content = Image.open(file).convert("RGB"), file.read_bytes()
    array = np.asarray(image)
    expected = explain(file).overlay()
    for given in (file, str(file), image, content, array):
        assert explain(given).image is given
    for once in (io.BytesIO(content), file.open("rb")):
        with once:
            explanation = explain(once)
        assert explanation.overlay() == expected
    several = explain(given for given in (file, image))
    assert [found.image for found in several] == [file, image]
    assert all(found.overlay() == expected for found in several)


@pytest.mark.parametrize("map_size", [None, "grid", 50])
def test_pictures_have_the_size_of_the_image_whatever_the_size_of_the_maps(explain, file, map_size):
    explanation = explain(file, map_size=map_size)
    assert explanation.overlay().size == (200, 150)
    assert explanation.overlay(side=400).size == (400, 300)
    assert explanation.overlay(scale=True).width > 200
    assert explanation.plot(side=100).width > 4 * 100  # image, overlay, two maps


def test_one_of_the_classes_can_be_drawn(explain, file):
    explanation = explain(file)
    first, second = explanation["labels"]
    assert explanation.overlay([first, second]) == explanation.overlay()
    assert explanation.overlay(second) == explain(file, top_k=None, labels=second).overlay()
    with pytest.raises(ValueError, match="'dog' was not explained, only "):
        explanation.overlay("dog")


def test_files_are_written_by_their_suffix(explain, file, tmp_path):
    explanation = explain(file)
    explanation.save(tmp_path / "new" / "seen.png", str(tmp_path / "new" / "seen.json"), scale=True)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["seen.json", "seen.png"]
    assert Image.open(tmp_path / "new" / "seen.png").convert("RGB") == explanation.overlay(scale=True)
    record = explanation.record()
    assert json.loads((tmp_path / "new" / "seen.json").read_text()) == record
    assert record["confidence"] == round(record["confidence"], 6) == pytest.approx(explanation["confidence"], abs=1e-6)


@pytest.mark.parametrize("name", ["seen", "seen.txt", "seen.foo"])
def test_an_unknown_suffix_is_refused_before_anything_is_written(explain, file, tmp_path, name):
    with pytest.raises(ValueError, match=r"expected a suffix as \.png, \.jpg or \.json, got "):
        explain(file).save(tmp_path / "a.png", tmp_path / name)
    with pytest.raises(ValueError, match="needs the path of a file"):
        explain(file).save()
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_a_table_has_a_row_per_class(explain, file):
    explanation = explain(file, threshold=0.0)
    table = explanation.to_pandas()
    assert list(table.columns) == ["label", "score", "xmin", "ymin", "xmax", "ymax", "area", "max_probability"]
    assert table["label"].tolist() == explanation["labels"]
    assert table["area"].tolist() == [1.0, 1.0]
    assert table.iloc[0, 2:6].tolist() == [0, 0, 200, 150]


def test_without_pandas_the_message_says_what_to_install(explain, file, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        explain(file).to_pandas()


def test_a_notebook_shows_the_picture_and_a_table_with_names_as_text(explain, file):
    explanation = explain(file, top_k=3)
    page = explanation._repr_html_()
    assert "&lt;cat&gt;" in page and "<cat>" not in page
    assert all(f"{100 * float(score):.1f} %" in page for score in explanation["scores"])
    assert "data:image/jpeg;base64," in page
    assert Image.open(io.BytesIO(explanation._repr_png_())).height == 336  # 448 x 336


def test_without_an_image_there_is_a_table_and_no_picture(explain, file):
    explanation = explain(file)
    explanation.image = None
    assert "<img" not in explanation._repr_html_()
    assert explanation._repr_png_() is None
    with pytest.raises(ValueError, match=r"set explanation\.image to a path or an image"):
        explanation.plot()


def test_a_class_that_is_nowhere_is_named_and_has_no_box():
    maps = torch.full((1, 120, 120), 0.2)
    values = {"label_ids": torch.tensor([0]), "labels": ["cat"], "scores": torch.tensor([0.5]), "boxes": [None]}
    explanation = Explanation(Image.new("RGB", (120, 120)), heatmaps=maps, masks=maps >= 0.5, **values)
    assert repr(explanation) == "<Explanation: cat 50.0 % (nowhere)>"
    assert explanation.record()["classes"][0]["box"] is None
    assert explanation.to_pandas()["xmin"].isna().all()
    assert explanation.overlay() != explanation.overlay(captions=False)
