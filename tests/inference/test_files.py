import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from modeling_pm_vit.inference import find_images
from modeling_pm_vit.utils.errors import NotFoundError


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """`photos/a.png`, `photos/deeper/a.JPG` and a text; works in the folder above."""
    for name in ("a.png", "deeper/a.JPG"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def test_files_folders_and_patterns_are_found_once(photographs):
    found = find_images([str(photographs / "a.png"), str(photographs), str(photographs / "**" / "*.JPG"), "photos"])
    assert [path.name for path in found] == ["a.png", "a.JPG"]
    with pytest.raises(NotFoundError, match=r"nowhere\*"):
        find_images([str(photographs / "nowhere*")])


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["photos"], ["a.png", "deeper/a.JPG"]),
        (["photos/"], ["a.png", "deeper/a.JPG"]),
        (["photos/a.png", "photos/deeper"], ["a.png", "a.JPG"]),
        (["photos/**/*.JPG"], ["deeper/a.JPG"]),
        (["ph*/*.png"], ["photos/a.png"]),
        (["photos/a.png", "copy/a.png", "photos/deeper"], ["input-1/a.png", "input-2/a.png", "a.JPG"]),
        (["photos", "copy"], ["input-1/a.png", "deeper/a.JPG", "input-2/a.png"]),
    ],
)
@pytest.mark.parametrize("absolute", [False, True])
def test_names_are_relative_to_what_was_given_and_distinct(photographs, tmp_path, patterns, names, absolute):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "a.png").write_bytes((photographs / "a.png").read_bytes())
    found = find_images([f"{tmp_path}/{pattern}" if absolute else pattern for pattern in patterns])
    assert [found.names[path] for path in found] == names


def test_files_that_are_not_read_are_counted_by_kind(photographs, monkeypatch):
    for name in ("1.heic", "2.HEIC", "scan.dcm", "README", "deeper/3.heif", ".hidden.jpg", ".cache/b.png"):
        (photographs / name).parent.mkdir(exist_ok=True)
        (photographs / name).write_bytes(b"")
    (photographs / "folder.jpg").mkdir()
    for name in ("pillow_heif", "pydicom"):
        monkeypatch.setitem(sys.modules, name, None)  # not installed
    found = find_images(["photos"])
    assert [path.name for path in found] == ["a.png", "a.JPG"]
    assert found.skipped == {".heic": 2, ".heif": 1, ".dcm": 1, ".txt": 1, "": 1}
    assert found.unread == 4
    assert found.summary.startswith("skipped in folders: 2 .heic (pip install pillow-heif), 1 ")
    assert "1 without suffix" in found.summary
    assert find_images(["photos/a.png"]).summary == ""
    with pytest.raises(
        NotFoundError, match=r"no image matches it \(skipped in folders: 1 \.heic \(pip install pillow-heif"
    ):
        (photographs / "phone").mkdir()
        (photographs / "1.heic").rename(photographs / "phone" / "1.heic")
        find_images(["photos/phone"])
    registered = []
    monkeypatch.setitem(
        sys.modules, "pillow_heif", SimpleNamespace(register_heif_opener=lambda: registered.append(True))
    )
    found = find_images(["photos"])
    assert len(found) == 5 and found.unread == 1 and registered


def test_the_folder_of_the_results_is_left_out(photographs):
    (photographs / "out" / "overlays").mkdir(parents=True)
    (photographs / "out" / "overlays" / "a-1.jpg").write_bytes((photographs / "a.png").read_bytes())
    leave_out = [photographs / "out" / "overlays"]
    for pattern in ("photos", "photos/**"):
        assert [path.name for path in find_images([pattern], leave_out)] == ["a.png", "a.JPG"] + (
            ["notes.txt"] if "*" in pattern else []
        )
    assert len(find_images(["photos/out/overlays/a-1.jpg"], leave_out)) == 1
