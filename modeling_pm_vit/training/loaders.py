"""The loader of a run."""

from typing import Any

from torch.utils.data import DataLoader


class EpochLoader(DataLoader[Any]):
    """
    A `DataLoader` whose batches depend on the epoch.

    Args:
        cycle: repeat the batches of the first `cycle` epochs; by default the batches of all epochs differ.
    """

    def __init__(self, *args: Any, cycle: int | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.cycle = cycle

    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch % self.cycle if self.cycle else epoch)  # type: ignore[union-attr]
