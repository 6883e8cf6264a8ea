"""The arguments of a training run, read from the command line and from a YAML file."""

import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from ..utils.arguments import ArgumentParser
from ..utils.errors import InputError, NotFoundError
from .data_arguments import DataArguments
from .model_arguments import ModelArguments
from .run_arguments import LAST, PMViTTrainingArguments

RESUME = ("--resume_from_checkpoint", "--resume-from-checkpoint")


def parse_arguments(
    arguments: Sequence[str] | None = None, command: str | None = None, description: str | None = None
) -> tuple[ModelArguments, DataArguments, PMViTTrainingArguments]:
    """
    Arguments from `[CONFIG.yaml] [--option value ...]`; an option overrides the file.

    Args:
        arguments: of the command line; by default those of this process.
        command, description: for `--help`.

    Raises:
        InputError: if an option or a key of the file does not exist, or has a wrong value.
        NotFoundError: if there is no such file.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for place, word in enumerate(words):
        if word in RESUME and (place + 1 == len(words) or words[place + 1].startswith("--")):
            words.insert(place + 1, LAST)
    parser = ArgumentParser(
        ModelArguments,
        DataArguments,
        PMViTTrainingArguments,
        command=command,
        description=description,
        usage_first="[CONFIG.yaml]",
    )
    if words and words[0].endswith((".yaml", ".yml")):
        words = _options_of(Path(words[0]), parser) + words[1:]
    model, data, training = parser.parse(words)
    return model, data, training


def _options_of(file: Path, parser: ArgumentParser) -> list[str]:
    """The settings of a YAML file as options."""
    if not file.is_file():
        raise NotFoundError(f"there is no file {file}.")
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise InputError(f"{file} cannot be read: {error}") from error
    if not isinstance(settings, dict):
        raise InputError(f"{file} must hold settings, 'name: value' in each line.")
    known = {name for action in parser._actions for name in action.option_strings}
    unknown = sorted(key for key in map(str, settings) if f"--{key}" not in known)
    if unknown:
        raise InputError(f"{file}: there is no setting {', '.join(unknown)}; `pm-vit train --help` lists them.")
    options = []
    for key, value in settings.items():
        values = value if isinstance(value, list) else [value]
        options += [f"--{key}", *map(str, values)] if value is not None else []
    return options
