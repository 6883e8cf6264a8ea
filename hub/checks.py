"""Checks before a folder is published."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import ModelCard
from safetensors import SafetensorError, safe_open

import modeling_pm_vit
from modeling_pm_vit.serving.exported import GRAPHS, open_export
from modeling_pm_vit.utils.errors import InputError, NotFoundError

from .arguments import PublishArguments
from .endpoint import endpoint_files
from .spaces import require_node

CODE = tuple(sorted(path.name for path in Path(modeling_pm_vit.__file__).parent.glob("*_pm_vit.py")))
REQUIRED = ("config.json", "preprocessor_config.json", "README.md", "requirements.txt")
# Files of other types are refused. None of these can contain a pickle.
SUFFIXES = {".json", ".md", ".onnx", ".png", ".py", ".safetensors", ".txt", ".yaml"}
_ABSOLUTE = re.compile(r"^(/[\w.-]+/|~|[A-Za-z]:\\)")


def check_arguments(arguments: PublishArguments) -> None:
    """
    Raises:
        NotFoundError: if a file or folder does not exist.
        InputError: if the name of a repository is not user/name, the licence is no identifier, or the benchmark is
            not user/dataset:task.
    """
    for name in ("config.json", "preprocessor_config.json"):
        if not (arguments.model / name).is_file():
            raise NotFoundError(
                f"model: expected a folder that the training wrote, {arguments.model / name} is missing."
            )
    if not any(arguments.model.glob("*.safetensors")):
        raise NotFoundError(f"model: {arguments.model} has no weights (*.safetensors).")
    if arguments.onnx is not None:
        try:
            open_export(arguments.onnx)
        except FileNotFoundError as error:
            raise NotFoundError(f"--onnx: {error}") from error
    for name in ("repo_id", "onnx_repo", "static_space", "gradio_space"):
        given = getattr(arguments, name)
        if given is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", given):
            raise InputError(f"{name if name == 'repo_id' else f'--{name}'}: expected user/name, got {given!r}.")
    for name in ("onnx_repo", "static_space"):
        if getattr(arguments, name) is not None and arguments.onnx is None:
            raise InputError(f"--{name} needs --onnx: the folder that `pm-vit export` wrote.")
    if arguments.static_space is not None:
        require_node()
    if arguments.output_dir is not None and arguments.output_dir.is_dir() and any(arguments.output_dir.iterdir()):
        raise InputError(f"--output_dir: {arguments.output_dir} is not empty: name a new folder.")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", arguments.license):
        raise InputError(
            f"--license: expected a name as the Hub has it, such as apache-2.0, cc-by-nc-4.0, other or unknown, got "
            f"{arguments.license!r}."
        )
    if arguments.license != "other" and (arguments.license_name or arguments.license_link):
        raise InputError(
            "--license_name and --license_link describe a licence that the Hub has no name for: give them with "
            f"--license other, not with --license {arguments.license}."
        )
    if arguments.benchmark is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+:\S+", arguments.benchmark):
        raise InputError(f"--benchmark: expected user/dataset:task, got {arguments.benchmark!r}.")


def find_problems(folder: Path) -> list[str]:
    """The problems of a folder to publish, one line each. The model is not loaded."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    package = Path(modeling_pm_vit.__file__).parent
    code = {name: package / name for name in CODE} | endpoint_files((folder / GRAPHS).is_dir())
    problems = [f"{name} is missing" for name in (*REQUIRED, *code) if not (folder / name).is_file()]
    if not any(path.suffix == ".safetensors" for path in files):
        problems.append("there are no weights (*.safetensors)")
    for path in files:
        name = str(path.relative_to(folder))
        if path.suffix not in SUFFIXES and name not in code:
            problems.append(f"{name}: only {', '.join(sorted(SUFFIXES))} are published")
        elif path.suffix == ".safetensors":
            problems += _weight_problems(path, name)
        elif path.suffix == ".json":
            problems += _json_problems(path, name)
    for name, source in code.items():
        if (folder / name).is_file() and (folder / name).read_bytes() != source.read_bytes():
            problems.append(f"{name} differs from the file of the package")
    return problems + _label_problems(folder) + _card_problems(folder)


def _weight_problems(path: Path, name: str) -> list[str]:
    try:
        with safe_open(path, "pt") as weights:
            return [] if list(weights.keys()) else [f"{name} is empty"]
    except (OSError, SafetensorError) as error:
        return [f"{name} is not a safetensors file: {error}"]


def _json_problems(path: Path, name: str) -> list[str]:
    def strings(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from strings(key)
                yield from strings(item)
        elif isinstance(value, list):
            for item in value:
                yield from strings(item)
        elif isinstance(value, str):
            yield value

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return [f"{name} is not JSON: {error}"]
    return [f"{name} contains an absolute path: {text}" for text in strings(content) if _ABSOLUTE.match(text)]


def _label_problems(folder: Path) -> list[str]:
    try:
        labels = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("id2label") or {}
    except (OSError, ValueError):
        return []  # reported by the checks above
    nameless = [label for label in labels.values() if re.fullmatch(r"LABEL_\d+", label)]
    if not labels or nameless:
        return ["config.json: the classes have no names (id2label)"]
    return []


def _card_problems(folder: Path) -> list[str]:
    if not (folder / "README.md").is_file():
        return []
    try:
        data = ModelCard.load(folder / "README.md").data.to_dict()
    except Exception as error:  # the errors of the Hub's reader are not documented
        return [f"README.md: the metadata are not valid: {error}"]
    return [f"README.md: {key} is missing" for key in ("license", "library_name", "pipeline_tag") if not data.get(key)]
