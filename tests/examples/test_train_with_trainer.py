"""The example of the stock `Trainer`, run on photographs of noise."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from modeling_pm_vit import PMViTForImageClassification

pytest.importorskip("accelerate")
EXAMPLE = Path(__file__).parents[2] / "examples" / "train_with_trainer.py"


def image_folder(folder: Path, masks: bool) -> Path:
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("validation", 4)):
        (folder / split).mkdir(parents=True)
        lines = []
        for i in range(count):
            Image.fromarray(rng.integers(0, 255, (40, 48, 3), np.uint8)).save(folder / split / f"{i}.png")
            row = {"file_name": f"{i}.png", "label": ["cup", "pen"][i % 2]}
            if masks and i % 2:
                Image.fromarray(np.eye(40, 48, dtype=np.uint8) * 255).save(folder / split / f"{i}_mask.png")
            if masks:
                row["mask_file_name"] = f"{i}_mask.png" if i % 2 else None
            lines.append(json.dumps(row))
        (folder / split / "metadata.jsonl").write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize("masks", [False, True])
def test_it_trains_evaluates_and_saves_the_best_model(make_model, make_processor, tmp_path, masks):
    make_model().save_pretrained(tmp_path / "model")  # of five classes, which it replaces by its own two
    make_processor().save_pretrained(tmp_path / "model")
    words = ["--model_name_or_path", tmp_path / "model", "--data_dir", image_folder(tmp_path / "photos", masks)]
    words += ["--output_dir", tmp_path / "run", "--do_train", "--do_eval", "--remove_unused_columns", "false"]
    words += ["--num_train_epochs", "2", "--learning_rate", "1e-2", "--load_best_model_at_end", "--use_cpu"]
    words += ["--eval_strategy", "epoch", "--save_strategy", "epoch", "--report_to", "none", "--disable_tqdm", "true"]
    metrics = runpy.run_path(str(EXAMPLE))["main"]([str(word) for word in words])
    assert 0 <= metrics["eval_accuracy"] <= 1
    assert metrics["eval_loss"] > 0

    state = json.loads((tmp_path / "run" / "trainer_state.json").read_text())
    assert state["best_metric"] == pytest.approx(metrics["eval_loss"])
    best = load_file(Path(state["best_model_checkpoint"]) / "model.safetensors")
    for name, tensor in load_file(tmp_path / "run" / "model.safetensors").items():
        assert torch.equal(tensor, best[name]), name
    model = PMViTForImageClassification.from_pretrained(tmp_path / "run")
    found = model.explain(tmp_path / "photos" / "validation" / "0.png", top_k=2)
    assert sorted(found["labels"]) == ["cup", "pen"]
