import io
import signal

import numpy as np
import pytest
import torch
from accelerate import PartialState
from datasets import Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

from modeling_pm_vit.cli.explain import main
from modeling_pm_vit.data.sources import open_rows
from modeling_pm_vit.inference import explain_files, open_predictor
from modeling_pm_vit.inference.parquet import PathRows, explain_rows, read_explanations, stored_heatmaps
from modeling_pm_vit.utils.errors import InputError
from tests.processes import run_command

BAD = 7  # the row that cannot be read
ROWS = 53


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Parquet shards of photographs without labels, one of them broken."""
    rng = np.random.default_rng(0)
    contents = []
    for number in range(ROWS):
        image = np.zeros((40 + number, 60, 3), np.uint8)
        y, x = rng.integers(0, 20, 2)
        image[y : y + 20, x : x + 30, 0] = 255
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "jpeg", quality=95)
        contents.append({"bytes": buffer.getvalue() if number != BAD else b"broken", "path": f"{number}.jpg"})
    folder = tmp_path_factory.mktemp("source")
    features = Features({"image": ImageFeature()})
    for part, rows in enumerate((contents[:30], contents[30:])):
        Dataset.from_dict({"image": rows}, features=features).to_parquet(folder / f"train-{part}.parquet", batch_size=8)
    return folder


def run(folder, source, output, top_k=2, **settings):
    rows = open_rows(str(source), "train", streaming=True, label_column=None)
    predictor = open_predictor(str(folder), top_k=top_k)
    return explain_rows(
        predictor, rows, output, {"top_k": top_k}, PartialState(cpu=True), rows_per_shard=10, **settings
    )


def test_every_row_comes_once_and_maps_come_back(folder, source, tmp_path):
    counts = run(folder, source, tmp_path)
    assert (counts.rows, counts.failed) == (ROWS, 1)
    found = list(read_explanations(tmp_path))
    assert [row["row"] for row in found] == list(range(ROWS))
    assert [row["file"] for row in found] == [f"{number}.jpg" for number in range(ROWS)]
    assert [row["row"] for row in found if row["error"]] == [BAD]
    assert found[BAD]["maps"] is None
    predictor = open_predictor(str(folder), top_k=2)
    rows = open_rows(str(source), "train", streaming=True, label_column=None)
    for number in (0, 30, 52):
        row = found[number]
        image = Image.open(io.BytesIO(rows[number]["image"]["bytes"]))
        expected = predictor.model.explain(image, top_k=2, image_processor=predictor.image_processor)
        assert row["labels"] == expected["labels"]
        assert row["scores"] == pytest.approx(expected["scores"].tolist(), abs=1e-5)
        assert [box and tuple(box) for box in row["boxes"]] == expected["boxes"]
        heatmaps = stored_heatmaps(row, predictor.image_processor)
        assert heatmaps.shape == (2, image.height, image.width)
        assert torch.allclose(heatmaps, expected["heatmaps"], atol=1 / 510 + 1e-5)


def test_files_are_rows_too(folder, tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    predictor, rows = open_predictor(str(folder)), PathRows([tmp_path / "a.png", tmp_path / "none.png"])
    counts = explain_rows(predictor, rows, tmp_path / "out", {}, PartialState(cpu=True))
    assert counts.failed == 1
    first, second = read_explanations(tmp_path / "out")
    assert (first["file"], first["height"], first["width"]) == ("a.png", 30, 40)
    assert "none.png" in second["error"] and str(tmp_path) not in second["error"]
    one = read_explanations(tmp_path / "out")
    assert str(tmp_path) not in "".join(map(str, one)) + (tmp_path / "out" / "explanations.json").read_text()


def test_images_of_a_folder_are_named_without_it(folder, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / "smith" / "train" / "cup").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), "red").save(tmp_path / "smith" / "train" / "cup" / name)
    rows = open_rows(str(tmp_path / "smith"), "train", label_column=None)
    (tmp_path / "smith" / "train" / "cup" / "b.png").unlink()
    counts = explain_rows(open_predictor(str(folder)), rows, tmp_path / "out", {}, PartialState(cpu=True))
    assert counts.failed == 1
    first, second = read_explanations(tmp_path / "out")
    assert (first["file"], second["file"]) == ("a.png", "b.png")
    assert "b.png" in second["error"] and "smith" not in second["error"]


def test_formats_do_not_mix_in_a_folder(folder, tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    predictor, paths = open_predictor(str(folder)), [tmp_path / "a.png"]
    process = PartialState(cpu=True)
    explain_files(predictor, paths, tmp_path / "page")
    with pytest.raises(InputError, match="is not of parquet files: give another --output_dir"):
        explain_rows(predictor, PathRows(paths), tmp_path / "page", {}, process)
    explain_rows(predictor, PathRows(paths), tmp_path / "rows", {}, process)
    before = (tmp_path / "rows" / "explanations.json").read_text()
    for pictures in (True, False):
        with pytest.raises(InputError, match="holds explanations in parquet files: give another --output_dir"):
            explain_files(predictor, paths, tmp_path / "rows", pictures=pictures)
    assert (tmp_path / "rows" / "explanations.json").read_text() == before
    assert explain_rows(predictor, PathRows(paths), tmp_path / "rows", {}, process).rows == 1


@pytest.mark.parametrize(
    "settings", [{"batch_size": 0}, {"workers": 0}, {"rows_per_shard": 0}, {"threshold": float("nan")}]
)
def test_numbers_out_of_range_write_nothing(folder, tmp_path, settings):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    with pytest.raises(InputError, match=next(iter(settings))):
        explain_rows(
            open_predictor(str(folder)),
            PathRows([tmp_path / "a.png"]),
            tmp_path / "out",
            {},
            PartialState(cpu=True),
            **settings,
        )
    assert not (tmp_path / "out").exists()


def test_other_settings_and_columns_are_refused(folder, source, tmp_path):
    run(folder, source, tmp_path)
    with pytest.raises(ValueError, match="top_k = 2, asked for 1"):
        run(folder, source, tmp_path, top_k=1)
    with pytest.raises(ValueError, match=r"threshold = 0\.5, asked for 0\.4"):
        run(folder, source, tmp_path, threshold=0.4)
    with pytest.raises(ValueError, match="no column 'photo'; its columns are image"):
        run(folder, source, tmp_path / "other", column="photo")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


def test_shards_that_are_there_are_left_alone(folder, source, tmp_path):
    run(folder, source, tmp_path)
    before = contents(tmp_path)
    assert len(before) == 6
    (tmp_path / "explanations-0000000010-0000000020.parquet").unlink()
    kept = tmp_path / "explanations-0000000000-0000000010.parquet"
    changed = kept.stat().st_mtime_ns
    run(folder, source, tmp_path)
    assert contents(tmp_path) == before
    assert kept.stat().st_mtime_ns == changed


@pytest.mark.slow
def test_two_processes_and_a_killed_one_give_the_rows_of_one(folder, source, tmp_path, capsys):
    def words(output):
        numbers = ["--rows-per-shard", "9", "--batch-size", "3", "--top-k", "2"]
        return [folder, "--data", source, "--streaming", "--output", tmp_path / output, "--device", "cpu", *numbers]

    assert main([str(word) for word in words("one")]) == 1  # one row is broken
    assert f"{ROWS} images, {ROWS - 1} explained" in capsys.readouterr().out
    expected = contents(tmp_path / "one")
    assert len(expected) == 6
    assert run_command(["explain", *words("killed")], kill_at=(".parquet.", 3)).codes == [-signal.SIGKILL]
    assert len(contents(tmp_path / "killed")) == 2
    two = run_command(["explain", *words("killed")], processes=2)
    assert two.codes == [1, 0], two.stderr  # by the one that met it, and prints
    assert two.stdout.count(f"{ROWS} images, {ROWS - 1} explained") == 1, two.stderr
    assert contents(tmp_path / "killed") == expected
