import io
import pickle
import re
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from modeling_pm_vit.data.classes import ClassMap, class_label
from modeling_pm_vit.data.dataset import ExampleDataset
from modeling_pm_vit.data.decoding import decode_value
from modeling_pm_vit.data.samplers import Sample, shuffled
from modeling_pm_vit.data.shard_readers import ParquetRows, TarRows
from modeling_pm_vit.data.sources import open_rows
from modeling_pm_vit.data.transforms import ExampleTransform
from modeling_pm_vit.utils.errors import InputError


def picture(value: int) -> Image.Image:
    return Image.fromarray(np.full((6, 8, 3), value, np.uint8))


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "png")
    return out.getvalue()


@pytest.fixture
def parquet(tmp_path):
    """Two shards of 5 and 4 rows in groups of 2; every third row has a mask."""
    label = ClassLabel(names=["a", "b", "c"])
    features = Features({"image": ImageFeature(), "label": label, "mask": ImageFeature()})
    for shard, rows in enumerate((range(5), range(5, 9))):
        data = {
            "image": [picture(10 * i) for i in rows],
            "label": [i % 3 for i in rows],
            "mask": [Image.new("L", (8, 6), 1) if i % 3 == 0 else None for i in rows],
        }
        Dataset.from_dict(data, features).to_parquet(str(tmp_path / f"train-{shard}.parquet"), batch_size=2)
    return tmp_path


@pytest.fixture
def tar(tmp_path):
    with tarfile.open(tmp_path / "train-0.tar", "w") as archive:
        for i, label in enumerate(["0", "1", "0"]):
            members = {"png": png(picture(10 * i)), "cls": label.encode()}
            if i == 1:
                members["mask.png"] = png(Image.new("L", (8, 6), 1))
            for column, data in members.items():
                info = tarfile.TarInfo(f"birds/{i:04}.{column}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return tmp_path


@pytest.mark.parametrize("streaming", [True, False])
def test_parquet_rows_in_any_order(parquet, streaming):
    rows = open_rows(str(parquet), "train", streaming=streaming)
    assert len(rows) == 9
    assert rows.features["label"].names == ["a", "b", "c"]
    assert rows.rows_with("mask").tolist() == [0, 3, 6]
    assert open_rows(str(parquet), "train", size=5, streaming=streaming).rows_with("mask").tolist() == [0, 3]
    for i in (8, 0, 4, 5, 3):
        row = rows[i]
        assert np.asarray(decode_value(row["image"]))[0, 0, 0] == 10 * i
        assert row["label"] == i % 3
        assert (decode_value(row["mask"]) is not None) == (i % 3 == 0)


def test_blocks_are_row_groups_and_few_are_in_memory(parquet):
    rows = open_rows(str(parquet), "train", streaming=True)
    assert rows.blocks == [2, 2, 1, 2, 2]
    assert open_rows(str(parquet), "train", size=3, streaming=True).blocks == [2, 1]
    rows[0]
    assert len(pickle.dumps(rows)) < 3000  # what a worker process is sent


def test_a_stream_reads_each_block_once_with_a_window_in_memory(tmp_path, monkeypatch):
    blocks, rows, size = 60, 10, 50_000
    table = pa.table({"label": [0] * (blocks * rows), "image": [bytes(size)] * (blocks * rows)})
    pq.write_table(table, tmp_path / "train.parquet", row_group_size=rows)
    del table
    read = []
    read_row_group = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda file, group: read.append(group) or read_row_group(file, group)
    )
    stream = open_rows(str(tmp_path), "train", streaming=True)
    before, most = pa.total_allocated_bytes(), 0
    for index in shuffled(len(stream), 0, 0, stream.blocks).tolist():
        stream[index]
        most = max(most, pa.total_allocated_bytes() - before)
    assert sorted(read) == list(range(blocks))
    assert most < 25 * rows * size  # of 60 blocks


def test_the_masks_of_a_stream_are_looked_for_once(parquet, monkeypatch):
    rows = open_rows(str(parquet), "train", streaming=True)
    read, asked = pq.ParquetFile.read, []
    monkeypatch.setattr(
        pq.ParquetFile, "read", lambda file, columns: asked.append(columns) or read(file, columns=columns)
    )
    first, second = rows.rows_with("mask"), rows.rows_with("mask")
    assert first.tolist() == second.tolist() == [0, 3, 6]
    assert asked == [["mask"], ["mask"]]  # of two files


def test_places_name_the_file_and_the_row_in_it(parquet, tar):
    rows = open_rows(str(parquet / "train-*.parquet"), "train", streaming=True)
    assert [rows.place(i) for i in (0, 4, 5, 8)] == [
        f"{parquet}/train-{n}.parquet, row {i}" for n, i in ((0, 0), (0, 4), (1, 0), (1, 3))
    ]
    for file in parquet.glob("*.parquet"):
        file.unlink()
    rows = open_rows(str(tar), "train", label_column="cls")
    assert rows.place(1) == f"{tar}/train-0.tar, row 1 (birds/0001)"


@pytest.mark.parametrize("streaming", [True, False])
def test_tar_rows(tar, streaming):
    rows = open_rows(str(tar), "train", streaming=streaming, label_column="cls")
    assert len(rows) == 3
    assert rows.features["cls"].names == ["0", "1"]
    assert rows.rows_with("mask.png").tolist() == [1]
    assert [rows[i]["cls"] for i in range(3)] == [0, 1, 0]
    assert decode_value(rows[1]["mask.png"]).size == (8, 6)
    assert "mask.png" not in rows[2]
    assert [np.asarray(decode_value(rows[i]["png"]))[0, 0, 0] for i in (2, 0, 1)] == [20, 0, 10]


