import hashlib

import pytest

from modeling_pm_vit.data.decoding import decode_value
from modeling_pm_vit.data.imagenet_s_parquet import find_rows, prepare, verify
from modeling_pm_vit.data.masks import decode_mask
from modeling_pm_vit.data.sources import open_rows

WNIDS = ["n01440764", "n01443537", "n02012849", "n03126707"]
CATEGORIES = WNIDS[1:]


@pytest.fixture
def folders(imagenet_folders):
    return imagenet_folders


def test_every_image_comes_with_its_class_and_mask(folders, tmp_path):
    shards = prepare(*folders, tmp_path / "out", "train", rows_per_shard=6)
    assert [shard.name for shard in shards] == [f"train-{i:05}-of-00003.parquet" for i in range(3)]
    rows = open_rows(str(tmp_path / "out"), "train", streaming=True)
    names = ["tench, Tinca tinca", "goldfish", "crane (n02012849)", "crane (n03126707)"]
    assert rows.features["label"].names == names
    assert len(rows.rows_with("mask")) == 3
    seen = set()
    for i in range(len(rows)):
        row = rows[i]
        wnid = row["file"].split("_")[0]
        seen.add(row["file"])
        assert WNIDS[row["label"]] == wnid
        assert row["image"]["bytes"] == (folders[0] / "train" / wnid / row["file"]).read_bytes()
        mask = decode_value(row["mask"])
        assert (mask is not None) == (row["file"].endswith("train0.JPEG") and wnid in CATEGORIES)
        if mask is not None:
            classes, planes, ignored = decode_mask(mask, "class_id", row["label"], (40, 48))
            assert classes == [row["label"]]
            assert planes[0].sum() == planes[0, :20, :24].sum() == 480
            assert ignored.sum() == 480
    assert len(seen) == len(rows) == 16


def test_only_images_with_a_mask_can_be_written(folders, tmp_path):
    prepare(*folders, tmp_path / "out", "train", masked_only=True)
    rows = open_rows(str(tmp_path / "out"), "train")
    assert sorted(rows[i]["file"] for i in range(len(rows))) == [f"{wnid}_train0.JPEG" for wnid in CATEGORIES]
    assert rows.rows_with("mask").tolist() == [0, 1, 2]


def test_an_interrupted_run_continues_and_checksums_detect_changes(folders, tmp_path):
    out = tmp_path / "out"
    shards = prepare(*folders, out, "train", rows_per_shard=6)
    before = [shard.read_bytes() for shard in shards]
    times = [shard.stat().st_mtime_ns for shard in shards]
    shards[1].with_name(f"{shards[1].name}.sha256").unlink()  # as after a kill right before it
    shards[1].write_bytes(b"half")
    assert prepare(*folders, out, "train", rows_per_shard=6) == shards
    assert [shard.read_bytes() for shard in shards] == before
    assert [shard.stat().st_mtime_ns == time for shard, time in zip(shards, times, strict=True)] == [True, False, True]
    digest, name = shards[0].with_name(f"{shards[0].name}.sha256").read_text().split()
    assert (digest, name) == (hashlib.sha256(before[0]).hexdigest(), shards[0].name)
    assert verify(shards) == []
    shards[2].write_bytes(before[2][:-1] + b"x")
    assert verify(shards) == [shards[2]]


def test_a_flat_validation_folder_has_its_classes_in_a_table(folders):
    imagenet, imagenet_s = folders
    lines = ["ImageId,PredictionString"]
    for wnid in WNIDS:
        for path in (imagenet / "val" / wnid).iterdir():
            lines.append(f"{path.stem},{wnid} 1 2 3 4 {wnid} 5 6 7 8")
            path.rename(imagenet / "val" / path.name)
        (imagenet / "val" / wnid).rmdir()
    with pytest.raises(FileNotFoundError, match=r"LOC_val_solution\.csv"):
        find_rows(imagenet, imagenet_s, "validation")
    (imagenet / "LOC_val_solution.csv").write_text("\n".join(lines))
    rows = find_rows(imagenet, imagenet_s, "validation")
    assert [row.wnid for row in rows] == sorted(WNIDS * 2)
    assert sum(row.mask is not None for row in rows) == 3


def test_wrong_folders_and_masks_are_named(folders, tmp_path):
    imagenet, imagenet_s = folders
    masks = imagenet_s / "train-semi-segmentation"
    with pytest.raises(FileNotFoundError, match="nowhere"):
        prepare(tmp_path / "nowhere", imagenet_s, tmp_path / "out", "train")
    other = (masks / WNIDS[2] / f"{WNIDS[2]}_train0.png").read_bytes()
    own = masks / WNIDS[1] / f"{WNIDS[1]}_train0.png"
    original = own.read_bytes()
    own.write_bytes(other)
    with pytest.raises(ValueError, match=rf"{WNIDS[1]}_train0.png holds \[0, 2, 1000\]; .*among them 1"):
        prepare(imagenet, imagenet_s, tmp_path / "out", "train")
    own.write_bytes(original)
    (masks / WNIDS[1] / "stray.png").write_bytes(original)
    with pytest.raises(ValueError, match=r"1 masks belong to no image .*stray\.png"):
        prepare(imagenet, imagenet_s, tmp_path / "out", "train")
