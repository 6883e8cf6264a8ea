"""Finds the image files of a command line, and names them without their folders."""

import glob
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from PIL import features

from ..utils.errors import NotFoundError

_HEIF, _DICOM = "pip install pillow-heif", "pip install pydicom"
_MORE_SUFFIXES = {".avif": "pip install --upgrade pillow", ".heic": _HEIF, ".heif": _HEIF, ".hif": _HEIF}
_MORE_SUFFIXES |= {".dcm": _DICOM, ".dicom": _DICOM}
IMAGE_SUFFIXES = {".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp", *_MORE_SUFFIXES}


class FoundImages(list[Path]):
    """
    Image files.

    Attributes:
        names: what results call each file: its path below the folder or pattern that was given, so that they do not
            tell where this is. Files of several inputs with the same name have the number of their input before it.
        skipped: number of other files in the folders, by suffix.
    """

    def __init__(self, names: Mapping[Path, str], skipped: Mapping[str, int]):
        super().__init__(names)
        self.names, self.skipped = dict(names), Counter(skipped)

    @property
    def unread(self) -> int:
        """Number of skipped images, for which a reader is missing."""
        return sum(count for suffix, count in self.skipped.items() if suffix in _MORE_SUFFIXES)

    @property
    def summary(self) -> str:
        """What was skipped and what to do; empty if nothing was."""
        kinds = [
            f"{count} {suffix or 'without suffix'}{f' ({hint})' if (hint := reader_hint(suffix)) else ''}"
            for suffix, count in self.skipped.most_common()
        ]
        return f"skipped in folders: {', '.join(kinds)}" if kinds else ""


def find_images(patterns: Iterable[str], leave_out: Sequence[Path] = ()) -> FoundImages:
    """
    Files as given, the images below folders, and what glob patterns (`**` included) match; sorted, each once. Hidden
    files are left out.

    Args:
        leave_out: folders whose files are not taken from folders and patterns.

    Raises:
        NotFoundError: if a pattern matches nothing.
    """
    unwanted = [folder.absolute() for folder in leave_out]
    found: list[tuple[int, Path, str]] = []
    skipped: Counter[str] = Counter()
    taken: set[Path] = set()
    for number, pattern in enumerate(patterns, 1):
        path = Path(pattern)
        if path.is_file():
            root, files = path.parent, [path]
        elif path.is_dir():
            root, files = path, sorted(path.rglob("*"))
        else:
            root, files = _fixed_part(path), sorted(map(Path, glob.glob(pattern, recursive=True)))
        files = [file for file in files if file.is_file() and (file == path or not _is_left_out(file, root, unwanted))]
        if path.is_dir():
            other = [file for file in files if file.suffix.lower() not in IMAGE_SUFFIXES or reader_hint(file.suffix)]
            files = [file for file in files if file not in set(other)]
            skipped.update(file.suffix.lower() for file in other)
        if not files:
            here = FoundImages({}, skipped).summary
            raise NotFoundError(f"{pattern}: no such file, and no image matches it{f' ({here})' if here else ''}.")
        for file in files:
            if file.absolute() not in taken:
                taken.add(file.absolute())
                found.append((number, file, file.relative_to(root).as_posix()))
    return FoundImages(_distinct(found), skipped)


def names_of(paths: Sequence[Path]) -> dict[Path, str]:
    """The names of [`FoundImages`]; of other paths the file names."""
    if isinstance(paths, FoundImages):
        return paths.names
    return _distinct([(number, path, path.name) for number, path in enumerate(paths, 1)])


def reader_hint(suffix: str) -> str:
    """What to install to read images with this suffix; empty if they can be read, or are no images."""
    suffix = suffix.lower()
    if suffix == ".avif" and features.check("avif"):
        return ""
    hint = _MORE_SUFFIXES.get(suffix, "")
    try:
        if hint == _HEIF:
            import_module("pillow_heif").register_heif_opener()
        if hint == _DICOM:
            import_module("pydicom")
    except ImportError:
        return hint
    return "" if hint in (_HEIF, _DICOM) else hint


def unique_stems(paths: Iterable[Path]) -> dict[Path, str]:
    """
    A stem for the pictures of each path: its own, with a number if several files have the same one.

    Example:
        >>> list(unique_stems([Path("a/cat.jpg"), Path("b/cat.jpg"), Path("dog.png")]).values())
        ['cat', 'cat-2', 'dog']
    """
    names, taken = {}, set()
    for path in paths:
        name, number = path.stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{path.stem}-{number}"
        taken.add(name.lower())
        names[path] = name
    return names


def _fixed_part(pattern: Path) -> Path:
    """The folder of a glob pattern above its first wildcard."""
    fixed = Path(pattern.anchor)
    for part in pattern.relative_to(fixed).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed /= part
    return fixed


def _is_left_out(file: Path, root: Path, unwanted: Sequence[Path]) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return hidden or any(file.absolute().is_relative_to(folder) for folder in unwanted)


def _distinct(found: Sequence[tuple[int, Path, str]]) -> dict[Path, str]:
    """The names, distinct; from the number of the input, the path and its name."""
    count = Counter(name for _, _, name in found)
    return {path: name if count[name] == 1 else f"input-{number}/{name}" for number, path, name in found}
