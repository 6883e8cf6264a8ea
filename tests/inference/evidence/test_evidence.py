"""Records of explanations, from the command line, and their verification."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from modeling_pm_vit import PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.cli.main import main
from modeling_pm_vit.inference.evidence.pictures import difference_image

NAMES = ["red", "green", "blue"]


@pytest.fixture
def case(tmp_path, make_model, make_processor, capsys):
    """A model with three classes, two photographs in folders of their class and a broken file."""
    model = make_model(id2label=dict(enumerate(NAMES)), label2id={name: index for index, name in enumerate(NAMES)})
    model.save_pretrained(tmp_path / "model")
    make_processor().save_pretrained(tmp_path / "model")
    for number, name in enumerate(["red", "blue"]):
        (tmp_path / "photos" / name).mkdir(parents=True)
        noise = np.random.default_rng(number).integers(0, 255, (40, 60, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "photos" / name / "a.png")

    def call(*words):
        words = [str(tmp_path / word[1:]) if word.startswith("@") else word for word in words]
        status = main(words)
        return SimpleNamespace(status=status, **capsys.readouterr()._asdict())

    return SimpleNamespace(folder=tmp_path, model=model, call=call)


def explain(case, *words):
    return case.call("explain", "@model", "@photos", "--evidence", "--output_dir", "@out", *words)


def verify(case, *words):
    return case.call("verify", "@model", "@out", "--images", "@photos", *words)


def test_records_hold_and_say_what_was_computed(case):
    (case.folder / "photos" / "broken.png").write_bytes(b"no image")
    done = explain(case)
    assert done.status == 1 and "broken.png" in done.err
    records = sorted((case.folder / "out" / "records").glob("*.json"))
    assert [path.name for path in records] == ["a-2.json", "a.json"]
    for path in records:
        record = json.loads(path.read_text())
        image = case.folder / "photos" / record["image"]["file"]
        processor = PMViTImageProcessor.from_pretrained(case.folder / "model")
        expected = case.model.explain(image, top_k=3, image_processor=processor)
        assert record["predicted"] == expected["labels"][0]
        assert (record["expected"], record["compared_with"]) == (None, expected["labels"][1])
        assert list(record["scores"]) == expected["labels"]
        assert np.allclose(list(record["scores"].values()), expected["scores"])
        assert [found["label"] for found in record["classes"]] == expected["labels"][:2]
        assert str(case.folder) not in path.read_text()  # a folder can be named after a person
        maps = load_file(case.folder / "out" / record["maps"]["file"])["probabilities"]
        grids = case.model.explain(image, NAMES, image_processor=processor, map_size="grid")["heatmaps"]
        assert torch.allclose(maps, grids, atol=1e-6)
        page = (case.folder / "out" / "index.html").read_text()
        for picture in (case.folder / "out" / "pictures").glob(f"{path.stem}-*.jpg"):
            assert picture.name in page
    done = verify(case)
    assert (done.status, done.out.count("holds: ")) == (0, 2)
    assert "2 of 2 records hold" in done.out


@pytest.mark.parametrize(
    "words",
    [["--tile", "32", "--overlap", "0.5"], ["--precision", "bf16"], ["--keep_aspect_ratio"]],
    ids=lambda w: w[0],
)
def test_settings_are_recorded_and_used_again(case, words):
    assert explain(case, *words).status == 0
    assert verify(case).status == 0
    path = case.folder / "out" / "records" / "a.json"
    record = json.loads(path.read_text())
    record["settings"] |= {"tile": None, "keep_aspect_ratio": False, "precision": "fp32"}
    path.write_text(json.dumps(record))
    assert verify(case).status == 1


@pytest.mark.parametrize("source", ["folders", "csv"])
def test_predicted_against_expected(case, source):
    table = case.folder / "labels.csv"
    table.write_text("file,label\nred/a.png,red\nblue/a.png,blue\n")
    assert explain(case, "--expected", source if source == "folders" else str(table)).status == 0
    for path in (case.folder / "out" / "records").glob("*.json"):
        record = json.loads(path.read_text())
        assert record["expected"] == record["image"]["file"].split("/")[0] == record["compared_with"]
    assert verify(case).status == 0


def test_several_classes_are_predicted_and_expected(case):
    case.model.config.problem_type = "multi_label_classification"
    with torch.no_grad():
        case.model.classifier.weight.zero_()
        case.model.classifier.bias.copy_(torch.tensor([2.0, -2.0, 1.0]))
    case.model.save_pretrained(case.folder / "model")
    table = case.folder / "labels.csv"
    table.write_text("file,label\nred/a.png,green\nred/a.png,blue\nblue/a.png,\n")
    assert explain(case, "--expected", str(table)).status == 0
    records = [json.loads(path.read_text()) for path in sorted((case.folder / "out" / "records").glob("*.json"))]
    found = {record["image"]["file"]: record for record in records}
    assert [record["predicted"] for record in records] == [["red", "blue"]] * 2
    assert found["red/a.png"]["expected"] == ["green", "blue"]
    assert (found["red/a.png"]["missed"], found["red/a.png"]["not_expected"]) == (["green"], ["red"])
    assert [one["label"] for one in found["red/a.png"]["classes"]] == ["red", "blue", "green"]
    assert (found["blue/a.png"]["expected"], found["blue/a.png"]["missed"]) == ([], [])
    page = (case.folder / "out" / "index.html").read_text()
    assert "missed: green; not expected: red" in page and "predicted: blue, 73.1 %" in page
    assert verify(case).status == 0


def other_image(case):
    Image.new("RGB", (60, 40)).save(case.folder / "photos" / "red" / "a.png")


def no_image(case):
    (case.folder / "photos" / "red" / "a.png").unlink()


def other_weights(case):
    model = PMViTForImageClassification.from_pretrained(case.folder / "model")
    with torch.no_grad():
        model.classifier.weight += 0.1
    model.save_pretrained(case.folder / "model")


def other_calibration(case):
    model = PMViTForImageClassification.from_pretrained(case.folder / "model")
    model.config.empty_classes = ["blue"]
    model.save_pretrained(case.folder / "model")


def other_preprocessing(case):
    processor = PMViTImageProcessor.from_pretrained(case.folder / "model")
    processor.image_mean = [0.1, 0.1, 0.1]
    processor.save_pretrained(case.folder / "model")


def other_maps(case):
    for path in (case.folder / "out" / "maps").iterdir():
        save_file({"probabilities": load_file(path)["probabilities"] * 0.5}, path)


def other_scores(case):
    for path in (case.folder / "out" / "records").iterdir():
        record = json.loads(path.read_text())
        record["scores"][record["predicted"]] += 0.01
        path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_image, "the image is not the recorded one"),
        (no_image, "there is no image"),
        (other_weights, "the model's weights is"),
        (other_calibration, "the model's calibration is"),
        (other_preprocessing, "the settings of the image processor differ"),
        (other_maps, "the maps are not the recorded ones"),
        (other_scores, "probabilities differ by up to 0.01"),
    ],
)
def test_what_is_not_as_recorded_is_named(case, change, message):
    assert explain(case).status == 0
    change(case)
    done = verify(case)
    assert done.status == 1
    assert message in done.err


def test_records_of_before_stated_less_of_the_calibration(case):
    assert explain(case).status == 0
    for path in (case.folder / "out" / "records").iterdir():
        record = json.loads(path.read_text())
        del record["model"]["calibration"]["empty_classes"]
        path.write_text(json.dumps(record))
    assert verify(case).status == 0


def test_other_versions_are_no_fault(case):
    assert explain(case).status == 0
    for path in (case.folder / "out" / "records").iterdir():
        record = json.loads(path.read_text())
        record["versions"]["torch"] = "1.0"
        path.write_text(json.dumps(record))
    done = verify(case)
    assert done.status == 0 and "recorded is 1.0" in done.out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "is no record"),
        ("no JSON", "cannot be read"),
        ('{"schema": "pm-vit evidence", "schema_version": 9}', "9"),
    ],
)
def test_files_that_are_no_records(case, text, message):
    (case.folder / "other.json").write_text(text)
    done = case.call("verify", "@model", "@other.json", "--images", "@photos")
    assert done.status == 2 and message in done.err
    done = case.call("verify", "@model", "@photos", "--images", "@photos")
    assert done.status == 2 and "has no records" in done.err


def test_wrong_calls_name_what_is_expected(case):
    (case.folder / "out").mkdir()
    (case.folder / "out" / "earlier.json").write_text("{}")
    assert "is not empty" in explain(case).err
    for words, message in (
        (["--expected", "none.csv"], "there is no file none.csv"),
        (["--format", "json"], "leave --format"),
        (["--top_k", "2"], "leave --labels and --top_k out"),
    ):
        assert message in case.call("explain", "@model", "@photos", "--evidence", "--output_dir", "@new", *words).err
    for content, message in (
        ("name,label\na,b\n", "the columns file and label"),
        ("file,label\nx,red\n", "x is none of the 2"),
        ("file,label\nred/a.png,pink\n", "'pink' is none of the model's"),
        (
            "file,label\nred/a.png,red\nred/a.png,blue\n",
            "2 classes are expected (red, blue), and the model chooses",
        ),
    ):
        (case.folder / "labels.csv").write_text(content)
        words = ["--expected", str(case.folder / "labels.csv"), "--output_dir", "@new"]
        assert message in case.call("explain", "@model", "@photos", "--evidence", *words).err


def test_the_sign_of_a_difference_is_its_colour():
    differences = np.array([[2.0, 0.0, -2.0]], np.float32)
    pixels = np.asarray(difference_image(Image.new("RGB", (3, 1), (128, 128, 128)), differences))[0].astype(int)
    assert pixels[0, 0] > pixels[0, 2]  # orange
    assert pixels[2, 2] > pixels[2, 0]  # blue
    assert len(set(pixels[1])) == 1
