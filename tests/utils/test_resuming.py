"""Parts of long work: each is made once, by one of the processes, with the same settings."""

import json
import threading
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling_pm_vit.utils.errors import InputError
from modeling_pm_vit.utils.resuming import keep_settings, missing_parts


@dataclass
class Process:
    """A thread in the place of a process of a launch."""

    process_index: int
    num_processes: int
    barrier: threading.Barrier

    def wait_for_everyone(self) -> None:
        self.barrier.wait(timeout=20)


def launch(count: int, work) -> None:
    barrier = threading.Barrier(count)
    errors = []

    def run(index: int) -> None:
        try:
            work(Process(index, count, barrier))
        except BaseException as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors


@given(count=st.integers(1, 4), parts=st.integers(0, 12), done=st.sets(st.integers(0, 11)))
def test_every_missing_part_is_made_once_and_the_shares_are_equal(count, parts, done):
    there, made, left = set(done), {index: [] for index in range(count)}, []

    def work(process):
        with missing_parts(process, range(parts), there.__contains__) as mine:
            for part in mine:
                made[process.process_index].append(part)
                there.add(part)  # while others may still be at work
        left.append(set(range(parts)) - there)

    launch(count, work)
    assert sorted(part for parts_of_one in made.values() for part in parts_of_one) == sorted(set(range(parts)) - done)
    assert max(map(len, made.values())) - min(map(len, made.values())) <= 1
    assert left == [set()] * count  # nobody leaves before everything is there


def test_an_error_of_the_work_is_not_hidden_by_waiting():
    process = Process(0, 1, threading.Barrier(1))
    with pytest.raises(KeyError), missing_parts(process, [1], lambda part: False):
        raise KeyError


SETTINGS = st.dictionaries(st.sampled_from("abc"), st.integers(0, 1) | st.lists(st.integers(0, 1), max_size=1))


@given(first=SETTINGS, second=SETTINGS)
def test_only_the_same_settings_are_taken(tmp_path_factory, first, second):
    path = tmp_path_factory.mktemp("kept") / "new" / "settings.json"
    assert keep_settings(path, first, "records") == first
    if first == second:
        assert keep_settings(path, second, "records") == first
    else:
        with pytest.raises(InputError, match=r"holds records with [abc] = .*, asked for"):
            keep_settings(path, second, "records")
    assert json.loads(path.read_text()) == first


def test_settings_that_json_changes_are_compared_as_json(tmp_path):
    path = tmp_path / "settings.json"
    assert keep_settings(path, {"size": (2, 3)}, "records") == {"size": [2, 3]}
    assert keep_settings(path, {"size": (2, 3), "more": None}, "records") == {"size": [2, 3], "more": None}
