import time

import pytest
from huggingface_hub import constants

from modeling_pm_vit.conversion import convert
from modeling_pm_vit.conversion.checkpoints import load_model, load_processor
from modeling_pm_vit.data.sources import open_rows
from modeling_pm_vit.utils.errors import NotFoundError
from modeling_pm_vit.utils.hub import asking_once, require_path


@pytest.fixture
def no_hub(monkeypatch):
    """A machine that believes to be connected, and is not."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


def open_train_rows(name: str) -> object:
    return open_rows(name, "train")


@pytest.mark.parametrize("load", [load_model, load_processor, convert, open_train_rows])
def test_without_a_connection_a_name_fails_at_once(load, no_hub):
    start = time.monotonic()
    with pytest.raises(NotFoundError, match=r"there is no .*folder owner/birds"):
        load("owner/birds")
    assert time.monotonic() - start < 5
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize("load", [load_model, convert, open_train_rows])
@pytest.mark.parametrize(
    "name", ["./birds", "../birds", "/nowhere/birds", "a/b/birds", "photos/birds", "a\\birds", "~/birds"]
)
def test_what_can_only_be_a_path_is_not_looked_for_on_the_hub(load, name, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("modeling_pm_vit.utils.hub._answers", lambda: pytest.fail("the Hub was asked"))
    with pytest.raises(NotFoundError) as error:
        load(name)
    assert f"folder {name}" in str(error.value)
    assert ("photos exists, but has no 'birds'" in str(error.value)) == (name == "photos/birds")


def test_what_may_be_an_id_is_told_from_a_path(tmp_path, monkeypatch):
    (tmp_path / "birds").mkdir()
    monkeypatch.chdir(tmp_path)
    assert require_path("birds", "folder")
    assert not require_path("owner/birds", "folder")
    assert not require_path("photos", "folder")


def test_a_path_asks_nobody(tmp_path, no_hub, monkeypatch):
    monkeypatch.setattr("modeling_pm_vit.utils.hub._answers", lambda: pytest.fail("the Hub was asked"))
    with asking_once(str(tmp_path)):
        assert not constants.HF_HUB_OFFLINE
