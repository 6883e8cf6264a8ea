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


OLD = {  # folders and arrays as older versions named them
    ("own_object", "prediction-map"): {"image": np.arange(2), "own_object": np.array([0.25, 0.75])},
    ("pointing", "prediction-map"): {"image": np.arange(2), "pointing_game": np.ones(2), "energy_inside": np.zeros(2)},
}


@pytest.fixture
def old_folder(tmp_path):
    (tmp_path / "settings.json").write_text(json.dumps({"seed": 0, "limits": {"own_object": 4, "pointing": 2}}))
    for (metric, explainer), arrays in OLD.items():
        (tmp_path / metric / explainer).mkdir(parents=True)
        np.savez(tmp_path / metric / explainer / "000000.npz", **arrays)
    return tmp_path


def test_a_folder_with_former_names_goes_on_with_the_present_ones(old_folder):
    before = (old_folder / "settings.json").read_text()
    settings = {"seed": 0, "limits": {"on_target_mass": 4, "pointing": 2}}
    store = RecordStore(old_folder, settings)
    assert store.has("on_target_mass", "patch-logits", 0)
    assert not store.has("on_target_mass", "patch-logits", 1)
    assert store.read("pointing", "patch-logits", 1).keys() == {"image", "pointing_game", "energy_pointing_game"}
    store.write("on_target_mass", "patch-logits", 1, {"image": np.array([2]), "on_target_mass": np.array([1.0])})
    found = RecordStore(old_folder, settings).read("on_target_mass", "patch-logits", 2)
    assert {name: values.tolist() for name, values in found.items()} == {
        "image": [0, 1, 2],
        "on_target_mass": [0.25, 0.75, 1.0],
    }
    assert (old_folder / "settings.json").read_text() == before


@pytest.mark.parametrize("limits", [{"on_target_mass": 5, "pointing": 2}, {"on_target_mass": 4}, {}])
def test_other_limits_are_refused_under_former_names_too(old_folder, limits):
    with pytest.raises(ValueError, match="records with limits"):
        RecordStore(old_folder, {"seed": 0, "limits": limits})
