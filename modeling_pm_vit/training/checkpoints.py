"""Complete checkpoints: a list of its files is written into a checkpoint last, so that a partial one is recognised."""

import json
from pathlib import Path
from typing import Any

from ..utils.errors import InputError, NotFoundError
from ..utils.files import flush_to_disk, write_json

CONTENTS = "contents.json"
ARGUMENTS = "training_args.json"


def mark_complete(checkpoint: Path) -> None:
    """Flush all files of a checkpoint to the disk, then list them with their sizes in `contents.json`."""
    contents = {}
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file() and path.name != CONTENTS:
            flush_to_disk(path)
            contents[str(path.relative_to(checkpoint))] = path.stat().st_size
    write_json(checkpoint / CONTENTS, contents)


def mark_incomplete(checkpoint: Path) -> None:
    """To be called before a checkpoint is overwritten."""
    (checkpoint / CONTENTS).unlink(missing_ok=True)


def is_complete(checkpoint: Path) -> bool:
    try:
        contents = json.loads((checkpoint / CONTENTS).read_text())
        return all((checkpoint / name).stat().st_size == size for name, size in contents.items())
    except (OSError, ValueError):
        return False


def last_complete(output_dir: Path) -> Path | None:
    """The newest complete checkpoint below a folder; `None` if there is none."""
    return next((checkpoint for checkpoint in checkpoints(output_dir) if is_complete(checkpoint)), None)


def require_resumable(checkpoint: Path) -> None:
    """
    Raises:
        NotFoundError: if there is no such folder.
        InputError: if a run cannot resume from it exactly.
    """
    if not checkpoint.is_dir():
        raise NotFoundError(f"--resume_from_checkpoint: there is no folder {checkpoint}.")
    if not is_complete(checkpoint):
        raise InputError(
            f"--resume_from_checkpoint: {checkpoint} is no complete checkpoint; without a value the newest "
            "complete one in --output_dir is taken."
        )
    if not (checkpoint / "trainer_state.json").is_file() or not any(checkpoint.glob("scheduler.*")):
        raise InputError(
            f"--resume_from_checkpoint: {checkpoint} has weights only (--save_only_model): continue with --model "
            f"{checkpoint} and another --output_dir."
        )


def saved_arguments(checkpoint: str | Path) -> dict[str, Any]:
    """The arguments of the run that has written a checkpoint; empty if it has none."""
    file = Path(checkpoint) / ARGUMENTS
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def checkpoints(output_dir: Path) -> list[Path]:
    """The checkpoints below a folder, newest first."""
    found = [p for p in output_dir.glob("checkpoint-*") if p.is_dir() and p.name.split("-")[-1].isdecimal()]
    return sorted(found, key=lambda p: int(p.name.split("-")[-1]), reverse=True)
