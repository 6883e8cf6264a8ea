"""What is recorded of the server: metrics for Prometheus, and a line of JSON for each request. Never an image."""

import json
import logging
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from .answers import Engine

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LOG = logging.getLogger("pm_vit")


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        disable_created_metrics()  # a second series for each
        self.registry = CollectorRegistry()
        self.requests = Counter("pm_vit_requests", "Requests, by HTTP status.", ["status"], registry=self.registry)
        self.seconds = self._histogram("request_seconds", "From the whole body of a request to its answer.", _SECONDS)
        self.model_seconds = self._histogram("model_seconds", "Of the model, for a batch.", _SECONDS)
        self.batch = self._histogram("batch_photographs", "Photographs in a batch.", (1, 2, 4, 8, 16, 32))
        self.waiting = Gauge("pm_vit_waiting_requests", "Requests that wait or are computed.", registry=self.registry)
        self.bytes = Gauge("pm_vit_waiting_bytes", "Of their bodies.", registry=self.registry)
        ProcessCollector(registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"pm_vit_{name}", text, buckets=buckets, registry=self.registry)


class MeasuredEngine:
    """An engine whose batches are recorded."""

    def __init__(self, engine: Engine, metrics: Metrics):
        self.labels, self.prepare, self.placement = engine.labels, engine.prepare, engine.placement
        self._engine, self._metrics = engine, metrics

    def run(self, pixel_values: np.ndarray) -> tuple[np.ndarray, np.ndarray, Sequence[str | None]]:
        self._metrics.batch.observe(len(pixel_values))
        with self._metrics.model_seconds.time():
            return self._engine.run(pixel_values)


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": when, "level": record.levelname.lower(), "message": record.getMessage()}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def log_as_json() -> None:
    """Write the log of the whole process to standard output, one line of JSON for each entry."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class RequestLog:
    """One line for a request: begun when it comes, written with [`RequestLog.end`]."""

    def __init__(self, metrics: Metrics, request_id: str, path: str):
        self._metrics, self._start = metrics, time.perf_counter()
        self._fields: dict[str, object] = {"request_id": request_id, "path": path}

    def received(self, size: int) -> None:
        """The whole body is there."""
        self._start = time.perf_counter()
        self._fields["bytes"] = size

    def end(self, status: int, reason: str = "", error: BaseException | None = None) -> None:
        seconds = time.perf_counter() - self._start
        self._metrics.requests.labels(str(status)).inc()
        self._metrics.seconds.observe(seconds)
        fields = self._fields | {"status": status, "milliseconds": round(1000 * seconds, 1)}
        fields |= {"reason": reason} if reason else {}
        level = logging.ERROR if error else logging.INFO
        LOG.log(level, "request", extra={"fields": fields}, exc_info=error)
