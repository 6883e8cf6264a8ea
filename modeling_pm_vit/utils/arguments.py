"""Command-line options from dataclasses: `HfArgumentParser` with groups, positional arguments and old names.

A dataclass describes the options of a command or of a library function. Its fields are made by [`option`], or by
`dataclasses.field` with the same metadata. Options can be written with underscores or hyphens.
"""

import argparse
import dataclasses
import difflib
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_type_hints

import torch
from transformers import HfArgumentParser

from .errors import InputError, PMViTError

Arguments = TypeVar("Arguments")

_TRUTH_VALUES = {"yes", "true", "t", "y", "1", "no", "false", "f", "n", "0"}  # as transformers reads them
_OWN_KEYS = (
    "group",
    "positional",
    "old_names",
    "old_position",
    "none",
    "hidden",
    "at_least",
    "at_most",
)  # of the metadata; argparse gets the others


def option(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    default_factory: Any = dataclasses.MISSING,
    group: str | None = None,
    positional: bool = False,
    old_names: Sequence[str] = (),
    old_position: bool = False,
    none: bool = False,
    at_least: float | None = None,
    at_most: float | None = None,
    choices: Iterable[str] | None = None,
    metavar: str | None = None,
) -> Any:
    """
    A field of a dataclass of arguments.

    Args:
        default, default_factory: as for `dataclasses.field`. An option with neither is required.
        help: one or two sentences. The default is appended unless the text names it.
        group: title of the group in which `--help` shows the option.
        positional: given by its place on the command line instead of by its name. A list takes what is left.
        old_names: earlier names with the same meaning, such as `"--size"`. They are accepted and not shown.
        old_position: a required option that was a last positional argument, which is still accepted.
        none: the value `none` means `None`.
        at_least, at_most: bounds of a number.
        choices: the values that are accepted.
        metavar: placeholder of the value in `--help`.
    """
    metadata: dict[str, Any] = {"help": help, "positional": positional, "none": none}
    metadata |= {"old_names": tuple(old_names), "old_position": old_position}
    metadata |= {"at_least": at_least, "at_most": at_most}
    if group is not None:
        metadata["group"] = group
    if choices is not None:
        metadata["choices"] = tuple(choices)
    if metavar is not None:
        metadata["metavar"] = metavar
    return dataclasses.field(default=default, default_factory=default_factory, metadata=metadata)


def device_option(group: str) -> Any:
    """The field `device: str` of a command that runs a model. `__post_init__` calls [`require_device`]."""
    return option(
        default_factory=default_device,
        help="Device such as cpu, cuda or cuda:1. Default: a GPU if there is one.",
        group=group,
    )


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def require_device(name: str) -> None:
    """
    Raises:
        InputError: if there is no such device on this machine.
    """
    try:
        device = torch.device(name)
        if device.type == "cuda":  # asked without using a GPU: each process of a launch has its own
            exists = (device.index or 0) < torch.cuda.device_count()
        else:
            exists = torch.empty(0, device=device).device.type == device.type
    except (AssertionError, NotImplementedError, RuntimeError):  # which one, depends on the kind of device
        exists = False
    if not exists:
        raise InputError(f"--device {name}: there is no such device here; --device cpu always works.")


def plain_name(name: str | None) -> str | None:
    """The name of a column, `None` for the word `none`."""
    return None if name == "none" else name


