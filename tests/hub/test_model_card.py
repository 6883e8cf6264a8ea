"""The model card, and the files that the Hub reads beside it."""

import json
import re
import shutil
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries
from huggingface_hub.repocard_data import model_index_to_eval_results

from modeling_pm_vit import PMViTForImageClassification, PMViTImageProcessor
from modeling_pm_vit.hub.checks import find_problems
from modeling_pm_vit.hub.model_card import read_values, render_eval_results, render_model_card
from modeling_pm_vit.hub.release import EVAL_RESULTS, stage
from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.run import train
from modeling_pm_vit.utils.errors import InputError
from tests.conftest import NAMES
from tests.training.conftest import SETTINGS, as_flags

EXAMPLES = {"1.png": [{"label": "owl", "score": 0.9}]}


def test_model_card_has_results_settings_and_valid_metadata(first):
    card = ModelCard.load(first / "README.md")
    metadata = card.data.to_dict()
    assert metadata["library_name"] == "transformers"
    assert metadata["pipeline_tag"] == "image-classification"
    assert metadata["base_model"] == "birds/vit"
    assert metadata["license"] == "cc-by-nc-4.0"
    assert metadata["datasets"] == ["birds/photographs"]
    name, results = model_index_to_eval_results(metadata["model-index"])
    assert name == "pm-vit"
    assert {r.metric_type: r.metric_value for r in results} == {
        "accuracy": 0.9,
        "mean_iou": 0.5,
        "energy_pointing_game": 0.7,
    }
    (shown,) = metadata["widget"]
    assert (first / shown["src"]).is_file()
    model = PMViTForImageClassification.from_pretrained(first)
    processor = PMViTImageProcessor.from_pretrained(first)
    expected = model.explain(first / shown["src"], top_k=5, image_processor=processor)
    assert [found["label"] for found in shown["output"]] == expected["labels"]
    assert [found["score"] for found in shown["output"]] == pytest.approx(expected["scores"].tolist(), abs=1e-4)
    assert "tit, owl, hen, elk, cod." in card.text
    assert "`learning_rate` | 0.001" in card.text
    assert "pip install 'pillow>=11' 'torch>=2.11' 'transformers>=5.23'\n```" in card.text
    assert "/home" not in card.content
    for link in re.findall(r"\]\((images/[^)]+)\)", card.text):
        assert (first / link).is_file()


@pytest.mark.parametrize("key", ["eval_energy_pointing_game", "eval_energy_inside"])
def test_model_card_reads_new_and_old_result_keys(arguments, tmp_path, key):
    """Folders that an older version trained have `eval_energy_inside`."""
    folder = shutil.copytree(arguments.model, tmp_path / "model")
    (folder / "eval_results.json").write_text(json.dumps({"eval_accuracy": 0.9, key: 0.71234}))
    card = render_model_card(replace(arguments, model=folder), EXAMPLES)
    assert "| energy-based pointing game | 0.712 |" in card
    assert "type: energy_pointing_game" in card
    assert [value for _, value in read_values({"eval_energy_inside": 0.1, "eval_energy_pointing_game": 0.2})] == [0.2]


def test_model_card_of_several_labels_per_image(arguments, tmp_path):
    folder = shutil.copytree(arguments.model, tmp_path / "model")
    results = {"eval_mean_average_precision": 0.8125, "eval_auroc": 0.9, "eval_auroc_tit": 0.95}
    (folder / "eval_results.json").write_text(json.dumps(results))
    card = render_model_card(replace(arguments, model=folder), EXAMPLES)
    assert "| mean average precision | 0.812 |" in card
    assert "| AUROC | 0.900 |" in card
    assert "type: roc_auc" in card
    assert "accuracy" not in card


SUMMARY = {
    **{"data": "photographs", "train_split": "train[!0/20]", "eval_data": "photographs", "eval_split": "test[:50]"},
    **{"base_model": "vit-s14", "frozen_layers": 9, "lora_rank": 0, "mask_encoding": "box"},
    "mask_data": "pseudo-masks",
    "train": {"images": 300, "masks": 25},
    "evaluation": {"images": 50, "masks": 50},
    "classes": {
        name: {"train": {"images": 60, "masks": 5}, "evaluation": {"images": 10, "accuracy": 0.75 + 0.01 * number}}
        for number, name in enumerate(NAMES)
    },
    "versions": {"torch": "2.13.0"},
}


def test_model_card_says_what_the_run_was(arguments, tmp_path):
    folder = shutil.copytree(arguments.model, tmp_path / "model")
    (folder / "training_summary.json").write_text(json.dumps(SUMMARY))
    card = ModelCard(render_model_card(replace(arguments, model=folder, base_model=None), {}))
    for text in (
        "Used: 300 images of the split `train[!0/20]`, 25 of them (8.33 %) with a mask (bounding boxes).",
        "The masks are those of pseudo-masks.",
        "One run, on the 50 images of the split `test[:50]`:",
        "Base model: vit-s14.",
        "The embeddings and the first 9 layers are those of the base model.",
        "Versions: torch 2.13.0.",
    ):
        assert text in card.text
    assert re.search(r"^\| owl +\| 60 +\| 5 +\| 10 +\| 0\.760 +\|$", card.text, re.MULTILINE)
    metadata = card.data.to_dict()
    assert "base_model" not in metadata  # a folder of the publisher is no id
    assert metadata["model-index"][0]["results"][0]["dataset"]["split"] == "test"


