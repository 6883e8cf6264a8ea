import json

import numpy as np
import pytest
from PIL import Image

from modeling_pm_vit.inference import explain_files, find_images, open_predictor
from modeling_pm_vit.inference.photographs import TileOptions
from modeling_pm_vit.inference.predictor import TiledPredictor, TorchPredictor
from modeling_pm_vit.utils.errors import InputError


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


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_bad_file_stops_nothing_and_the_place_is_right(folder, photographs, tmp_path, batch_size):
    output = tmp_path / "out"
    predictor = open_predictor(folder, ["red"])
    records, failures = explain_files(predictor, find_images([str(photographs)]), output, batch_size=batch_size)
    assert [failure["file"] for failure in failures] == ["broken.jpg"]
    assert [record["file"] for record in records] == ["a.png", "deeper/a.JPG"]
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


def contents(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


OWN = {"explanations.json", "explanations-files.json", "index.html"}


def test_pictures_of_an_earlier_run_are_removed_and_no_other_file_is(folder, photographs, tmp_path):
    output = tmp_path / "out"
    for name in ("overlays/holiday.jpg", "overlays/a-7.jpg", "notes.txt", "previews/a.png"):
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_text("the user's")
    users = contents(output)
    both = [photographs / "a.png", photographs / "deeper" / "a.JPG"]
    explain_files(open_predictor(folder, top_k=2), both, output)
    pictures = {f"{kind}{end}.jpg" for kind in ("overlays/a", "overlays/a-2") for end in ("-1", "-2")}
    assert contents(output) == users | OWN | pictures | {"previews/a.jpg", "previews/a-2.jpg"}
    explain_files(open_predictor(folder, ["red"]), both[:1], output)
    assert contents(output) == users | OWN | {"overlays/a-1.jpg", "previews/a.jpg"}
    explain_files(open_predictor(folder, ["red"]), [photographs / "broken.jpg"], output)
    assert contents(output) == users | OWN
    explain_files(open_predictor(folder, ["red"]), both[:1], output)
    explain_files(open_predictor(folder, ["red"]), both[:1], output, pictures=False)
    assert contents(output) == users | {"explanations.json"}
    assert all((output / name).read_text() == "the user's" for name in users)


@pytest.mark.parametrize("name", ["overlays/a-1.jpg", "previews/a.jpg", "index.html"])
def test_a_file_of_the_user_is_not_overwritten(folder, photographs, tmp_path, name):
    (tmp_path / "out" / name).parent.mkdir(parents=True)
    (tmp_path / "out" / name).write_text("the user's")
    with pytest.raises(InputError, match=f"{name} is not of `pm-vit explain`"):
        explain_files(open_predictor(folder, ["red"]), [photographs / "a.png"], tmp_path / "out")
    assert (tmp_path / "out" / name).read_text() == "the user's"
    assert contents(tmp_path / "out") == {name}


def test_pictures_of_an_interrupted_run_and_of_an_older_version_are_removed(folder, photographs, tmp_path, monkeypatch):
    output, predictor = tmp_path / "out", open_predictor(folder, ["red"])
    both = [photographs / "a.png", photographs / "deeper" / "a.JPG"]
    with monkeypatch.context() as patch:
        patch.setattr(
            "modeling_pm_vit.inference.folder.write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            explain_files(predictor, both, output)
    assert "overlays/a-2-1.jpg" in contents(output)
    explain_files(predictor, both[:1], output)
    assert contents(output) == OWN | {"overlays/a-1.jpg", "previews/a.jpg"}
    (output / "explanations-files.json").unlink()  # as an older version left it
    explain_files(predictor, [photographs / "broken.jpg"], output)
    assert contents(output) == OWN


def test_a_list_with_other_names_deletes_nothing(folder, photographs, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (tmp_path / "precious.jpg").write_text("kept")
    (output / "notes.txt").write_text("kept")
    names = ["../precious.jpg", "notes.txt", str(tmp_path / "precious.jpg"), "overlays/../../precious.jpg", 7]
    (output / "explanations-files.json").write_text(json.dumps(names))
    explain_files(open_predictor(folder, ["red"]), [photographs / "a.png"], output)
    assert (tmp_path / "precious.jpg").read_text() == (output / "notes.txt").read_text() == "kept"


@pytest.mark.parametrize(
    "settings", [{"batch_size": 0}, {"workers": 0}, {"threshold": float("nan")}, {"threshold": 1.1}, {"opacity": -0.1}]
)
def test_numbers_out_of_range_leave_the_results_alone(folder, photographs, tmp_path, settings):
    predictor = open_predictor(folder, ["red"])
    explain_files(predictor, [photographs / "a.png"], tmp_path / "out")
    before = (tmp_path / "out" / "explanations.json").read_text()
    for paths, changed in (([photographs / "a.png"], settings), ([], {})):
        with pytest.raises(InputError, match=f"{next(iter(changed), 'no image')} "):
            explain_files(predictor, paths, tmp_path / "out", **changed)
    assert (tmp_path / "out" / "explanations.json").read_text() == before


def test_no_result_tells_where_the_images_are(folder, photographs, tmp_path):
    (photographs / "later").mkdir()
    (photographs / "later" / "truncated.png").write_bytes((photographs / "a.png").read_bytes()[:60])
    (photographs / "photo.avif").write_bytes(b"no image")
    paths = [*find_images([str(photographs)]), photographs / "gone.png"]
    for given in (find_images([str(photographs)]), paths):
        output = tmp_path / f"out{len(given)}"
        _, failures = explain_files(open_predictor(folder, ["red"]), given, output)
        assert len(failures) >= 3
        for file in ("explanations.json", "index.html", "explanations-files.json"):
            assert str(tmp_path) not in (output / file).read_text(), file


@pytest.mark.parametrize("pictures", [True, False])
def test_large_images_are_explained_in_tiles(tmp_path, make_model, make_processor, pictures):
    noise = np.random.default_rng(0).integers(0, 255, (70, 100, 3), np.uint8)
    paths = [tmp_path / "large.png", tmp_path / "small.png"]
    Image.fromarray(noise).save(paths[0])
    Image.fromarray(noise[:30, :20]).save(paths[1])
    model, processor = make_model(), make_processor()
    plain = TorchPredictor(model, processor, top_k=2)
    predictor = TiledPredictor(TorchPredictor(model, processor, top_k=2), TileOptions(32, 0.5))
    assert predictor.settings != plain.settings
    records, failures = explain_files(predictor, paths, tmp_path / "out", pictures=pictures)
    assert not failures
    expected = model.explain(
        [Image.open(path) for path in paths], top_k=2, image_processor=processor, tile=32, overlap=0.5
    )
    for record, explanation in zip(records, expected, strict=True):
        assert [found["label"] for found in record["classes"]] == explanation["labels"]
        for found, score, box in zip(record["classes"], explanation["scores"], explanation["boxes"], strict=True):
            assert found["score"] == pytest.approx(float(score), abs=1e-6)
            assert (found["box"] and tuple(found["box"].values())) == box
