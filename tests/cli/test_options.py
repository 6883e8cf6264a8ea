"""The names of options: they agree between commands, and those of earlier versions are read or refused."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import pytest

from modeling_pm_vit.conversion.arguments import ConvertArguments
from modeling_pm_vit.data.arguments import ImageNetSArguments, SceneArguments
from modeling_pm_vit.evaluation.arguments import EvaluationArguments
from modeling_pm_vit.evaluation.calibration import CalibrationArguments
from modeling_pm_vit.evaluation.shortcuts import ShortcutArguments
from modeling_pm_vit.export.arguments import ExportArguments
from modeling_pm_vit.inference.arguments import ExplainArguments
from modeling_pm_vit.pseudo_masks.arguments import PseudoMaskArguments
from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.utils.arguments import ArgumentParser, option
from modeling_pm_vit.utils.errors import InputError, NotFoundError

CALLS = {  # the least that a command needs
    ExplainArguments: ["model", "photo.png"],
    EvaluationArguments: ["--model", "model"],
    PseudoMaskArguments: ["--data", "photos", "--model", "model", "--output_dir", "out"],
    ConvertArguments: ["source", "--output_dir", "out"],
    SceneArguments: ["--objects", "objects", "--backgrounds", "photos", "--output_dir", "out"],
    ExportArguments: ["model", "--output_dir", "out"],
    ImageNetSArguments: ["imagenet", "imagenet_s", "--output_dir", "out"],
    CalibrationArguments: ["model"],
    ShortcutArguments: ["model"],
}
OLD = [  # earlier spellings, and the field that has the value now
    (ExplainArguments, "--output x", "output_dir", Path("x")),
    (ExplainArguments, "--top-k 3", "top_k", 3),
    (ExplainArguments, "--labels a b", "labels", ["a", "b"]),
    (ExplainArguments, "--batch-size 3", "batch_size", 3),
    (ExplainArguments, "--workers 3", "num_workers", 3),
    (ExplainArguments, "--threads 3", "num_threads", 3),
    (ExplainArguments, "--dtype bf16", "precision", "bf16"),
    (ExplainArguments, "--compile", "compile", True),
    (ExplainArguments, "--size 5", "max_samples", 5),
    (ExplainArguments, "--image-column x", "image_column", "x"),
    (ExplainArguments, "--rows-per-shard 5", "rows_per_shard", 5),
    (EvaluationArguments, "--output x", "output_dir", Path("x")),
    (EvaluationArguments, "--held-out-split train --held-out-data x", "held_out_data", "x"),
    (EvaluationArguments, "--mask-column none", "mask_column", None),
    (EvaluationArguments, "--box-column none", "box_column", None),
    (EvaluationArguments, "--box-column box", "box_column", "box"),
    (EvaluationArguments, "--mask-encoding box", "mask_encoding", "box"),
    (EvaluationArguments, "--class-order x.txt", "class_order", Path("x.txt")),
    (EvaluationArguments, "--explainers pm-vit prediction-map", "explainers", ["pm-vit", "patch-logits"]),
    (EvaluationArguments, "--protocols pointing own_object", "metrics", ["pointing", "on_target_mass"]),
    (EvaluationArguments, "--max-images 5", "max_samples", 5),
    (EvaluationArguments, "--max_images 5", "max_samples", 5),
    (EvaluationArguments, "--limit own_object=5 pointing=7", "limits", {"on_target_mass": 5, "pointing": 7}),
    (EvaluationArguments, "--grids 5", "num_grids", 5),
    (EvaluationArguments, "--step-rows 5", "step_rows", 5),
    (EvaluationArguments, "--rise-masks 5", "rise_masks", 5),
    (EvaluationArguments, "--integration-steps 5", "integration_steps", 5),
    (PseudoMaskArguments, "--output x", "output_dir", Path("x")),
    (PseudoMaskArguments, "--size 5", "max_samples", 5),
    (PseudoMaskArguments, "--workers 5", "num_workers", 5),
    (PseudoMaskArguments, "--judge-boxes box", "box_column", "box"),
    (PseudoMaskArguments, "--min-score 0.5", "min_score", 0.5),
    (PseudoMaskArguments, "--segment-labels a b", "segment_labels", ["a", "b"]),
    (PseudoMaskArguments, "--refine", "refine", True),
    (ConvertArguments, "--num-labels 5", "num_labels", 5),
    (ConvertArguments, "--image-size 24 32", "image_size", [24, 32]),
    (SceneArguments, "--output x", "output_dir", Path("x")),
    (SceneArguments, "--count 5", "num_scenes", 5),
    (SceneArguments, "--size 64", "image_size", 64),
    (SceneArguments, "--most-objects 4", "max_objects", 4),
    (SceneArguments, "--mask-column x", "mask_column", "x"),
    (ExportArguments, "--count 5", "max_samples", 5),
    (ExportArguments, "--precision int8 fp16", "precision", ["int8", "fp16"]),
    (ImageNetSArguments, "--masked-only", "masked_only", True),
    (ImageNetSArguments, "--rows-per-shard 5", "rows_per_shard", 5),
]


@pytest.mark.parametrize(("arguments", "old", "name", "value"), OLD)
def test_earlier_names_of_options_are_read(arguments, old, name, value):
    assert getattr(ArgumentParser(arguments).parse([*CALLS[arguments], *old.split()]), name) == value


@pytest.mark.parametrize("arguments", [ConvertArguments, ExportArguments, ImageNetSArguments])
def test_the_folder_to_write_may_still_be_the_last_word(arguments):
    words = [word for word in CALLS[arguments] if word != "--output_dir"]
    assert ArgumentParser(arguments).parse(words).output_dir == Path("out")
    with pytest.raises(InputError, match="required: --output_dir"):
        ArgumentParser(arguments).parse(words[:-1])
    with pytest.raises(InputError, match="unexpected argument 'more'"):
        ArgumentParser(arguments).parse([*CALLS[arguments], "more"])


def test_an_option_with_another_meaning_is_refused_with_the_new_name(call):
    done = call("evaluate", "--model", "m", "--bf16")
    assert done == (2, "", "pm-vit evaluate: --bf16 is no longer an option: use --precision bf16; "
                    "--help lists the options.\n")  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate"], "the following arguments are required: --model"),
        (["explain"], "give either images or --data"),
        (["explain", "m"], "give either images or --data"),
        (["explain", "m", "a.png", "--data", "d"], "give either images or --data"),
        (["explain", "m", "--data", "d", "--format", "json"], "parquet files only"),
        (["explain", "m", "a.png", "--batchsize", "3"], "no option --batchsize; the nearest is --batch_size"),
        (["explain", "m", "a.png", "--top_k", "x"], "--top_k: invalid int value: 'x'"),
        (["explain", "m", "a.png", "--top_k", "0"], "--top_k: must be at least 1, got 0"),
        (["explain", "m", "a.png", "--threshold", "1.5"], "--threshold: must be at most 1, got 1.5"),
        (["explain", "m", "a.png", "--device", "tpu"], "--device tpu: there is no such device here"),
        (["explain", "m", "a.png", "--device", "cuda:99"], "--device cuda:99: there is no such device here"),
        (["train", "--max_train_samples", "0"], "--max_train_samples: must be at least 1, got 0"),
        (["train", "--use_cpu", "true", "--eval_strategy", "often"], "often is not a valid IntervalStrategy"),
        (["convert", "user/nothing", "--output_dir", "o"], "no model of this name from the Hub"),
        (["explain", "m", "a.png", "--window", "5"], "--window must be two numbers"),
        (["explain", "m", "--data", "d", "--tile", "224"], "--tile works with --format page and json"),
        (["explain", "m", "a.png", "--overlap", "1"], "--overlap: must be at most 0.9, got 1"),
        (["explain", "m", "a.png", "--format", "pdf"], "--format: invalid choice: 'pdf'"),
        (["evaluate", "--model", "m", "--metrics", "x"], "there is no metric 'x'; choose from: classification"),
        (["evaluate", "--model", "m", "--explainers", "x"], "there is no explainer 'x'; choose from: random"),
        (["evaluate", "--model", "m", "--limit", "pointing"], "--limit takes METRIC=N"),
        (["evaluate", "--model", "m", "--limit", "pointer=3"], "there is no metric 'pointer'"),
        (["convert", "s", "--output_dir", "o", "--labels", "a", "--num_labels", "2"], "not both"),
        (["convert", "s", "--output_dir", "o", "--image_size", "1", "2", "3"], "one number, or height and width"),
        (["convert", "s", "--output_dir", "o", "--labels", "names.txt"], "no file names.txt"),
        (["train", "settings.yaml"], "there is no file settings.yaml"),
        (["train", "--train_sise", "3"], "no option --train_sise; the nearest is --train_size"),
        (["publish", "m", "user/name", "--tag", "v1", "--dataset", "d"], "required: --license"),
    ],
)
def test_wrong_calls_are_one_line(call, words, message):
    done = call(*words)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"pm-vit {words[0]}: ") and message in done.err


def test_options_of_the_same_meaning_have_the_same_name():
    allowed = {  # of all commands but training, whose further options are transformers'
        *("model", "data", "split", "streaming", "output_dir", "max_samples", "seed", "device", "precision"),
        *("image_column", "label_column", "group_column", "mask_column", "box_column", "mask_encoding"),
        *("mask_foreground", "mask_ignore", "class_names", "empty_classes", "leave_out_classes"),
        *("batch_size", "num_workers", "num_threads", "rows_per_shard", "num_scenes", "image_size", "max_objects"),
        *("metrics", "explainers", "limit", "num_grids", "step_rows", "tie_orders", "sensitivity_samples"),
        *("rise_masks", "rise_cells", "rise_kept", "integration_steps", "rollout_start_layer", "legrad_layers"),
        *("layout", "class_order", "held_out_split", "held_out_data"),
        *("top_k", "labels", "num_labels", "threshold", "opacity", "format", "backend", "compile", "images"),
        *("keep_aspect_ratio", "tile", "overlap", "window", "specificity", "evidence", "expected"),
        *("instances", "min_area", "pooling"),
        *("report_only", "score", "coverage", "precision", "unknown", "unknown_split", "unknown_samples"),
        *("reference_split", "reference_samples", "explainer", "examples"),
        *("min_score", "method", "features", "layer", "tau", "refine", "segment_labels"),
        *("source", "force", "objects", "backgrounds", "imagenet", "imagenet_s", "splits", "masked_only", "verify"),
    }
    for arguments in CALLS:
        names = {field.name for field in fields(arguments) if not field.metadata.get("hidden")}
        assert names <= allowed, arguments
        for field in fields(arguments):
            if not field.metadata.get("hidden"):
                assert field.metadata["help"].endswith("."), field.name


def test_training_reads_earlier_names_on_the_command_line_and_in_files(tmp_path):
    (tmp_path / "run.yaml").write_text(f"train_size: 5\neval-size: 6\nuse_cpu: true\noutput_dir: {tmp_path}\n")
    data = parse_arguments([str(tmp_path / "run.yaml")])[1]
    assert (data.max_train_samples, data.max_eval_samples) == (5, 6)
    data = parse_arguments([str(tmp_path / "run.yaml"), "--train_size", "7", "--max_eval_samples", "8"])[1]
    assert (data.max_train_samples, data.max_eval_samples) == (7, 8)


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "cannot be read"), ("- a", "must hold settings"), ("hiden_size: 3", "hiden_size")]
)
def test_a_settings_file_that_cannot_be_used(tmp_path, text, message):
    (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        parse_arguments([str(tmp_path / "run.yaml")])
    with pytest.raises(NotFoundError):
        parse_arguments([str(tmp_path / "other.yaml")])


@dataclass
class Example:
    folder: Path = option(help="Folder.", positional=True)
    files: list[str] = option(default_factory=list, help="Files.", positional=True)
    fast: bool = option(False, help="Fast.", group="speed")
    sure: bool = option(True, help="Sure.")
    kind: Literal["a", "b"] | None = option(None, help="Kind: 100 % of it.")
    column: str | None = option("mask", help="Column.", none=True)
    sizes: list[int] = option(default_factory=lambda: [1, 2], help="Sizes.", old_names=["--old-sizes"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("d", {"folder": Path("d"), "files": [], "fast": False, "sure": True, "kind": None, "sizes": [1, 2]}),
        ("d x y", {"files": ["x", "y"]}),
        ("d --kind b x y", {"files": ["x", "y"], "kind": "b"}),
        ("d --fast x", {"fast": True, "files": ["x"]}),
        ("d --fast false x", {"fast": False, "files": ["x"]}),
        ("d --fast=true", {"fast": True}),
        ("d x --no_sure", {"sure": False}),
        ("d --column none", {"column": None}),
        ("d --old_sizes 3 4", {"sizes": [3, 4]}),
        ("d --sizes 3", {"sizes": [3]}),
    ],
)
def test_the_parser_reads(words, expected):
    found = ArgumentParser(Example).parse(words.split())
    assert {name: getattr(found, name) for name in expected} == expected


def test_the_parser_shows_one_name_an_option_and_its_default():
    text = ArgumentParser(Example, command="pm-vit example", description="An example.").format_help()
    assert text.startswith("usage: pm-vit example FOLDER [FILES ...] [options]\n\nAn example.\n\noptions:\n")
    assert "--old" not in text and "no_sure" not in text and "(default: mask)" in text and "(default: 1 2)" in text
    assert "speed:\n  --fast  " in text and "100 % of it." in text
