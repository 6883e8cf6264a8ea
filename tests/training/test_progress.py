"""The estimate of the time that is left, the curves of a resumed run, and the threads that it computes with."""

import json

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import TrainerCallback

from modeling_pm_vit.training import progress
from modeling_pm_vit.training import run as run_module
from modeling_pm_vit.training.progress import seconds_left


def test_the_time_left_is_not_known_before_features_were_computed():
    assert seconds_left(elapsed=3, steps=3, steps_left=10, computing=0, computed=0, missing=5) is None
    assert seconds_left(elapsed=3, steps=3, steps_left=10, computing=0, computed=0, missing=0) == 10
    assert seconds_left(elapsed=3, steps=3, steps_left=0, computing=1, computed=2, missing=-1) == 0


@pytest.mark.slow
def test_the_estimate_knows_that_later_epochs_reuse_the_features(run, flags, monkeypatch):
    """Features take 10 s a batch and a step 1 s, on a clock of its own: 3 epochs of 3 batches, the first slow."""
    now, estimates = [0.0], []
    clock = type("Clock", (), {"perf_counter": staticmethod(lambda: now[0])})
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr("modeling_pm_vit.training.cached_features.time", clock)
    tokens = run_module.FrozenLayers.tokens

    def slow(self, pixel_values):
        now[0] += 10
        return tokens(self, pixel_values)

    monkeypatch.setattr(run_module.FrozenLayers, "tokens", slow)

    class Clock(TrainerCallback):
        def on_step_begin(self, *args, **kwargs):
            now[0] += 1

    estimate = progress.seconds_left
    monkeypatch.setattr(
        progress, "seconds_left", lambda **values: estimates.append(estimate(**values)) or estimates[-1]
    )
    settings = ["--max_steps", "9", "--frozen_layers", "1", "--feature_epochs", "1", "--disable_tqdm", "false"]
    run(flags, *settings, callbacks=[Clock()])
    assert estimates == pytest.approx([28, 17, 6, 5, 4, 3, 2, 1, 0])


def curve(folder) -> list[tuple[int, float]]:
    """The losses that TensorBoard shows."""
    (logs,) = {file.parent for file in folder.glob("runs/*/events.*")}
    events = EventAccumulator(str(logs)).Reload().Scalars("train/loss")
    return [(event.step, event.value) for event in events]


@pytest.mark.slow
def test_a_resumed_run_continues_its_curve(run, flags, tmp_path, monkeypatch):
    """Step 3 was logged, but not saved: its point is replaced."""
    flags = [*flags, "--max_steps", "5", "--save_strategy", "steps", "--save_steps", "2", "--report_to", "tensorboard"]

    class Stop(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(flags, callbacks=[Stop()])
    assert [step for step, _ in curve(tmp_path / "run")] == [1, 2, 3]
    run(flags, "--resume_from_checkpoint")
    steps = curve(tmp_path / "run")
    assert [step for step, _ in steps] == [1, 2, 3, 4, 5]
    run(flags, "--output_dir", tmp_path / "whole")
    assert steps == curve(tmp_path / "whole")


@pytest.mark.slow
def test_a_resumed_run_computes_with_the_same_number_of_threads(run, flags, tmp_path, monkeypatch, capsys):
    before = torch.get_num_threads()
    try:
        run(flags, "--max_steps", 1, "--save_strategy", "steps", "--num_threads", 2, "--save_total_limit", 5)
        checkpoint = tmp_path / "run" / "checkpoint-1"
        assert json.loads((checkpoint / "training_args.json").read_text())["num_threads"] == 2
        monkeypatch.setattr(run_module, "set_threads", lambda n, w: torch.set_num_threads(n or 1) or f"{n} threads")
        run(flags, "--resume_from_checkpoint", checkpoint)
        assert torch.get_num_threads() == 2 and "2 threads, as before the interruption\n" in capsys.readouterr().out
        run(flags, "--resume_from_checkpoint", checkpoint, "--num_threads", 1)
        assert torch.get_num_threads() == 1 and "1 threads\n" in capsys.readouterr().out
    finally:
        torch.set_num_threads(before)
