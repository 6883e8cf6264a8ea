import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from modeling_pm_vit.data.rows import DatasetRows
from modeling_pm_vit.data.synthetic import CLASSES
from modeling_pm_vit.evaluation.arguments import EvaluationArguments
from modeling_pm_vit.evaluation.run import class_map_of, evaluate, held_out_of, prepare
from modeling_pm_vit.explainers import EXPLAINERS
from modeling_pm_vit.metrics.semantic_segmentation import IGNORE


def labelled(names: list[str], labels: list[int]) -> DatasetRows:
    features = Features({"row": Value("int64"), "label": ClassLabel(names=names)})
    return DatasetRows(Dataset.from_dict({"row": list(range(len(labels))), "label": labels}, features), "birds")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("abc", (0, 1, 2)),
        ("cba", (2, 1, 0)),
        ("xabc", (1, 2, 3)),  # a model with more classes
        (["one", "two", "three"], (0, 1, 2)),  # other names for as many classes: in order
    ],
)
def test_classes_become_the_models_indices(model, expected, caplog):
    found = class_map_of(labelled(["a", "b", "c"], [0, 1, 2]), "label", dict(enumerate(model)))
    assert (found.names, found.ids) == (("a", "b", "c"), expected)
    told = "The classes of birds have other names than those of the model; .*'a' is the model's 'one'.*--class_order"
    assert bool(re.search(told, caplog.text)) == ("one" in model)


def test_a_file_gives_the_models_order(tmp_path):
    (tmp_path / "order.txt").write_text("n2 goldfish\nn1 tench, Tinca tinca\n")
    goldfish_first = {0: "goldfish", 1: "tench"}
    found = class_map_of(labelled(["n1", "n2"], [0, 1]), "label", goldfish_first, tmp_path / "order.txt")
    assert found.ids == (1, 0)
    with pytest.raises(ValueError, match=r"order.txt \(--class_order\) has 2 lines; the model has 3 classes"):
        class_map_of(labelled(["n1"], [0]), "label", dict(enumerate("abc")), tmp_path / "order.txt")


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (
            labelled(["a", "z"], [0, 1]),
            r"birds has classes that the model does not have: z \(1 of 2\); the model has a, b, c.*--class_order",
        ),
        (labelled(["a", "B "], [0, 1]), "'B ' and 'b' differ in case or blanks only: rename one of them"),
        (labelled(["a", "b"], [0, -1]), r"birds, row 1 has no class"),
    ],
)
def test_labels_that_cannot_be_the_models(dataset, message):
    with pytest.raises(ValueError, match=message):
        class_map_of(dataset, "label", dict(enumerate("abc")))


def test_a_class_that_the_model_has_twice_is_not_guessed():
    with pytest.raises(ValueError, match=r"more than one class 'crane'.*--class_order"):
        class_map_of(labelled(["crane", "tit"], [0]), "label", dict(enumerate(["crane", "tit", "crane"])))


# --- masks with numbers of classes ------------------------------------------------------------------------------------

CHEAP = {"device": "cpu", "explainers": ["random"], "metrics": ["localization"]}
FOLDERS = ["n01", "n03", "n05"]  # of the dataset; the model also knows n02 and n04
TOP, SIDE = (slice(0, 4), slice(0, 8)), (slice(4, 8), slice(0, 4))


