"""The look-ahead, on a CPU: the batches of a run are made ready in a thread, on a GPU on a stream of its own too."""

import threading
from itertools import count

import pytest
import torch
from safetensors.torch import load_file

from modeling_pm_vit.training.look_ahead import LookAhead
from modeling_pm_vit.training.trainer import PMViTTrainer


@pytest.mark.parametrize(("length", "most", "expected"), [(5, 5, 5), (5, 3, 3), (3, 5, 3), (0, 4, 0), (4, 0, 0)])
def test_items_come_prepared_in_their_order_and_no_more_are_asked_for(length, most, expected):
    items = iter(range(length))
    assert list(LookAhead(items, lambda item: item * 10, most)) == [10 * number for number in range(expected)]
    assert next(items, None) == (expected if length > most else None)


def test_the_next_item_is_made_while_one_is_in_use_and_only_one():
    made = [threading.Event() for _ in range(4)]

    def prepare(item):
        made[item].set()
        return item

    ahead = LookAhead(iter(range(4)), prepare, 4)
    assert next(ahead) == 0
    assert made[1].wait(10)
    assert not made[2].wait(0.05)
    ahead.close()


@pytest.mark.parametrize("place", ["items", "prepare"])
def test_an_error_is_raised_in_the_place_of_its_item(place):
    def items():
        for number in count():
            if place == "items" and number == 2:
                raise OSError("a bad row")
            yield number

    def prepare(item):
        if place == "prepare" and item == 2:
            raise OSError("a bad row")
        return item

    ahead = LookAhead(items(), prepare, 9)
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(OSError, match="a bad row"):
        next(ahead)
    assert list(ahead) == []


def test_the_iterator_is_free_again_once_it_is_closed():
    items = iter(range(9))
    ahead = LookAhead(items, lambda item: item, 9)
    assert next(ahead) == 0
    ahead.close()
    assert list(ahead) == []
    assert next(items) in (1, 2)  # 1 may have been taken ahead


@pytest.mark.slow
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_run_that_looks_ahead_ends_with_the_same_weights_also_after_an_interruption(
    run, flags, tmp_path, monkeypatch, accumulation
):
    """Three epochs of three batches, which end within an epoch."""
    settings = (
        "--augment_on",
        "device",
        "--max_steps",
        7 // accumulation,
        "--save_steps",
        2,
        "--save_strategy",
        "steps",
    )
    settings += ("--gradient_accumulation_steps", accumulation, "--save_total_limit", 9, "--cutmix", 1.0)
    run(flags, *settings, "--output_dir", tmp_path / "plain")
    threads = set()
    prepare = PMViTTrainer._prepared_ahead

    def noted(self, batch):
        threads.add(threading.current_thread())
        return prepare(self, batch)

    monkeypatch.setattr(PMViTTrainer, "looks_ahead", lambda self: True)
    monkeypatch.setattr(PMViTTrainer, "_prepared_ahead", noted)
    run(flags, *settings, "--output_dir", tmp_path / "ahead")
    checkpoint = tmp_path / "ahead" / "checkpoint-2"
    run(flags, *settings, "--output_dir", tmp_path / "resumed", "--resume_from_checkpoint", checkpoint)
    assert threads and threading.main_thread() not in threads
    assert not any(thread.is_alive() for thread in threads)
    plain, *others = (load_file(tmp_path / name / "model.safetensors") for name in ("plain", "ahead", "resumed"))
    for weights in others:
        assert all(torch.equal(weight, weights[name]) for name, weight in plain.items())
