"""From a source to a folder that the trainer takes, whatever happens in between."""

import io
import json
import re
import signal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from modeling_pm_vit.data.decoding import decode_value
from modeling_pm_vit.data.sources import open_rows
from modeling_pm_vit.data.synthetic import CLASSES, synthetic_dataset
from modeling_pm_vit.pseudo_masks import runner
from modeling_pm_vit.pseudo_masks.arguments import PseudoMaskArguments
from modeling_pm_vit.pseudo_masks.method import PseudoMask
from modeling_pm_vit.pseudo_masks.run import make_pseudo_masks
from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.training.run import train
from modeling_pm_vit.utils.errors import InputError
from tests.processes import run_command

SIZE = 23


@pytest.fixture(scope="module")
def model(tmp_path_factory, make_model, make_processor):
    folder = tmp_path_factory.mktemp("model")
    make_model(id2label=dict(enumerate(CLASSES))).save_pretrained(folder)
    make_processor().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder of parquet files with masks that must not be looked at."""
    folder = tmp_path_factory.mktemp("source")
    for split, size in (("train", SIZE), ("test", 6)):
        synthetic_dataset(split, size, image_size=48).to_parquet(folder / f"{split}-0.parquet", batch_size=8)
    return str(folder)


@pytest.fixture
def request_of(model, source, tmp_path):
    def make(**settings) -> PseudoMaskArguments:
        given = {
            "data": source,
            "model": model,
            "output_dir": tmp_path / "masked",
            "rows_per_shard": 5,
            "batch_size": 4,
        }
        return PseudoMaskArguments(**(given | settings))

    return make


def contents(folder) -> dict[str, list[dict]]:
    return {path.name: pq.read_table(path).to_pylist() for path in sorted(folder.glob("*.parquet"))}


@pytest.mark.parametrize("streaming", [False, True])
def test_every_row_comes_once_with_its_image_class_and_mask(request_of, source, tmp_path, streaming):
    counts, page = make_pseudo_masks(request_of(streaming=streaming))
    shards = contents(tmp_path / "masked")
    assert list(shards) == [f"train-{a:010d}-{min(a + 5, SIZE):010d}.parquet" for a in range(0, SIZE, 5)]
    rows, original = [row for shard in shards.values() for row in shard], open_rows(source, "train")
    assert [row["row"] for row in rows] == list(range(SIZE))
    for row in rows:
        before = original[row["row"]]
        assert (row["image"]["bytes"], row["label"]) == (before["image"]["bytes"], before["label"])
        if row["mask"] is not None:
            mask = np.asarray(Image.open(io.BytesIO(row["mask"]["bytes"])))
            assert mask.shape == decode_value(before["image"]).size[::-1]
            assert mask.any()
            assert row["mask_score"] >= 0.01
    masks = sum(row["mask"] is not None for row in rows)
    assert (counts.images, counts.masks, counts.low_score) == (SIZE, masks, 0)
    assert masks > 0
    assert "train.png" in page.read_text()
    assert Image.open(page.with_name("train.png")).width > 500
    assert open_rows(str(tmp_path / "masked"), "train").features["label"].names == list(CLASSES)


@pytest.mark.parametrize("streaming", [False, True])
def test_some_images_of_a_source_that_is_sorted_by_class_are_of_all_classes(request_of, tmp_path, streaming):
    sorted_rows = synthetic_dataset("train", 60, image_size=48).sort("label")
    sorted_rows.to_parquet(tmp_path / "train-0.parquet", batch_size=8)
    settings = {"data": str(tmp_path), "max_samples": len(CLASSES), "streaming": streaming}
    make_pseudo_masks(request_of(**settings))
    rows = [row for shard in contents(tmp_path / "masked").values() for row in shard]
    assert sorted(row["label"] for row in rows) == list(range(len(CLASSES)))
    assert [sorted_rows["label"][row["row"]] for row in rows] == [row["label"] for row in rows]  # of the whole source
    with pytest.raises(ValueError, match="holds results with"):
        make_pseudo_masks(request_of(**settings | {"max_samples": 20}))


def test_the_settings_are_stored_with_the_masks(request_of, tmp_path):
    make_pseudo_masks(request_of(tau=0.3))
    settings = json.loads((tmp_path / "masked" / "train.json").read_text())
    assert (settings["method"], settings["tau"], settings["rows"]) == ("tokencut", 0.3, SIZE)
    metadata = pq.read_schema(tmp_path / "masked" / "train-0000000000-0000000005.parquet").metadata
    assert json.loads(metadata[b"pseudo_masks"]) == settings
    with pytest.raises(ValueError, match=r"holds results with tau = 0\.3, asked for 'auto'"):
        make_pseudo_masks(request_of())


@pytest.mark.slow
def test_training_reads_the_pseudo_masks(request_of, source, tmp_path, capsys):
    counts, _ = make_pseudo_masks(request_of())
    flags = {
        **{"data": tmp_path / "masked", "eval_data": source, "eval_split": "test", "output_dir": tmp_path / "run"},
        **{"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2},
        **{"max_steps": 2, "use_cpu": True, "save_strategy": "no", "report_to": "none", "overlays": 0},
    }
    flags |= {"eval_mask_encoding": "class_id", "disable_tqdm": True, "eval_strategy": "no"}
    metrics = train(*parse_arguments([str(x) for key, value in flags.items() for x in (f"--{key}", value)]))
    share = counts.masks / SIZE
    assert (
        f"{SIZE} training images; {100 * share:.1f} % of an epoch with a mask; 6 evaluation images"
        in capsys.readouterr().out
    )
    assert 0 <= metrics["eval_accuracy"] <= 1


@pytest.mark.parametrize("share", [0.4, 1.0])
def test_masks_with_a_low_score_are_left_out_and_counted(request_of, tmp_path, share):
    make_pseudo_masks(request_of(output_dir=tmp_path / "all"))
    scores = [row["mask_score"] for shard in contents(tmp_path / "all").values() for row in shard]
    known = sorted(score for score in scores if score is not None)
    low = round(share * len(known))
    line = [*known, 2.0][low]
    counts, _ = make_pseudo_masks(request_of(min_score=line))
    assert (counts.masks, counts.low_score) == (len(known) - low, low)
    assert counts.no_object == SIZE - len(known)
    for before, row in zip(scores, (row for s in contents(tmp_path / "masked").values() for row in s), strict=True):
        assert row["mask_score"] == before
        assert (row["mask"] is not None) == (before is not None and before >= line)


def test_images_of_a_class_without_an_object_get_an_empty_mask(request_of, tmp_path):
    make_pseudo_masks(request_of(empty_classes=[CLASSES[0], CLASSES[2]]))
    rows = [row for shard in contents(tmp_path / "masked").values() for row in shard]
    for row in rows:
        mask = decode_value(row["mask"])
        if row["label"] in (0, 2):
            assert not np.asarray(mask).any() and row["mask_score"] == 1
        elif mask is not None:
            assert np.asarray(mask).any()
    assert {row["label"] for row in rows} > {0, 2}
    with pytest.raises(InputError, match="--empty_classes: there is no class 'normal'"):
        make_pseudo_masks(request_of(empty_classes=["normal"], output_dir=tmp_path / "other"))


def test_a_file_with_bytes_and_integer_classes_is_read_as_in_training(request_of, source, tmp_path):
    rows = pq.read_table(f"{source}/train-0.parquet").to_pylist()
    columns = {"image": [{"bytes": row["image"]["bytes"]} for row in rows], "label": [row["label"] for row in rows]}
    pq.write_table(pa.table(columns), tmp_path / "bytes.parquet")
    make_pseudo_masks(request_of(output_dir=tmp_path / "whole"))
    make_pseudo_masks(request_of(data=str(tmp_path / "bytes.parquet"), class_names=CLASSES))
    made = [row | {"image": row["image"]["bytes"]} for shard in contents(tmp_path / "masked").values() for row in shard]
    whole = [row | {"image": row["image"]["bytes"]} for shard in contents(tmp_path / "whole").values() for row in shard]
    assert made == whole
    assert open_rows(str(tmp_path / "masked"), "train").features["label"].names == CLASSES


def test_self_training_by_the_same_command(request_of):
    counts, _ = make_pseudo_masks(request_of(method="self", threshold=0.3))
    assert counts.images == SIZE
    with pytest.raises(ValueError, match=r"there is no method 'guess'; there are tokencut, self, image-segmentation"):
        request_of(method="guess")


def test_a_row_that_cannot_be_read_is_named(request_of, source, tmp_path):
    rows = [
        row | {"image": {"bytes": b"broken", "path": None}} if i == 7 else row
        for i, row in enumerate(pq.read_table(f"{source}/train-0.parquet").to_pylist())
    ]
    schema = pq.read_schema(f"{source}/train-0.parquet")
    (tmp_path / "bad").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / "bad" / "train-0.parquet")
    with pytest.raises(ValueError, match=r"bad \(train\), row 7: "):
        make_pseudo_masks(request_of(data=str(tmp_path / "bad")))
    assert list(contents(tmp_path / "masked")) == ["train-0000000000-0000000005.parquet"]


# --- interruptions and several processes ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_run_is_completed_by_two_processes(request_of, tmp_path):
    """Killed while the third shard is half on disk; what two processes then add makes what one would have made."""
    make_pseudo_masks(request_of(output_dir=tmp_path / "whole"))
    request = request_of()
    names = ("data", "model", "output_dir", "rows_per_shard", "batch_size")
    words = ["pseudo-masks", "--device", "cpu", *(x for n in names for x in (f"--{n}", getattr(request, n)))]
    assert run_command(words, kill_at=(".parquet.", 3)).codes == [-signal.SIGKILL]
    first = contents(tmp_path / "masked")
    assert len(first) == 2
    times = {name: (tmp_path / "masked" / name).stat().st_mtime_ns for name in first}
    done = run_command(words, processes=2)
    assert done.codes == [0, 0], done.stderr
    assert contents(tmp_path / "masked") == contents(tmp_path / "whole")
    assert all((tmp_path / "masked" / name).stat().st_mtime_ns == time for name, time in times.items())
    assert len(re.findall(rf"^{SIZE} images: \d+ with a mask", done.stdout, re.MULTILINE)) == 1
    assert "of 2" in done.stderr  # processes


def test_each_process_makes_only_its_shards(request_of, monkeypatch):
    """As the second of three, by a state that says so."""
    asked = []

    class State:
        process_index, num_processes, is_main_process = 1, 3, False

        def wait_for_everyone(self):
            pass

    class Shards:
        ranges = [range(0, 5), range(5, 10), range(10, 15), range(15, 20), range(20, 23)]

        def has(self, rows):
            return False

        def write(self, rows, records):
            asked.append((rows, [record["row"] for record in records]))

    request = request_of()
    rows = open_rows(request.data, "train")
    method = lambda images, labels: [PseudoMask(np.ones(image.size[::-1]), 1.0) for image in images]  # noqa: E731
    runner.write_masks(rows, method, Shards(), request.columns, State(), batch_size=4)
    assert asked == [(range(5, 10), [5, 6, 7, 8, 9]), (range(20, 23), [20, 21, 22])]
