"""`pm-vit` called by an experiment: each command in a process of its own, whose memory ends with it."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from modeling_pm_vit.utils.errors import PMViTError

Call = Callable[[list[str]], int]


def pm_vit(*words: str) -> list[str]:
    """The command line of `pm-vit WORDS`."""
    return [sys.executable, "-m", "modeling_pm_vit.cli", *words]


def call_pm_vit(words: list[str]) -> int:
    """Run `pm-vit WORDS`; the exit status."""
    return subprocess.run(pm_vit(*words), check=False).returncode


def require(call: Call, words: list[str]) -> None:
    """
    Args:
        call: runs `pm-vit` with these words, as [`call_pm_vit`].

    Raises:
        PMViTError: if the command failed.
    """
    if call(words):
        raise PMViTError(f"stopped: pm-vit {' '.join(words)} failed. Rerun the same command to resume.")


def option_words(settings: Mapping[str, Any]) -> list[str]:
    """`{"seed": 0, "metrics": ["pointing"]}` as `--seed 0 --metrics pointing`."""
    words = []
    for name, value in settings.items():
        values = value if isinstance(value, list) else [value]
        words += [f"--{name}", *(str(one).lower() if isinstance(one, bool) else str(one) for one in values)]
    return words
