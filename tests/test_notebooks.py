"""The notebooks run from the first cell to the last, with a tiny model in place of the checkpoint."""

import json
import runpy
import shutil
from pathlib import Path

import pytest

import modeling_pm_vit

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def read(path: Path) -> dict:
    """A notebook whose training takes two steps."""
    return json.loads(path.read_text(encoding="utf-8").replace("--num_train_epochs 12", "--max_steps 2"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, request, make_model, make_processor, tmp_path, monkeypatch):
    if "grad_cam" in path.stem:
        pytest.importorskip("pytorch_grad_cam")
    model = make_model(id2label=dict(enumerate(["tabby", "espresso", "star"])))
    for saved in (model, make_processor()):
        saved.save_pretrained(tmp_path / "model")
    root = request.config.rootpath
    shutil.copytree(root / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(modeling_pm_vit, "PRETRAINED", tmp_path / "model")
    notebook = read(path)
    runpy.run_path(str(root / "scripts" / "run_notebooks.py"))["run"](notebook)
    shown = [output["data"] for cell in notebook["cells"] for output in cell.get("outputs", ()) if "data" in output]
    assert any("image/jpeg" in data or "data:image/jpeg" in "".join(data.get("text/html", ())) for data in shown)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_names_no_place_of_the_machine(path):
    assert path.stat().st_size < 1_000_000
    assert not any(word in path.read_text(encoding="utf-8") for word in ("/tmp/", "/home/", "/root/", "Traceback"))
    assert f"notebooks/{path.name})" in path.read_text(encoding="utf-8")  # the link to Colab
