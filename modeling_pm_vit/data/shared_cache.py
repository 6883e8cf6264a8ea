"""Values that all loading processes of a run share, in memory: what one of them has decoded, no other decodes again."""

import mmap
import multiprocessing
import pickle
from typing import Any

import numpy as np


class SharedCache:
    """
    Values by number, such as the decoded rows of a dataset. The first process that makes one writes it; a value that
    does not fit any more is not kept. Memory is taken as values are written and returned when the processes end.

    Forked processes share it. A spawned process (the default of `multiprocessing` on macOS and Windows) gets an empty
    one that keeps nothing.

    Args:
        count: number of values.
        capacity: of all values, in bytes; 0 keeps nothing.
    """

    def __init__(self, count: int, capacity: int):
        self.count, self.capacity = count, capacity
        self._lock: Any = multiprocessing.Lock()
        table = 16 * (count + 1)
        memory = mmap.mmap(-1, table + capacity)  # anonymous and shared; its pages are zeros until they are written
        # Start and length of each value, after the number of bytes in use.
        self._places = np.frombuffer(memory, np.int64, 2 * (count + 1)).reshape(-1, 2)
        self._content = memoryview(memory)[table:]

    @property
    def used(self) -> int:
        """Bytes of the values that are kept."""
        return int(self._places[0, 0])

    def get(self, number: int) -> Any:
        """A copy of a value, or `None` if there is none."""
        start, length = self._places[number + 1].tolist()
        return pickle.loads(self._content[start : start + length]) if length else None

    def put(self, number: int, value: Any) -> None:
        """Keep a value, if there is room and there is none yet."""
        content = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        with self._lock:
            start = self.used
            if self._places[number + 1, 1] or start + len(content) > self.capacity:
                return
            self._places[0, 0] = start + len(content)
            self._content[start : start + len(content)] = content
            self._places[number + 1, 0] = start
            self._places[number + 1, 1] = len(content)  # last: a reader takes the value for written from here on

    def __reduce__(self) -> Any:
        return SharedCache, (self.count, 0)
