"""The processes of a launch (`torchrun`, `accelerate launch`)."""

from datetime import timedelta

from accelerate import PartialState


def processes(device: str) -> PartialState:
    """This process among all that were launched; they may wait for one another for days, as long work may take."""
    return PartialState(cpu=device == "cpu", timeout=timedelta(days=7))