class ArgumentParser(HfArgumentParser):
    """
    Reads instances of dataclasses from a command line.

    Args:
        dataclass_types: one or more. Class attributes name the groups of fields that name none: `_argument_group_name`,
            and `_inherited_group_name` for those of its base classes; and fields that `--help` leaves out: `_unlisted`.
        command: for the usage line.
        description: shown by `--help`.
        refused: old options whose values had another meaning, and what to write instead:
            `{"--bf16": "--precision bf16"}`.
        usage_first: placeholder of what the caller reads before the options, such as a YAML file.

    Raises:
        InputError: instead of leaving the process where the arguments are wrong.
    """

    def __init__(
        self,
        *dataclass_types: Any,
        command: str | None = None,
        description: str | None = None,
        refused: Mapping[str, str] | None = None,
        usage_first: str = "",
    ):
        self.refused, self.usage_first = dict(refused or {}), usage_first
        self._groups: dict[str, Any] = {}
        self._old_positions: dict[str, Any] = {}
        super().__init__(
            list(dataclass_types),
            prog=command,
            description=description,
            formatter_class=_HelpFormatter,
            allow_abbrev=False,
        )
        self.usage = self._usage_line()

    def parse(self, arguments: Sequence[str] | None = None) -> Any:
        """The instance of the dataclass, or a tuple of them where there are several."""
        values, unknown = self._read(sys.argv[1:] if arguments is None else arguments)
        for name, convert in self._old_positions.items():
            if values[name] is None and len(unknown) == 1 and not unknown[0].startswith("-"):
                values[name] = convert(unknown.pop())
            if values[name] is None and not unknown:
                self.error(f"the following arguments are required: --{name}")
        if unknown:
            self._refuse_unknown(unknown)
        return self._instances(values)

    def parse_known(self, arguments: Sequence[str] | None = None) -> tuple[Any, list[str]]:
        """As [`parse`], and the arguments that belong to another parser, in their order."""
        values, unknown = self._read(sys.argv[1:] if arguments is None else arguments)
        return self._instances(values), unknown

    def _read(self, arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """Values by name, and what is left. Refuses old options."""
        arguments = self._with_truth_values(list(arguments))
        for argument in arguments:
            name = _underscored(argument)
            for old, new in self.refused.items():
                if name == _underscored(old):
                    self.error(f"{old} is no longer an option: use {new}.")
        namespace, unknown = self.parse_known_intermixed_args(arguments)
        return vars(namespace), unknown

    def _instances(self, values: Mapping[str, Any]) -> Any:
        parsed = []
        for dataclass_type in self.dataclass_types:
            names = [field.name for field in dataclasses.fields(dataclass_type) if field.init]
            try:
                parsed.append(dataclass_type(**{name: values[name] for name in names if name in values}))
            except PMViTError:
                raise
            except ValueError as error:  # how transformers' arguments refuse a value
                raise InputError(str(error)) from error
        return parsed[0] if len(parsed) == 1 else tuple(parsed)

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"(--\w+)/--[\w/-]+", r"\1", message)  # argparse names all forms of an option
        raise InputError(f"{message.removeprefix('argument ').rstrip('.')}; --help lists the options.")

    def _usage_line(self) -> str:
        words = [self.prog, self.usage_first]
        for action in self._actions:
            if not action.option_strings and action.help != argparse.SUPPRESS:
                shown = str(action.metavar)
                words.append(shown if action.nargs is None else f"[{shown}{' ...' if action.nargs == '*' else ''}]")
        for action in self._actions:
            if action.option_strings and (action.required or action.dest in self._old_positions):
                formatter = self._get_formatter()
                words.append(formatter._format_action_invocation(action))
        return " ".join(filter(None, [*words, "[options]"]))

    def _add_dataclass_arguments(self, dtype: Any) -> None:
        title = getattr(dtype, "_argument_group_name", "options")
        inherited = getattr(dtype, "_inherited_group_name", title)
        hints = get_type_hints(dtype)
        fields = [field for field in dataclasses.fields(dtype) if field.init and not field.metadata.get("hidden")]
        for field in sorted(fields, key=lambda field: field.name not in dtype.__annotations__):
            own = {key: field.metadata.get(key) for key in _OWN_KEYS}
            own["unlisted"] = field.name in getattr(dtype, "_unlisted", ())
            default_title = title if field.name in dtype.__annotations__ else inherited
            stripped = dataclasses.field(
                metadata={key: value for key, value in field.metadata.items() if key not in _OWN_KEYS}
            )
            stripped.name, stripped.type = field.name, hints[field.name]
            stripped.default, stripped.default_factory = field.default, field.default_factory
            target = _Target(self._group(own["group"] or default_title), stripped, own, self._old_positions)
            self._parse_dataclass_field(target, stripped)  # type: ignore[arg-type]

    def _group(self, title: str) -> Any:
        if title not in self._groups:
            same = [group for group in self._action_groups if group.title == title]
            self._groups[title] = same[0] if same else self.add_argument_group(title)
        return self._groups[title]

    def _with_truth_values(self, arguments: list[str]) -> list[str]:
        """`--flag photos/` as `--flag=true photos/`: only a truth value belongs to a flag."""
        flags = {
            name
            for action in self._actions
            if action.nargs == "?" and action.const is True
            for name in action.option_strings
        }
        for place, argument in enumerate(arguments):
            following = arguments[place + 1 : place + 2]
            if argument in flags and not (following and following[0].lower() in _TRUTH_VALUES):
                arguments[place] = f"{argument}=true"
        return arguments

    def _refuse_unknown(self, unknown: list[str]) -> NoReturn:
        options = [name for action in self._actions for name in action.option_strings if "-" not in name[2:]]
        first = unknown[0]
        if not first.startswith("-"):
            self.error(f"unexpected argument {first!r}.")
        near = difflib.get_close_matches(_underscored(first), options, 1)
        self.error(f"there is no option {first}{f'; the nearest is {near[0]}' if near else ''}")


