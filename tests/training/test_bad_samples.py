"""Rows that cannot be used: skipped and counted; a run or an evaluation without a usable row stops."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modeling_pm_vit.data.synthetic import synthetic_dataset
from modeling_pm_vit.data.transforms import ExampleTransform
from modeling_pm_vit.training import usable_rows
from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.run import train
from modeling_pm_vit.utils.errors import StoppedError
from tests.processes import in_processes

from .conftest import SETTINGS, as_flags

pytestmark = pytest.mark.slow  # whole runs

ROWS = {"train": 24, "validation": 8}
BROKEN = {"bytes": b"no image", "path": None}


@pytest.fixture
def make_data(tmp_path):
    """A folder of parquet files whose images are broken except in the given rows."""

    def make(**usable: range) -> str:
        for split, size in ROWS.items():
            table = synthetic_dataset(split, size, image_size=32).data.table
            rows = table.to_pylist()
            for number, row in enumerate(rows):
                if number not in usable.get(split, range(size)):
                    row["image"] = BROKEN
            path = tmp_path / "data" / f"{split}-0.parquet"
            path.parent.mkdir(exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
        return str(tmp_path / "data")

    return make


@pytest.fixture
def flags_of(tmp_path):
    def make(data: str, **settings) -> list[str]:
        fixed = {"data": data, "mask_fraction": 1.0, "on_bad_sample": "skip", "output_dir": tmp_path / "run"}
        return as_flags(SETTINGS | fixed | settings)

    return make


def message(tried: int, split: str) -> str:
    reason = r"row \d+( \(.*\))?: .*cannot identify image file"
    return rf"data \({split}\): all {tried} rows .* skipped\..*first reasons:\n  .*{reason}"


@pytest.mark.parametrize("streaming", [False, True])
def test_a_run_without_a_usable_row_stops_after_the_first_epoch(run, make_data, flags_of, streaming):
    data = make_data(train=range(0))
    name = r".*train-0.parquet" if streaming else r".*data \(train\)"
    with pytest.raises(StoppedError, match=name + ": all 24 rows that were read in succession had to be skipped"):
        run(flags_of(data, max_steps=9, streaming=streaming))  # three steps are an epoch


def test_a_run_shorter_than_an_epoch_stops_at_its_end_and_saves_no_model(run, make_data, flags_of, tmp_path):
    with pytest.raises(StoppedError, match=message(16, "train")):
        run(flags_of(make_data(train=range(0)), max_steps=2))
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_long_run_stops_before_the_end_of_the_epoch(run, make_data, flags_of, monkeypatch):
    monkeypatch.setattr(usable_rows, "MAX_BAD_ROWS", 10)
    with pytest.raises(StoppedError, match=message(16, "train")):
        run(flags_of(make_data(train=range(0)), max_steps=9))


def test_a_run_that_has_seen_no_image_leaves_no_checkpoint_to_resume_from(run, make_data, flags_of, tmp_path):
    flags = flags_of(make_data(train=range(0)), max_steps=2, save_strategy="steps", save_steps=1)
    for _ in range(2):
        with pytest.raises(StoppedError, match=message(16, "train")):
            run(flags, "--resume_from_checkpoint")
    assert not list((tmp_path / "run").glob("checkpoint-*"))


@pytest.mark.parametrize("row", [0, 5])
def test_one_usable_row_is_enough(run, make_data, flags_of, row):
    """In batches of one image, so that whole steps are empty, in succession for more than an epoch."""
    settings = {"per_device_train_batch_size": 1, "max_steps": 60, "logging_steps": 60}
    assert run(flags_of(make_data(train=range(row, row + 1)), **settings))["eval_loss"] > 0


def test_a_run_whose_rows_become_unreadable_stops(run, make_data, flags_of, monkeypatch):
    """As when the storage is gone: from the third step on nothing can be read."""
    calls = []
    decode = ExampleTransform.decode

    def read(self, row, *seed):
        calls.append(row)
        if len(calls) > 16:
            raise OSError("the storage is gone")
        return decode(self, row, *seed)

    monkeypatch.setattr(ExampleTransform, "decode", read)
    # The rest of the first epoch, a whole epoch, and the beginning of the third.
    with pytest.raises(StoppedError, match=r"all 40 rows (.|\n)*the storage is gone"):
        run(flags_of(make_data(), max_steps=30, cache_images="never"))


def test_cached_batches_of_bad_rows_stop_a_run_too(run, make_data, flags_of, tmp_path):
    settings = {"feature_epochs": 1, "frozen_layers": 1, "feature_folder": tmp_path / "features"}
    data = make_data(train=range(0))
    with pytest.raises(StoppedError, match=message(24, "train")):
        run(flags_of(data, max_steps=9, **settings))
    with pytest.raises(StoppedError, match="cached features hold padding samples only"):
        run(flags_of(data, max_steps=9, **settings))


def test_an_evaluation_without_a_usable_row_stops(run, make_data, flags_of):
    with pytest.raises(StoppedError, match=message(8, "validation")):
        run(flags_of(make_data(validation=range(0))))


def test_skipped_rows_of_the_evaluation_are_counted(run, make_data, flags_of, tmp_path, capsys):
    metrics = run(flags_of(make_data(validation=range(3))))
    assert metrics["eval_skipped_samples"] == 5
    assert json.loads((tmp_path / "run" / "eval_results.json").read_text())["eval_skipped_samples"] == 5
    assert metrics["eval_accuracy"] in [i / 3 for i in range(4)]
    out = capsys.readouterr().out
    assert "skipped 5 bad samples in evaluation (process 0)" in out
    assert "in training" not in out


def train_and_note(flags: list[str], note: str) -> None:
    try:
        train(*parse_arguments(flags))
    except StoppedError as error:
        with open(note, "a") as file:
            file.write(f"{error}\n---\n")


@pytest.mark.slow
@pytest.mark.parametrize(("split", "tried"), [("train", 24), ("validation", 8)])
def test_two_processes_stop_together_and_both_say_why(make_data, flags_of, tmp_path, split, tried):
    note = tmp_path / "errors.txt"
    flags = flags_of(make_data(**{split: range(0)}), max_steps=4, per_device_train_batch_size=5)
    assert in_processes(2, train_and_note, flags, str(note)) == [0, 0]
    errors = note.read_text().split("---\n")[:-1]
    assert len(errors) == 2
    assert all(re.search(message(tried, split), error) for error in errors)


@pytest.mark.slow
def test_a_process_without_a_usable_row_goes_on_with_the_others(make_data, flags_of, tmp_path):
    """One row can be used: in each epoch one of the processes has nothing but padding samples."""
    flags = flags_of(make_data(train=range(1)), max_steps=15, per_device_train_batch_size=2)
    assert in_processes(2, train_and_note, flags, str(tmp_path / "errors.txt")) == [0, 0]
    assert not (tmp_path / "errors.txt").exists()
