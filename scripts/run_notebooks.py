"""Run notebooks in this process and save their outputs in them.

    python scripts/run_notebooks.py notebooks/*.ipynb

A small stand-in for Jupyter, without its dependencies: code cells run one after the other, lines that begin with `%`
are left out, and `!pm-vit ...` calls the command. Each notebook runs in an empty folder with a copy of `examples/`.
"""

import ast
import base64
import contextlib
import io
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from modeling_pm_vit.cli.main import main as pm_vit

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(notebook: dict[str, Any]) -> None:
    """Run the code cells in the working directory, and put what they print and show into the notebook."""
    names: dict[str, Any] = {"__name__": "__main__"}
    count = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        count += 1
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            value = _run_cell("".join(cell["source"]), names)
        cell["execution_count"], cell["outputs"] = count, []
        if printed.getvalue():
            text = printed.getvalue().splitlines(keepends=True)
            cell["outputs"].append({"output_type": "stream", "name": "stdout", "text": text})
        if value is not None:
            cell["outputs"].append(
                {"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": _shown(value)}
            )


def _run_cell(source: str, names: dict[str, Any]) -> Any:
    """The value of the last line, if it is an expression."""
    lines = [line for line in source.splitlines() if not line.startswith("%")]
    for number, line in enumerate(lines):
        if line.startswith("!pm-vit "):
            lines[number] = f"_command({line[len('!pm-vit ') :]!r}, globals())"
    names["_command"] = _command
    tree = ast.parse("\n".join(lines))
    last = tree.body[-1] if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(ast.Module(tree.body[:-1] if last else tree.body, []), "<cell>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), names) if last else None


def _command(line: str, names: dict[str, Any]) -> None:
    words = shlex.split(re.sub(r"\{(\w+)\}", lambda match: str(names[match[1]]), line))
    if status := pm_vit(words):
        raise RuntimeError(f"pm-vit {line}: exit status {status}")


def _shown(value: Any) -> dict[str, Any]:
    """The forms in which a notebook shows a value; a picture as JPEG, which is smaller."""
    data: dict[str, Any] = {"text/plain": repr(value).splitlines(keepends=True)}
    if hasattr(value, "_repr_html_"):
        data["text/html"] = value._repr_html_().splitlines(keepends=True)
    elif hasattr(value, "_repr_jpeg_"):
        data["image/jpeg"] = base64.b64encode(value._repr_jpeg_()).decode()
    return data


def main(paths: list[str]) -> None:
    for path in map(Path, paths):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        here = Path.cwd()
        with tempfile.TemporaryDirectory() as place:
            shutil.copytree(EXAMPLES, Path(place) / "examples")
            try:
                os.chdir(place)
                run(notebook)
            finally:
                os.chdir(here)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{path}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