class _Target:
    """Where `HfArgumentParser` adds an argument: a group, with what the metadata says beyond argparse."""

    def __init__(self, group: Any, field: Any, own: Mapping[str, Any], old_positions: dict[str, Any]):
        self.group, self.field, self.own, self.old_positions = group, field, own, old_positions

    def add_argument(self, *names: str, **kwargs: Any) -> None:
        if self.own["unlisted"] or kwargs.get("action") == "store_false":  # `--no_x`, which transformers adds to `--x`
            kwargs["help"] = argparse.SUPPRESS
        if kwargs.get("type") in (int, float, str, Path) and "metavar" not in kwargs and "choices" not in kwargs:
            kwargs["metavar"] = {int: "N", float: "X", str: "TEXT", Path: "PATH"}[kwargs["type"]]
        if self.own["at_least"] is not None or self.own["at_most"] is not None:
            kwargs["type"] = _bounded(kwargs["type"], self.own["at_least"], self.own["at_most"])
        if self.own["none"]:
            convert = kwargs.get("type", str)
            kwargs["type"] = lambda text: None if text == "none" else convert(text)
        if self.own["old_position"]:
            self.old_positions[self.field.name] = kwargs["type"]
            kwargs |= {"required": False, "default": None}
        if not self.own["positional"]:
            bare = [name[2:] for name in self.own["old_names"] or ()]
            old = [f"--{form}" for name in bare for form in sorted({name.replace("-", "_"), name.replace("_", "-")})]
            self.group.add_argument(*names, *(name for name in old if name not in names), **kwargs)
            return
        kwargs.pop("required", None)
        if kwargs.get("nargs") == "+":
            kwargs["nargs"] = "*"
        elif "default" in kwargs:
            kwargs["nargs"] = "?"
        kwargs["metavar"] = kwargs.get("metavar") or self.field.name.upper()
        if kwargs["metavar"] in ("N", "X", "TEXT", "PATH"):
            kwargs["metavar"] = self.field.name.upper()
        self.group.add_argument(self.field.name, **kwargs)


def _underscored(argument: str) -> str:
    """`--rise-masks=10` as `--rise_masks`."""
    return argument.partition("=")[0].replace("-", "_").replace("__", "--", 1)


def _bounded(convert: Callable[[str], float], least: float | None, most: float | None) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = convert(text)
        if least is not None and not value >= least:  # NaN neither
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {text}")
        if most is not None and not value <= most:
            raise argparse.ArgumentTypeError(f"must be at most {most}, got {text}")
        return value

    number.__name__ = convert.__name__  # in the message for text that is no number
    return number


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """One name an option, and its default where there is one that the text does not name."""

    def __init__(self, prog: str, **kwargs: Any):
        super().__init__(prog, max_help_position=32, width=min(120, kwargs.pop("width", None) or _terminal_width()))

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return str(action.metavar)
        names = action.option_strings if isinstance(action, argparse._HelpAction) else action.option_strings[:1]
        shown = ", ".join(names)
        if action.nargs == 0 or (action.nargs == "?" and action.const is True):
            return shown
        values = action.metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else "VALUE")
        return f"{shown} {values}{' ...' if action.nargs in ('+', '*') else ''}"

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        default = action.default
        silent = (None, False, argparse.SUPPRESS, dataclasses.MISSING)
        if any(default is value for value in silent) or default in ([], (), {}, "") or "default" in text.lower():
            return text
        value = " ".join(map(str, default)) if isinstance(default, (list, tuple)) else str(default)
        return f"{text} (default: {value})"

    def _expand_help(self, action: argparse.Action) -> str:
        return " ".join(self._get_help_string(action).replace("%%", "%").split())  # a % stands for itself


def _terminal_width() -> int:
    return max(80, shutil.get_terminal_size().columns - 2)