def test_model_card_without_examples_shows_no_picture(arguments, tmp_path):
    arguments = replace(arguments, examples=[], onnx=None)
    assert stage(arguments, tmp_path / "staged") == []
    assert find_problems(tmp_path / "staged") == []
    card = ModelCard.load(tmp_path / "staged" / "README.md")
    assert "widget" not in card.data.to_dict()
    assert "images/" not in card.text and 'image = "photograph.jpg"' in card.text
    assert not (tmp_path / "staged" / "images").exists()


@pytest.mark.parametrize(
    "licence, more, text",
    [
        ("unknown", {}, "No licence is stated"),
        ("mit", {}, "The weights: mit."),
        ("other", {}, "The weights: a licence of their own, whose text is **not stated**"),
        (
            "other",
            {"license_name": "birds-1.0", "license_link": "https://example.org/birds"},
            "The weights: birds-1.0 ([text](https://example.org/birds)).",
        ),
    ],
)
def test_model_card_has_the_licence_of_the_publisher(arguments, licence, more, text):
    card = ModelCard(render_model_card(replace(arguments, license=licence, **more), {}))
    metadata = card.data.to_dict()
    assert {key: metadata[key] for key in metadata if key.startswith("license")} == {"license": licence} | more
    assert text in card.text


def test_model_card_states_use_and_limits_only_in_the_words_of_the_publisher(arguments):
    card = render_model_card(arguments, {})
    assert card.lower().count("not stated") == 2
    stated = replace(arguments, intended_use="Counts birds at feeders.", limits="It fails at night.")
    card = render_model_card(stated, {})
    assert "## Intended use\n\nCounts birds at feeders.\n\n## Limits\n\nIt fails at night.\n" in card
    assert "not stated" not in card.lower()


@pytest.mark.parametrize("number, is_folded", [(50, False), (51, True)])
def test_model_card_has_the_results_of_each_class_however_many(arguments, tmp_path, number, is_folded):
    folder = shutil.copytree(arguments.model, tmp_path / "model")
    names = [f"kind | {k}" for k in range(number)]
    config = json.loads((folder / "config.json").read_text()) | {"id2label": dict(enumerate(names))}
    (folder / "config.json").write_text(json.dumps(config))
    classes = {name: {"train": {"images": 3}, "evaluation": {"accuracy": 0.5}} for name in names}
    (folder / "training_summary.json").write_text(json.dumps(SUMMARY | {"classes": classes}))
    card = render_model_card(replace(arguments, model=folder), {})
    assert len(re.findall(r"^\| kind \\\| \d+ +\| 3 +\| 0\.500 +\|$", card, re.MULTILINE)) == number
    assert (f"<details><summary>{number} classes" in card) == is_folded


def test_results_for_a_benchmark_are_those_that_the_library_of_the_hub_reads(arguments, tmp_path):
    assert render_eval_results(arguments) is None
    folder = shutil.copytree(arguments.model, tmp_path / "model")
    (folder / "training_summary.json").write_text(json.dumps(SUMMARY))
    arguments = replace(arguments, model=folder, benchmark="birds/feeders:top-1", examples=[], onnx=None)
    stage(arguments, tmp_path / "staged")
    assert find_problems(tmp_path / "staged") == []
    (entry,) = parse_eval_result_entries(yaml.safe_load((tmp_path / "staged" / EVAL_RESULTS).read_text()))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("birds/feeders", "top-1", 0.9)
    assert entry.notes == "accuracy, 50 images of the split test[:50]"
    (folder / "eval_results.json").unlink()
    with pytest.raises(InputError, match=r"--benchmark: .*eval_results\.json has none of the metrics"):
        render_eval_results(arguments)


@pytest.mark.slow
def test_model_card_of_a_run(arguments, tmp_path):
    flags = as_flags(SETTINGS | {"output_dir": tmp_path / "run"})
    train(*parse_arguments(flags))
    stage(replace(arguments, model=tmp_path / "run", examples=[], onnx=None), tmp_path / "staged")
    assert find_problems(tmp_path / "staged") == []
    card = (tmp_path / "staged" / "README.md").read_text()
    assert "Used: 24 images of the split `train`, 6 of them (25 %) with a mask (pixel masks)." in card
    assert "One run, on the 8 images of the split `validation`, with 95 % intervals in brackets:" in card
    assert "| `num_train_epochs` | 1 |" in card  # the run was limited to three steps
    assert re.search(
        r"^\| class +\| training images \| with a mask \| evaluation images \| recognised \(recall\) +\|",
        card,
        re.MULTILINE,
    )


def test_model_card_without_evaluation(arguments, tmp_path):
    folder = shutil.copytree(arguments.model, tmp_path / "model")
    (folder / "eval_results.json").unlink()
    assert "recorded no evaluation" in render_model_card(replace(arguments, model=folder), EXAMPLES)
