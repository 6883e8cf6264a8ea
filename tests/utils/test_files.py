"""A reader finds the old file or the new one, whatever happens to whoever writes it."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling_pm_vit.utils import files
from modeling_pm_vit.utils.files import atomic_write, write_json, write_text
from tests.processes import in_processes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=10,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "folder" / "records.json"
    with atomic_write(path) as part:
        part.write_text("new")
        assert part.parent == path.parent and not path.exists()
    assert path.read_text() == "new" and names(path.parent) == ["records.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_alone(tmp_path, error):
    path = write_text(tmp_path / "records.json", "old")
    with pytest.raises(error), atomic_write(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["records.json"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "records.json"):
        pass
    assert names(tmp_path) == []


def test_a_value_that_is_no_json_leaves_the_old_file_alone(tmp_path):
    path = write_json(tmp_path / "records.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1} and names(tmp_path) == ["records.json"]


def test_the_file_is_on_the_disk_before_it_is_renamed_and_the_folder_after(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(files, "flush_to_disk", lambda path: calls.append(("flush", Path(path).name)))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append(("rename", Path(b).name)), replace(a, b)))
    write_text(tmp_path / "a.txt", "a")
    (first, part), *rest = calls
    assert first == "flush" and part.startswith("a.txt.") and part.endswith(".part")
    assert rest == [("rename", "a.txt"), ("flush", tmp_path.name)]


def test_flushing_calls_fsync(tmp_path, monkeypatch):
    flushed, fsync = [], os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: (flushed.append(os.fstat(descriptor).st_ino), fsync(descriptor))
    )
    path = write_text(tmp_path / "a.txt", "a")
    assert flushed == [path.stat().st_ino, tmp_path.stat().st_ino]


def write_half(path: Path) -> None:
    with atomic_write(path) as part:
        part.write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_process_leaves_the_old_file(tmp_path):
    path = write_text(tmp_path / "records.json", "old")
    assert in_processes(1, write_half, path) == [-signal.SIGKILL]
    assert path.read_text() == "old"
    (left,) = set(names(tmp_path)) - {"records.json"}
    assert left.endswith(".part")


def test_writers_of_the_same_file_do_not_mix(tmp_path):
    path, texts = tmp_path / "records.txt", [letter * 100_000 for letter in "abcdefgh"]
    started, seen = threading.Barrier(len(texts) + 1), []

    def write(text: str) -> None:
        started.wait()
        for _ in range(5):
            write_text(path, text)

    threads = [threading.Thread(target=write, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    started.wait()
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            seen.append(path.read_text())
        time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert seen and set(seen) <= set(texts) and path.read_text() in texts
    assert names(tmp_path) == ["records.txt"]


@given(value=JSON)
def test_json_comes_back_as_it_was(tmp_path_factory, value):
    path = write_json(tmp_path_factory.mktemp("json") / "value.json", value)
    assert json.loads(path.read_text(encoding="utf-8")) == json.loads(json.dumps(value))


def test_json_takes_file_names_that_are_no_utf8_and_keeps_other_scripts_readable(tmp_path):
    name = os.fsdecode(b"photo-\xff.png")
    path = write_json(tmp_path / "value.json", {"file": name, "label": "Häher"})
    assert json.loads(path.read_text(encoding="utf-8"))["file"] == name
    assert "Häher" in path.read_text(encoding="utf-8")
