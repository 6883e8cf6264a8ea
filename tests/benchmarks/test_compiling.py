import time

import torch

from benchmarks.compiling import compile_seconds


def test_what_the_first_call_takes_beyond_a_later_one():
    waits = iter((0.3, 0.2, 0.05))
    found = compile_seconds(lambda: time.sleep(next(waits)), torch.device("cpu"))
    assert 0.2 < found < 2
    assert compile_seconds(lambda: None, torch.device("cpu")) < 0.1
