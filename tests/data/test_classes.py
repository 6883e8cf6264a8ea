import datetime

import pytest
from datasets import Dataset

from modeling_pm_vit.data.classes import ClassMap, class_label, match_classes
from modeling_pm_vit.data.sources import open_rows
from modeling_pm_vit.utils.errors import InputError, NotFoundError


@pytest.fixture
def make_folder(tmp_path):
    """A folder with one parquet file of three rows with these labels."""

    def make(labels: list) -> str:
        Dataset.from_dict({"image": ["x"] * 3, "label": labels}).to_parquet(tmp_path / "train-0.parquet")
        return str(tmp_path)

    return make


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("labels", "names", "indices"),
    [
        (["owl", "tit", "owl"], ["owl", "tit"], [0, 1, 0]),
        (["owl", None, "tit"], ["owl", "tit"], [0, None, 1]),
        ([2, 0, 2], ["0", "1", "2"], [2, 0, 2]),
    ],
)
def test_names_and_indices_become_classes(make_folder, labels, names, indices, streaming):
    rows = open_rows(make_folder(labels), "train", streaming=streaming)
    assert rows.features["label"].names == names
    assert [rows[i]["label"] for i in range(3)] == indices


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.0, 1.5, 1.0], "must hold a class name .* or a class index .*, got the type Value.*often stored as floats"),
        ([datetime.date(2020, 1, day) for day in (1, 2, 3)], "must hold a class name"),
        ([-1, -1, -1], "largest number of the label column is -1"),
        ([7, 10**9, 8], "largest number of the label column is 1000000000"),
    ],
)
def test_a_column_of_another_type_is_no_label_column(make_folder, labels, message, streaming):
    with pytest.raises(InputError, match=message):
        open_rows(make_folder(labels), "train", streaming=streaming)


def test_a_label_column_without_a_value_is_refused():
    with pytest.raises(InputError, match="no row has a value"):
        class_label([None, None])


def test_an_unknown_dataset_is_named():
    with pytest.raises(NotFoundError, match=r"there is no folder \./nowhere\."):
        open_rows("./nowhere", "train")
    with pytest.raises((NotFoundError, InputError), match="nobody/nothing"):
        open_rows("nobody/nothing", "train")


def test_classes_are_matched_by_name_and_unknown_ones_named():
    found = match_classes(["tit", "owl"], ["owl", "jay", "tit"], "birds")
    assert found == ClassMap(("tit", "owl"), (2, 0))
    assert found.renumbers
    assert not ClassMap.own(["owl"]).renumbers
    with pytest.raises(
        InputError, match=r"birds has classes that .* does not have: wren \(1 of 2\); .* has owl, tit\.$"
    ):
        match_classes(["owl", "wren"], ["owl", "tit"], "birds")


@pytest.mark.parametrize(("name", "known"), [("Owl", "owl"), ("owl ", "owl"), ("tawny  owl", "tawny owl")])
def test_names_that_differ_in_case_or_blanks_are_told(name, known):
    with pytest.raises(InputError, match=f"'{name}' and '{known}' differ in case or blanks only"):
        match_classes([name], [known], "birds")
