"""What has to hold of a folder before it is published."""

import json
import re
from pathlib import Path

from huggingface_hub import ModelCard
from safetensors import SafetensorError, safe_open

import modeling_pm_vit

CODE = tuple(f"{part}_pm_vit.py" for part in ("configuration", "modeling", "image_processing", "pipeline"))
REQUIRED = (*CODE, "config.json", "preprocessor_config.json", "README.md", "handler.py", "requirements.txt")
# Nothing else is published; what can hold a pickle is not among them.
SUFFIXES = {".json", ".md", ".onnx", ".png", ".py", ".safetensors", ".txt"}
_ABSOLUTE = re.compile(r"^(/[\w.-]+/|~|[A-Za-z]:\\)")


def find_problems(folder: Path) -> list[str]:
    """What is wrong with a folder to publish, one line each; without loading the model."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    problems = [f"{name} is missing" for name in REQUIRED if not (folder / name).is_file()]
    if not any(path.suffix == ".safetensors" for path in files):
        problems.append("there are no weights (*.safetensors)")
    for path in files:
        name = str(path.relative_to(folder))
        if path.suffix not in SUFFIXES:
            problems.append(f"{name}: only {', '.join(sorted(SUFFIXES))} are published")
        elif path.suffix == ".safetensors":
            problems += _weight_problems(path, name)
        elif path.suffix == ".json":
            problems += _json_problems(path, name)
    package = Path(modeling_pm_vit.__file__).parent
    for name in CODE:
        if (folder / name).is_file() and (folder / name).read_bytes() != (package / name).read_bytes():
            problems.append(f"{name} differs from the package's")
    return problems + _label_problems(folder) + _card_problems(folder)


def _weight_problems(path: Path, name: str) -> list[str]:
    try:
        with safe_open(path, "pt") as weights:
            return [] if list(weights.keys()) else [f"{name} is empty"]
    except (OSError, SafetensorError) as error:
        return [f"{name} is no safetensors file: {error}"]


def _json_problems(path: Path, name: str) -> list[str]:
    def strings(value):
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
        return [f"{name} is no JSON: {error}"]
    return [f"{name} holds an absolute path: {text}" for text in strings(content) if _ABSOLUTE.match(text)]


def _label_problems(folder: Path) -> list[str]:
    try:
        labels = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("id2label") or {}
    except (OSError, ValueError):
        return []  # said above
    nameless = [label for label in labels.values() if re.fullmatch(r"LABEL_\d+", label)]
    if not labels or nameless:
        return ["config.json: the classes have no names (id2label)"]
    return []


def _card_problems(folder: Path) -> list[str]:
    if not (folder / "README.md").is_file():
        return []
    try:
        data = ModelCard.load(folder / "README.md").data.to_dict()
    except Exception as error:  # what the Hub's reader raises on metadata that it cannot take is not documented
        return [f"README.md: the metadata are not valid: {error}"]
    return [f"README.md: {key} is missing" for key in ("license", "library_name", "pipeline_tag") if not data.get(key)]
