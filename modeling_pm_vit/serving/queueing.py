"""Simultaneous requests: they wait in a queue, and one thread answers all that wait together."""

import json
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from .answers import Answerer


class BusyError(Exception):
    """As many requests wait as may."""


@dataclass(frozen=True)
class _Waiting:
    body: bytes
    is_json: bool
    query: Mapping[str, Any]
    answer: "Future[bytes]" = field(default_factory=Future)


class Queue:
    """
    Requests that come while others are computed wait, and are then answered together. So nothing is delayed when there
    is one client, and batches grow with the load.

    Args:
        answerer: of the requests.
        max_batch: requests that are answered together.
        max_waiting: requests that wait or are computed.
    """

    def __init__(self, answerer: Answerer, max_batch: int, max_waiting: int):
        self._answerer, self._max_batch, self._max_waiting = answerer, max_batch, max_waiting
        self._waiting: deque[_Waiting] = deque()
        self._computed = 0
        self._closed = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="answers", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._waiting) + self._computed

    @property
    def is_alive(self) -> bool:
        """Whether requests are answered."""
        return self._thread.is_alive()

    def put(self, body: bytes, is_json: bool, query: Mapping[str, Any]) -> "Future[bytes]":
        """
        Args:
            body: JSON, or the file of a photograph.
            query: parameters, which are used if the body has none.

        Returns:
            The answer as JSON, or the error: ValueError if the request cannot be answered.

        Raises:
            BusyError: if too many wait.
        """
        with self._change:
            if self._closed or len(self) >= self._max_waiting:
                raise BusyError(f"{len(self)} requests wait, try again later.")
            waiting = _Waiting(body, is_json, query)
            self._waiting.append(waiting)
            self._change.notify()
        return waiting.answer

    def close(self) -> None:
        """Refuses new requests, answers those that wait, and ends the thread."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._take():
            self._answer(batch)
            with self._change:
                self._computed = 0

    def _take(self) -> list[_Waiting]:
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._closed)
            count = min(self._max_batch, len(self._waiting))
            self._computed = count
            return [self._waiting.popleft() for _ in range(count)]

    def _answer(self, batch: list[_Waiting]) -> None:
        batch = [one for one in batch if one.answer.set_running_or_notify_cancel()]  # else the client is gone
        readable: list[tuple[_Waiting, Any]] = []
        for one in batch:
            try:
                readable.append((one, _data(one)))
            except Exception as error:
                one.answer.set_exception(error)
        try:
            for number, found in self._answerer.answer_together([data for _, data in readable]):
                future = readable[number][0].answer
                if isinstance(found, Exception):
                    future.set_exception(found)
                else:
                    future.set_result(json.dumps(found).encode())
        except Exception as error:  # of the model: no request of the batch can be answered
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(error)


def _data(waiting: _Waiting) -> Any:
    """What an [`Answerer`] is called with."""
    if not waiting.is_json:
        return {"inputs": waiting.body, "parameters": dict(waiting.query)}
    try:
        data = json.loads(waiting.body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the body is not JSON: {error}.") from error
    if waiting.query and isinstance(data, dict) and "parameters" not in data:
        data["parameters"] = dict(waiting.query)
    return data
