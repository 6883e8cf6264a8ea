"""The next batch is made ready while the model computes."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

Batch = dict[str, Any]
Item = TypeVar("Item")


class LookAhead(Generic[Item]):
    """
    The items of an iterator in their order. While one is used, a thread takes the next one and makes it ready. An error
    of the iterator, or of `prepare`, is raised in the place of its item.

    Args:
        items: used by this object alone until it is closed.
        prepare: called for each item, in the thread.
        count: number of items to take; the iterator is not asked for more, and may have fewer.
    """

    def __init__(self, items: Iterator[Item], prepare: Callable[[Item], Item], count: int):
        self._items, self._prepare, self.left = items, prepare, count
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="next batch")
        self._next: Future[Item] = self._thread.submit(self._make) if count > 0 else Future()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        if self.left <= 0:
            self.close()
            raise StopIteration
        try:
            item = self._next.result()
        except BaseException as error:
            self.close()
            if isinstance(error, _EndedError):
                raise StopIteration from None
            raise
        self.left -= 1
        if self.left:
            self._next = self._thread.submit(self._make)
        else:
            self.close()
        return item

    def close(self) -> None:
        """Waits for the item that is being made, which is dropped; the iterator is free again."""
        self.left = 0
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _make(self) -> Item:
        try:
            item = next(self._items)
        except StopIteration:  # a future cannot hold it
            raise _EndedError from None
        return self._prepare(item)


class _EndedError(Exception):
    """The iterator has no more items."""


class BatchAhead:
    """
    Makes batches ready on the device, on a stream of its own beside that on which the model computes.

    A batch stays on the CPU, for those who count its labels, and gets `ready`: what `prepare` made of it, and the event
    that ends its work. It takes its memory beside the batch in use.

    Args:
        device: of the model.
        prepare: from a batch on the CPU to one on the device; called in the thread of a [`LookAhead`].
    """

    def __init__(self, device: torch.device, prepare: Callable[[Batch], Batch]):
        self.prepare, self.device = prepare, device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, batch: Batch) -> Batch:
        if self.stream is None:
            return batch | {"ready": (self.prepare(dict(batch)), None)}
        with torch.cuda.device(self.device), torch.cuda.stream(self.stream):
            return batch | {"ready": (self.prepare(dict(batch)), self.stream.record_event())}

    def take(self, batch: Batch) -> Batch:
        """The batch on the device, for the current stream."""
        ready: Batch
        ready, event = batch["ready"]
        if event is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(event)
            for value in ready.values():
                if isinstance(value, torch.Tensor) and value.is_cuda:
                    value.record_stream(stream)  # else its memory could be given to a later batch while it is read
        return ready


class EndsWithEpoch(TrainerCallback):
    """
    Args:
        close: called before the next epoch takes its loader, should the one before have ended early.
    """

    def __init__(self, close: Callable[[], None]):
        self.close = close

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.close()
