"""The processes of a launch (`torchrun`, `accelerate launch`)."""

from datetime import timedelta

from accelerate import PartialState


def processes(device: str) -> PartialState:
    """This process of the launch. Processes wait for one another at the end of long runs, for up to seven days."""
    return PartialState(cpu=device == "cpu", timeout=timedelta(days=7))
