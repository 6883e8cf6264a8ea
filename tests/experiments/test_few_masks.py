import sys
import time

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from experiments.few_masks.half import write_half
from experiments.few_masks.plan import Run, evaluate_words, read_plan, runs_of, train_words
from experiments.few_masks.side_by_side import run_side_by_side
from experiments.few_masks.table import comparison
from modeling_pm_vit.evaluation.arguments import EvaluationArguments
from modeling_pm_vit.metrics.calibration import bin_sums
from modeling_pm_vit.metrics.registry import METRICS
from modeling_pm_vit.training.arguments import parse_arguments
from modeling_pm_vit.utils.arguments import ArgumentParser
from modeling_pm_vit.utils.errors import InputError, NotFoundError

CONFIGS = ("tin200", "fine_tuned", "rehearsal")


@pytest.fixture
def plan_of(request):
    folder = request.config.rootpath / "experiments" / "few_masks" / "configs"
    return lambda name: read_plan(folder / f"{name}.yaml")


@pytest.mark.parametrize("name", CONFIGS)
def test_the_options_of_every_run_are_read(plan_of, tmp_path, name):
    plan = plan_of(name)
    runs = runs_of(plan, tmp_path)
    assert len(runs) == len(plan.seeds) * len(plan.datasets) * len(plan.variants)
    assert next(iter(plan.variants)) == "control"
    measured = set()
    for run in runs:
        words = train_words(plan, run, tmp_path, "start/{dataset}-{seed}", {"use_cpu": True})
        model, data, training = parse_arguments(words)
        assert model.model == f"start/{run.dataset}-{run.seed}"
        assert (data.mask_column is None or model.mask_loss_weight == 0) == (run.variant == "control")
        assert (training.seed, training.resume_from_checkpoint) == (run.seed, "last")
        words = evaluate_words(plan, run, tmp_path, {"device": "cpu"})
        evaluation = ArgumentParser(EvaluationArguments).parse(words)
        measured |= {value.name for metric in evaluation.metrics for value in METRICS[metric].values}
    assert set(plan.values) <= measured


@pytest.mark.parametrize("text", ["- a", "{train: {}}"])
def test_other_plans_are_refused(tmp_path, text):
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(InputError, match="must hold train, datasets"):
        read_plan(tmp_path / "plan.yaml")


def test_every_dataset_is_evaluated(plan_of, tmp_path):
    plan = vars(plan_of("rehearsal")) | {"evaluate": {}}
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(plan))
    with pytest.raises(InputError, match="evaluate must have the datasets tin200"):
        read_plan(tmp_path / "plan.yaml")


def command(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_jobs_run_side_by_side_one_command_after_the_other(tmp_path):
    jobs, said = [], []
    for number in range(3):
        write = f"open({str(tmp_path / str(number))!r}, 'a').write('x')"
        jobs.append((str(number), [command(write), command(write)], tmp_path / f"{number}.log"))
    jobs.append(("wrong", [command("print('why'); raise SystemExit(3)"), command("")], tmp_path / "wrong.log"))
    assert run_side_by_side(jobs, 2, say=said.append) == ["wrong"]
    assert [(tmp_path / str(number)).read_text() for number in range(3)] == ["xx"] * 3
    assert any("wrong: exit status 3" in text and "why" in text for text in said)


def test_jobs_are_stopped_when_the_time_is_over(tmp_path):
    jobs = [(name, [command("import time; time.sleep(60)")], tmp_path / "log") for name in ("first", "second")]
    start = time.monotonic()
    assert run_side_by_side(jobs, 1, seconds=0.5) == ["first", "second"]
    assert time.monotonic() - start < 20


def write_top1(run: Run, values) -> None:
    folder = run.folder / "evaluation" / "records" / "classification" / "classifier"
    folder.mkdir(parents=True)
    values = np.asarray(values, float)
    half = len(values) // 2
    for part, chosen in enumerate((slice(0, half), slice(half, None))):
        count = len(values[chosen])
        records = {"image": np.arange(len(values))[chosen], "top1": values[chosen], "top5": np.ones(count)}
        records |= {"bins": bin_sums(np.full((count, 1), 0.5), values[chosen][:, None])}
        np.savez(folder / f"{part:06d}.npz", **records)


def test_differences_from_the_control_are_paired_over_the_images(plan_of, tmp_path):
    plan = read_plan_with(plan_of("rehearsal"), seeds=[0, 1], values=["top1"])
    rng = np.random.default_rng(0)
    for seed in (0, 1):
        right = rng.random(200) < 0.5
        write_top1(Run("tin200", "control", seed, tmp_path / "tin200" / "control" / f"seed-{seed}"), right)
        better = right | (np.arange(200) < 20)  # the same images, and some more
        write_top1(Run("tin200", "boxes-1", seed, tmp_path / "tin200" / "boxes-1" / f"seed-{seed}"), better)
    head, control, boxes = comparison(plan, runs_of(plan, tmp_path), "tin200")
    assert head == ["", "seeds", "Top-1"]
    assert control[:2] == ["control", "0, 1"]
    assert "(" not in control[2]
    low = float(boxes[2].partition("[")[2].partition(",")[0])
    assert 0 < low < 5  # an unpaired interval would reach far below 0


def read_plan_with(plan, **changes):
    return type(plan)(**vars(plan) | changes)


def test_the_kept_weights_are_in_half_precision_and_small(tmp_path):
    run = Run("tin200", "boxes-1", 0, tmp_path / "run")
    run.folder.mkdir()
    with pytest.raises(NotFoundError, match="no run of this variant is trained"):
        write_half([run], "boxes-1", tmp_path)
    save_file({"a": torch.randn(5, 5)}, run.folder / "model.safetensors")
    weights = load_file(write_half([run], "boxes-1", tmp_path))
    assert weights["a"].dtype == torch.float16
    for wrong, message in (({"a": torch.full((1,), 1e6)}, "does not fit"), ({"a": torch.zeros(7, 2**20)}, "14.0 MiB")):
        save_file(wrong, run.folder / "model.safetensors")
        with pytest.raises(InputError, match=message):
            write_half([run], "boxes-1", tmp_path)