def test_a_url_or_a_pattern_can_be_streamed(parquet):
    assert len(open_rows(f"file://{parquet}/{{split}}-*.parquet", "train", streaming=True)) == 9
    with pytest.raises(ValueError, match="no parquet or tar files of the split 'val'"):
        open_rows(str(parquet), "val", streaming=True)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("content", [b"", b"no parquet at all", "empty"])
def test_a_bad_shard_is_named_or_skipped(parquet, content, streaming):
    bad = parquet / "train-2.parquet"
    if content == "empty":
        pq.write_table(pq.read_table(parquet / "train-0.parquet").slice(0, 0), bad)
    else:
        bad.write_bytes(content)
    with pytest.raises(ValueError, match=r"train-2\.parquet cannot be read: .*--on_bad_sample skip"):
        open_rows(str(parquet), "train", streaming=streaming)
    assert len(open_rows(str(parquet), "train", streaming=streaming, skip_bad_shards=True)) == 9


@pytest.mark.parametrize("content", [b"no tar at all", "empty", "cut off"])
def test_a_bad_tar_file_is_named_or_skipped(tar, content):
    bad = tar / "train-1.tar"
    if content == "empty":
        tarfile.open(bad, "w").close()
    elif content == "cut off":
        bad.write_bytes((tar / "train-0.tar").read_bytes()[:700])
    else:
        bad.write_bytes(content)
    with pytest.raises(ValueError, match=r"train-1\.tar cannot be read: .*--on_bad_sample skip"):
        open_rows(str(tar), "train", label_column="cls")
    assert len(open_rows(str(tar), "train", label_column="cls", skip_bad_shards=True)) == 3
    with pytest.raises(ValueError, match=r"none of the 1 shards .*train-1\.tar"):
        TarRows([str(bad)], skip_bad=True)


def damage(shard) -> None:
    """Overwrite the second row group; the footer stays."""
    place = pq.read_metadata(shard).row_group(1).column(0)
    data = bytearray(shard.read_bytes())
    start = place.dictionary_page_offset or place.data_page_offset
    data[start : start + 20] = b"\xff" * 20
    shard.write_bytes(data)


def test_on_disk_a_file_with_an_unreadable_part_is_named_or_skipped(parquet, caplog):
    damage(parquet / "train-1.parquet")
    told = r"the shard .*train-1\.parquet cannot be read: row group 1 of 2 \(4 rows in all\): "
    with pytest.raises(InputError, match=rf"^{told}.*--on_bad_sample skip\.$"):
        open_rows(str(parquet), "train")
    rows = open_rows(str(parquet), "train", skip_bad_shards=True)
    assert [rows[i]["label"] for i in range(len(rows))] == [0, 1, 2, 0, 1]
    assert re.search(told, caplog.text)


def test_an_unreadable_block_affects_its_rows_only(parquet, make_processor):
    damage(parquet / "train-0.parquet")
    rows = open_rows(str(parquet), "train", streaming=True)
    examples = ExampleTransform(make_processor(), classes=ClassMap.own("abc"))
    with pytest.raises(
        ValueError, match=r"(?s)train-0\.parquet, row 2: row group 1 of .*train-0\.parquet .*--on_bad_sample skip"
    ):
        ExampleDataset([(rows, examples)])[Sample(0, 0, 2)]
    skipped = [ExampleDataset([(rows, examples)], on_bad_sample="skip")[Sample(0, 0, i)] for i in range(9)]
    assert [i for i, example in enumerate(skipped) if "bad_sample" in example] == [2, 3]


def test_labels_may_be_text_or_numbers(tmp_path):
    for name, values in (("text", ["tit", "owl"]), ("number", [0, 11])):
        data = Dataset.from_dict({"label": values}, Features({"label": Value("string" if name == "text" else "int64")}))
        data.to_parquet(str(tmp_path / f"{name}.parquet"))
    assert [ParquetRows([str(tmp_path / "text.parquet")])[i]["label"] for i in (0, 1)] == [1, 0]
    numbers = ParquetRows([str(tmp_path / "number.parquet")])
    assert [numbers[i]["label"] for i in (0, 1)] == [0, 11]
    assert numbers.features["label"].num_classes == 12
    assert class_label(["10", "9", None]).names == ["10", "9"]


def test_without_a_label_column_rows_are_unchanged(parquet, tar):
    rows = open_rows(str(tar), "train", label_column=None)
    assert rows[1].keys() == {"png", "cls", "mask.png"}
    assert rows[1]["cls"] == b"1"
    for file in parquet.glob("*.parquet"):
        pq.write_table(pq.read_table(file).drop_columns(["label"]), file)
    for file in tar.glob("*.tar"):
        file.unlink()
    for streaming in (True, False):
        rows = open_rows(str(parquet), "train", streaming=streaming, label_column=None)
        assert len(rows) == 9
        assert np.array_equal(decode_value(rows[8]["image"]), picture(80))


def test_a_shard_without_the_mask_column_has_no_masks_and_one_without_images_names_the_row(parquet, make_processor):
    table = pq.read_table(parquet / "train-0.parquet")
    pq.write_table(table.drop_columns(["mask"]), parquet / "train-1.parquet")
    pq.write_table(table.drop_columns(["image"]), parquet / "train-2.parquet")
    rows = open_rows(str(parquet), "train", streaming=True)
    alone = len(ParquetRows([str(parquet / "train-0.parquet")]).rows_with("mask"))
    assert len(rows.rows_with("mask")) == 2 * alone > 0
    data = ExampleDataset([(rows, ExampleTransform(make_processor(), "class_id"))])
    assert len(data[Sample(0, 0, len(table))]["explain_labels"]) == 0
    with pytest.raises(InputError, match="it has no column 'image'; its columns are label"):
        data[Sample(0, 0, len(rows) - 1)]