def mask_of(encoding: str, own: int, other: int):
    """The own class in the upper half, another one below at the left; the rest is unknown, except for polygons."""
    if encoding == "polygon":
        return [
            {"category_id": own, "segmentation": [0, 0, 8, 0, 8, 4, 0, 4]},
            {"category_id": other, "segmentation": [0, 4, 4, 4, 4, 8, 0, 8]},
        ]
    ids = np.full((8, 8), 1000 if encoding == "imagenet_s" else 65535, np.int32)
    ids[TOP], ids[SIDE] = own + 1, other + 1
    if encoding == "imagenet_s":
        return Image.fromarray(np.stack([ids % 256, ids // 256, 0 * ids], -1).astype(np.uint8))
    return Image.fromarray(ids.astype(np.uint16))


@pytest.fixture
def five_classes(make_model, make_processor, tmp_path):
    make_model(id2label={i: f"n0{i + 1}" for i in range(5)}).save_pretrained(tmp_path / "model")
    make_processor().save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def ids_dataset(folder: Path, encoding: str) -> str:
    """Image i shows its own class i, and class i + 1."""
    for split in ("test", "validation"):
        (folder / split).mkdir(parents=True)
        with (folder / split / "metadata.jsonl").open("w") as metadata:
            for own, name in enumerate(FOLDERS):
                Image.new("RGB", (8, 8)).save(folder / split / f"{name}.png")
                mask, row = mask_of(encoding, own, (own + 1) % 3), {"file_name": f"{name}.png", "label": name}
                if encoding == "polygon":
                    row["mask"] = mask
                else:
                    mask.save(folder / split / f"{name}_mask.png")
                    row["mask_file_name"] = f"{name}_mask.png"
                metadata.write(json.dumps(row) + "\n")
    return str(folder)


def check_matched(batch) -> None:
    """n01, n03 and n05 are the model's 0, 2 and 4; in a map of class index + 1 they are 1, 3 and 5."""
    of_model = dict(zip(FOLDERS, (0, 2, 4), strict=True))
    assert sorted(batch.labels.tolist()) == [0, 2, 4]
    assert batch.has_mask.all()
    upper, lower = np.zeros((32, 32), bool), np.zeros((32, 32), bool)
    upper[:16], lower[16:, :16] = True, True
    for row, label in enumerate(batch.labels.tolist()):
        other = of_model[FOLDERS[(label // 2 + 1) % 3]]
        assert sorted(batch.classes[row]) == sorted([label, other])
        assert np.array_equal(batch.masks[row], upper)
        assert np.array_equal(batch.planes[row][batch.classes[row].index(other)], lower)
        if batch.id_maps[row] is not None:
            assert batch.id_maps[row][TOP].tolist() == [[label + 1] * 8] * 4
            assert batch.id_maps[row][SIDE].tolist() == [[other + 1] * 4] * 4
            assert (batch.id_maps[row][4:, 4:] == IGNORE).all()


@pytest.mark.parametrize("encoding", ["class_id", "imagenet_s", "polygon"])
def test_labels_and_the_numbers_in_masks_are_matched_by_name(five_classes, tmp_path, encoding):
    asked = {
        "data": ids_dataset(tmp_path / "data", encoding),
        "mask_encoding": encoding,
        "held_out_split": "validation",
    }
    arguments = EvaluationArguments(five_classes, tmp_path / "out", **CHEAP, **asked)
    evaluator = prepare(arguments)
    check_matched(evaluator.batch(range(3)))
    check_matched(held_out_of(arguments, evaluator).batch(range(3)))
    assert json.loads((tmp_path / "out/records/settings.json").read_text())["class_ids"]  # not mixed with others


def test_the_layout_of_imagenet_s_and_a_model_of_more_classes(five_classes, tmp_path):
    for own, name in enumerate(FOLDERS):
        for folder, image in (
            ("validation", Image.new("RGB", (8, 8))),
            ("validation-segmentation", mask_of("imagenet_s", own, (own + 1) % 3)),
        ):
            (tmp_path / "S" / folder / name).mkdir(parents=True)
            image.save(tmp_path / "S" / folder / name / f"a.{'JPEG' if folder == 'validation' else 'png'}")
    asked = {"data": str(tmp_path / "S"), "layout": "imagenet-s", "split": "validation"}
    check_matched(prepare(EvaluationArguments(five_classes, tmp_path / "out", **CHEAP, **asked)).batch(range(3)))


def test_a_mask_with_a_number_that_is_no_class_of_the_dataset_is_refused(five_classes, tmp_path):
    data = Path(ids_dataset(tmp_path / "data", "class_id"))
    mask_of("class_id", 1, 4).save(data / "test" / "n03_mask.png")  # as the model numbers n05
    asked = {"data": str(data), "mask_encoding": "class_id"}
    told = (
        r"data \(test\), row 1 \(n03.png\): the mask's class must lie in 0 ... 2, got 4; the dataset has 3 classes: n01"
    )
    with pytest.raises(ValueError, match=rf"{told}.*--class_names"):  # before anything is computed
        prepare(EvaluationArguments(five_classes, tmp_path / "out", **CHEAP, **asked))


def test_masks_may_count_classes_that_no_image_has(five_classes, tmp_path):
    """As the model numbers them: the list of all classes says so."""
    data = Path(ids_dataset(tmp_path / "data", "class_id"))
    for own, name in zip((0, 2, 4), FOLDERS, strict=True):
        mask_of("class_id", own, (own + 2) % 6).save(data / "test" / f"{name}_mask.png")
    asked = {"data": str(data), "mask_encoding": "class_id", "class_names": [f"n0{i}" for i in range(1, 6)]}
    check_matched(prepare(EvaluationArguments(five_classes, tmp_path / "out", **CHEAP, **asked)).batch(range(3)))


def test_masks_that_do_not_show_the_class_of_their_image_are_counted(five_classes, tmp_path, capsys):
    data = Path(ids_dataset(tmp_path / "data", "class_id"))
    mask_of("class_id", 0, 2).save(data / "test" / "n03_mask.png")
    asked = {"data": str(data), "mask_encoding": "class_id"}
    prepare(EvaluationArguments(five_classes, tmp_path / "out", **CHEAP, **asked))
    assert "1 of 3 masks do not show the class of their image: do their numbers count the 3" in capsys.readouterr().out


@pytest.mark.parametrize("written", [bytes, dict, str])
def test_images_and_masks_may_be_bytes_in_parquet(five_classes, tmp_path, written):
    """As training takes them: raw bytes, `{"bytes": ...}`, or the name of a file."""
    values = {}
    for name, image in (("image", Image.new("RGB", (8, 8), (9, 0, 0))), ("mask", mask_of("class_id", 0, 1))):
        image.save(tmp_path / f"{name}.png")
        content = (tmp_path / f"{name}.png").read_bytes()
        values[name] = content if written is bytes else {"bytes": content}
        if written is str:
            values[name] = {"path": str(tmp_path / f"{name}.png")}
    (tmp_path / "data").mkdir()
    for split, label in (("test", "n01"), ("train", "n02")):
        columns = {name: [value] for name, value in values.items()} | {"label": [label]}
        pq.write_table(pa.table(columns), tmp_path / "data" / f"{split}.parquet")
    asked = {"data": str(tmp_path / "data"), "mask_encoding": "class_id"}
    batch = prepare(EvaluationArguments(five_classes, tmp_path / "out", **CHEAP, **asked)).batch([0])
    assert batch.classes == [[0, 1]]
    assert batch.has_mask.all()


def test_a_file_of_integer_classes_takes_those_of_the_model_or_of_a_list(five_classes, tmp_path, caplog):
    Image.new("RGB", (8, 8)).save(tmp_path / "image.png")
    content = (tmp_path / "image.png").read_bytes()
    pq.write_table(pa.table({"image": [content] * 3, "label": [0, 1, 2]}), tmp_path / "file.parquet")
    asked = {"data": str(tmp_path / "file.parquet"), "mask_column": "none"} | CHEAP
    evaluator = prepare(EvaluationArguments(five_classes, tmp_path / "out", **asked))
    assert evaluator.batch(range(3)).labels.tolist() == evaluator.labels.tolist()
    assert sorted(evaluator.labels.tolist()) == [0, 1, 2]
    assert "'0' is the model's 'n01'" in caplog.text
    evaluator = prepare(EvaluationArguments(five_classes, tmp_path / "named", class_names=FOLDERS, **asked))
    assert sorted(evaluator.batch(range(3)).labels.tolist()) == sorted(evaluator.labels.tolist()) == [0, 2, 4]


@pytest.mark.parametrize("encoding", ["class_id", "box"])
def test_an_image_of_a_class_without_an_object_shows_nothing(five_classes, tmp_path, encoding):
    data = Path(ids_dataset(tmp_path / "data", "class_id"))
    rows = [json.loads(line) for line in (data / "test" / "metadata.jsonl").read_text().splitlines()]
    for row in rows:
        mask = row.pop("mask_file_name")
        if row["label"] != "n03":
            row |= {"mask_file_name": mask} if encoding == "class_id" else {"mask": [0, 0, 4, 4]}
    (data / "test" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = {"data": str(data), "mask_encoding": encoding, "empty_classes": ["n03"]} | CHEAP
    batch = prepare(EvaluationArguments(five_classes, tmp_path / "out", **asked)).batch(range(3))
    row = batch.labels.tolist().index(2)
    assert batch.classes[row] == [2]
    assert not batch.planes[row].any()
    assert not batch.has_region[row]
    assert batch.has_region.sum() == 2
    assert len(batch.boxes[row]) == 0
    if encoding == "class_id":
        assert not batch.id_maps[row].any()


@pytest.mark.parametrize("values", [{"mask_foreground": ["1"], "mask_ignore": ["3"]}, {}])
def test_trimaps_are_read_as_the_options_say_or_refused(five_classes, tmp_path, values):
    data = Path(ids_dataset(tmp_path / "data", "class_id"))
    trimap = np.full((8, 8), 2, np.uint8)
    trimap[:6], trimap[:4] = 3, 1
    for name in FOLDERS:
        Image.fromarray(trimap).save(data / "test" / f"{name}_mask.png")
    arguments = EvaluationArguments(five_classes, tmp_path / "out", data=str(data), **CHEAP, **values)
    if not values:
        found = r"row 0 \(n01.png\): .* found 1 \(50 %\), 2 \(25 %\), 3 \(25 %\)"
        with pytest.raises(ValueError, match=rf"{found}: .*--mask_foreground 1 --mask_ignore 3"):
            prepare(arguments)
        return
    batch = prepare(arguments).batch(range(3))
    assert batch.masks[:, :16].all()
    assert not batch.masks[:, 16:].any()
    assert batch.ignore[:, 16:24].all()
    assert batch.ignore.sum() == 3 * 8 * 32


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"explainers": ["gradcam"]}, "no explainer 'gradcam'; choose from: random"),
        ({"metrics": ["x"]}, "no metric 'x'; choose from: classification"),
        ({"limit": ["x=3"]}, "no metric 'x'"),
        ({"limit": ["pointing=0"]}, "METRIC=N"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(asked, message):
    with pytest.raises(ValueError, match=message):
        EvaluationArguments(model="runs/demo", output_dir=Path("out"), **asked)


def test_former_names_are_still_accepted():
    former = {"explainers": ["prediction-map"], "metrics": ["own_object"], "limit": ["own_object=3"]}
    arguments = EvaluationArguments(model="runs/demo", **former)
    assert (arguments.explainers, arguments.metrics) == (["patch-logits"], ["on_target_mass"])
    assert arguments.limits == {"on_target_mass": 3}


@pytest.fixture
def plain_vit(tmp_path):
    """A stock checkpoint, as any ViT classifier is saved."""
    torch.manual_seed(0)
    labels = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: index for index, name in enumerate(CLASSES)}}
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 32}
    ViTForImageClassification(ViTConfig(image_size=32, patch_size=8, **sizes, **labels)).save_pretrained(
        tmp_path / "vit"
    )
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "vit")
    return str(tmp_path / "vit")


def test_a_plain_vit_is_evaluated_too(plain_vit, tmp_path):
    request = EvaluationArguments(
        plain_vit,
        tmp_path / "out",
        explainers=["rollout", "pm-vit"],
        metrics=["pointing"],
        max_samples=6,
        batch_size=4,
    )
    results, folder = evaluate(request)
    assert set(results["pointing"]) == {"rollout", "pm-vit"}
    assert results["classification"]["classifier"]["top1"].count == 6
    files = {"index.html", "report.md", "values.csv", "results.json", "confusion_matrix.csv", "confusion_matrix.png"}
    assert files <= {path.name for path in folder.iterdir()}
    said = json.loads((folder / "results.json").read_text())["said_first"]
    assert re.match(r"Right on \d of 6 images \(.* %", said[0])
    text = (folder / "report.md").read_text()
    assert text.index(said[0]) < text.index("| class ") < text.index("drawn at random")
    assert "Top-5" not in text  # of a few classes


def test_a_second_call_with_other_metrics_reports_those_of_the_first_too(plain_vit, tmp_path):
    def run(explainers, metrics, **settings) -> str:
        asked = {"explainers": explainers, "metrics": metrics, "max_samples": 6, "batch_size": 4, **settings}
        _, folder = evaluate(EvaluationArguments(plain_vit, tmp_path / "out", **asked))
        return (folder / "report.md").read_text()

    run(["rollout"], ["perturbation"], tie_orders=2)
    text = run(["legrad"], ["pointing", "grid_2x2"], legrad_layers=1, num_grids=2)
    assert "| Attention rollout |" in text.partition("## Perturbation")[2].partition("##")[0]
    assert "Settings: tie_orders 2; Attention rollout: rollout_start_layer 0." in text
    assert "Settings: LeGrad: legrad_layers 1." in text.partition("## Pointing")[2]
    cost = text.partition("## Cost")[2]
    assert "not measured" not in cost and "Attention rollout" in cost and "LeGrad" in cost
    sentence = "grid_2x2: not evaluated; it needs 4 classes with a correctly classified image."
    assert f"**{sentence}**" in text and f"<b>{sentence}</b>" in (tmp_path / "out" / "index.html").read_text()


def test_a_larger_input_gives_a_finer_map_and_records_of_its_own(plain_vit, tmp_path):
    asked = {"explainers": ["pm-vit"], "metrics": ["pointing"], "max_samples": 4}
    _, folder = evaluate(EvaluationArguments(plain_vit, tmp_path / "out", image_size=64, **asked))
    assert "input 64 x 64 px" in (folder / "report.md").read_text()
    with pytest.raises(ValueError, match=r"records with size = \[64, 64\], asked for \[32, 32\]"):
        evaluate(EvaluationArguments(plain_vit, tmp_path / "out", **asked))
    with pytest.raises(ValueError, match="--image_size must be a multiple of the patch size 8, got 60"):
        evaluate(EvaluationArguments(plain_vit, tmp_path / "other", image_size=60, **asked))


def test_a_column_that_is_not_there_is_named(plain_vit, tmp_path):
    request = EvaluationArguments(plain_vit, tmp_path / "out", mask_column="box", max_samples=4)
    with pytest.raises(ValueError, match=r"no column 'box'; its columns are image, label, mask"):
        evaluate(request)


@pytest.mark.slow
def test_bfloat16_gives_nearly_the_same_and_its_records_are_not_mixed_with_others(plain_vit, tmp_path):
    asked = {"metrics": ["map_statistics"], "max_samples": 4, "rise_masks": 8, "integration_steps": 2}
    exact, _ = evaluate(EvaluationArguments(plain_vit, tmp_path / "fp32", **asked))
    rough, _ = evaluate(EvaluationArguments(plain_vit, tmp_path / "bf16", precision="bf16", **asked))
    assert exact["map_statistics"].keys() == EXPLAINERS.keys()
    changed = set()
    for explainer, found in exact["map_statistics"].items():
        values = [found["sparseness"].per_image, rough["map_statistics"][explainer]["sparseness"].per_image]
        assert values[0] == pytest.approx(values[1], abs=0.15)
        if (values[0] != values[1]).any():
            changed.add(explainer)
    assert changed == EXPLAINERS.keys() - {"random", "gaussian"}
    with pytest.raises(ValueError, match="precision"):
        evaluate(EvaluationArguments(plain_vit, tmp_path / "fp32", precision="bf16", **asked))
