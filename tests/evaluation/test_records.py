import json

import numpy as np
import pytest

from modeling_pm_vit.evaluation.records import RecordStore


def test_parts_come_back_in_order_whoever_wrote_them_when(tmp_path):
    for part in (2, 0, 1):
        RecordStore(tmp_path, {"seed": 0}).write("pointing", "random", part, {"image": np.array([part])})
    store = RecordStore(tmp_path, {"seed": 0})
    assert store.read("pointing", "random", 3)["image"].tolist() == [0, 1, 2]
    assert store.read("pointing", "random", 2)["image"].tolist() == [0, 1]


def test_a_missing_part_makes_no_record_and_parts_without_images_are_passed_over(tmp_path):
    store = RecordStore(tmp_path, {})
    store.write("pointing", "random", 0, {})
    assert store.read("pointing", "random", 1) is None
    store.write("pointing", "random", 2, {"image": np.arange(3)})
    assert store.read("pointing", "random", 3) is None
    store.write("pointing", "random", 1, {"image": np.arange(2)})
    assert store.read("pointing", "random", 3)["image"].tolist() == [0, 1, 0, 1, 2]


def test_what_breaks_while_writing_leaves_what_was_there(tmp_path, monkeypatch):
    store = RecordStore(tmp_path, {})
    store.write("pointing", "random", 0, {"image": np.arange(3)})
    monkeypatch.setattr(np, "savez", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        store.write("pointing", "random", 0, {"image": np.arange(9)})
    with pytest.raises(OSError, match="disk full"):
        store.write("pointing", "random", 1, {"image": np.arange(9)})
    assert store.read("pointing", "random", 1)["image"].tolist() == [0, 1, 2]
    assert not store.has("pointing", "random", 1)
    monkeypatch.undo()
    for part in range(2):
        store.write("pointing", "random", part, {"image": np.arange(2)})
    assert sorted(file.name for file in (tmp_path / "pointing/random").iterdir()) == ["000000.npz", "000001.npz"]


@pytest.mark.parametrize("settings", [{"seed": 1}, {}, {"seed": 0, "rows": 3}])
def test_records_of_other_settings_are_refused(tmp_path, settings):
    RecordStore(tmp_path, {"seed": 0})
    with pytest.raises(ValueError, match="choose another folder"):
        RecordStore(tmp_path, settings)


def test_what_a_metric_or_an_explainer_depends_on_is_kept_with_it(tmp_path):
    store = RecordStore(tmp_path, {"seed": 0})
    store.keep({"tie_orders": 5}, "perturbation")
    store.keep({"rise_masks": 8}, "perturbation", "rise")
    again = RecordStore(tmp_path, {"seed": 0})
    again.keep({"tie_orders": 0}, "insertion_deletion")
    again.keep({"rise_masks": 9}, "pointing", "rise")
    assert again.settings("perturbation") == {"tie_orders": 5}
    assert again.settings("perturbation", "rise") == {"rise_masks": 8}
    assert again.settings("segmentation") is None
    with pytest.raises(ValueError, match="perturbation holds records with tie_orders = 5, asked for 0"):
        again.keep({"tie_orders": 0}, "perturbation")
    with pytest.raises(ValueError, match="rise holds records with rise_masks = 8, asked for 9"):
        again.keep({"rise_masks": 9}, "perturbation", "rise")


def test_records_of_versions_with_other_values_are_refused(tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps({"seed": 0, "limits": {}, "grids": 60}))
    with pytest.raises(ValueError, match="earlier version of pm-vit, whose values differ: choose another folder"):
        RecordStore(tmp_path, {"seed": 0})
