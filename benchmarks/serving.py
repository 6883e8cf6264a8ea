"""The published server under load: 16 clients, a third of whose requests cannot be answered, on the loopback."""

import base64
import http.client
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import modeling_pm_vit
from modeling_pm_vit.data.synthetic import synthetic_dataset
from modeling_pm_vit.image_processing_pm_vit import PMViTImageProcessor
from modeling_pm_vit.serving.graph import Graph
from modeling_pm_vit.serving.settings import read_settings, usable_cores
from modeling_pm_vit.utils.timing import CPU

from .machine import describe
from .models import SIZES, Size, random_pm_vit

CLIENTS = 16
_PARTS = 5  # of the run, after each of which memory is read


def measure(quick: bool = False, model: str | None = None, requests: int | None = None) -> dict[str, Any]:
    """
    Args:
        model: folder that `pm-vit export` wrote; by default ViT-S/16 with random weights and 10 classes.
        requests: of all clients together; by default 1,000, with `quick` 150.

    Returns:
        `lost`: requests without an answer or with another status than expected. Milliseconds: `model`, of a photograph
        in ONNX Runtime alone (median); `alone_p50` and `alone_p95`, of requests of one client; `p50` and `p95`, of the
        answered requests of all clients at once; `refused_p50`, of the others; `model_in_load`, of a photograph in a
        batch. `photographs_per_second`, `photographs_per_batch`, and `mib`, the memory of the server after each part
        of the run.
    """
    count = requests or (150 if quick else 1000)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        onnx = Path(model) if model else _export(place / "onnx", quick)
        results: dict[str, Any] = {"machine": describe(CPU), "requests": count, "model": _model_milliseconds(onnx)}
        with _Server(place, onnx) as server:
            calls = _calls()
            for body, kind, status in calls:
                assert server.call(body, kind)[0] == status
            alone = [server.call(*calls[0][:2])[1] for _ in range(10 if quick else 50)]
            results |= {"alone_p50": _percentile(alone, 50), "alone_p95": _percentile(alone, 95)}
            results |= _load(server, calls, count)
        return results


def _load(server: "_Server", calls: list[tuple[bytes, str, int]], count: int) -> dict[str, Any]:
    found: list[tuple[int, int, float]] = []

    def one(number: int) -> None:
        body, kind, expected = calls[number % len(calls)]
        try:
            status, milliseconds = server.call(body, kind)
        except OSError:
            status, milliseconds = 0, float("nan")
        found.append((expected, status, milliseconds))

    before, start, mib = server.metrics(), time.perf_counter(), [server.mib()]
    with ThreadPoolExecutor(CLIENTS) as clients:
        for part in np.array_split(np.arange(count), _PARTS):
            list(clients.map(one, part.tolist()))
            mib.append(server.mib())
    seconds, after = time.perf_counter() - start, server.metrics()
    spent = {name: after[name] - before[name] for name in after}
    answered = [time for expected, status, time in found if expected == status == 200]
    photographs = spent["pm_vit_batch_photographs_sum"]
    return {
        "lost": count - sum(expected == status for expected, status, _ in found),
        "answered": len(answered),
        **{"p50": _percentile(answered, 50), "p95": _percentile(answered, 95)},
        "refused_p50": _percentile([time for expected, _, time in found if expected != 200], 50),
        "model_in_load": 1000 * spent["pm_vit_model_seconds_sum"] / photographs,
        "photographs_per_second": photographs / seconds,
        "photographs_per_batch": photographs / spent["pm_vit_batch_photographs_count"],
        "mib": ", ".join(f"{one:.0f}" for one in mib),
    }


def _export(folder: Path, quick: bool) -> Path:
    from modeling_pm_vit.export import export_folder

    images = synthetic_dataset("test", 1)["image"][:]
    size = Size(192, 4, 3, 0.4) if quick else SIZES["S"]
    export_folder(random_pm_vit(size, 10), PMViTImageProcessor(), folder, images, ["fp32"], least={})
    return folder


def _model_milliseconds(onnx: Path) -> float:
    graph = Graph(onnx, threads=read_settings().threads or usable_cores())
    inputs = graph.prepare(synthetic_dataset("test", 1)["image"][0])[None]
    times = []
    for _ in range(30):
        start = time.perf_counter()
        graph.run(inputs)
        times.append(1000 * (time.perf_counter() - start))
    return _percentile(times[5:], 50)


def _calls() -> list[tuple[bytes, str, int]]:
    """Bodies with their content types and the status that is expected: a third of the requests are refused."""
    image = synthetic_dataset("test", 1)["image"][0]
    jpeg = _file(image.resize((500, 375)), "JPEG")
    wanted = {"inputs": base64.b64encode(jpeg).decode(), "parameters": {"top_k": 2, "mask": "rle"}}
    ok, as_json = (jpeg, "image/jpeg", 200), (json.dumps(wanted).encode(), "application/json", 200)
    large = _file(image.resize((5000, 5000)), "JPEG")
    wrong = json.dumps(wanted | {"parameters": {"topk": 2}}).encode()
    bad = [(large, "image/jpeg", 400), (jpeg[:2000], "image/jpeg", 400), (wrong, "application/json", 400)]
    return [call for refused in bad for call in (ok, as_json, refused)]


def _file(image: Any, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def _percentile(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent))


class _Server:
    """The published files in a process of their own, which does not import this package."""

    def __init__(self, place: Path, onnx: Path):
        source, target = Path(modeling_pm_vit.__file__).parent, place / "pm_vit"
        shutil.copytree(source / "serving", target / "serving")
        for path in source.glob("*_pm_vit.py"):
            shutil.copyfile(path, target / path.name)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        settings = {"MODEL": onnx.resolve(), "HOST": "127.0.0.1", "PORT": self.port}
        environment = os.environ | {f"PM_VIT_{name}": str(value) for name, value in settings.items()}
        self._log = (place / "log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pm_vit.serving"],
            cwd=place,
            env=environment | {"MALLOC_ARENA_MAX": "2"},
            stdout=self._log,
            stderr=self._log,
        )

    def __enter__(self) -> "_Server":
        for _ in range(600):
            try:
                self._get("/health")
                return self
            except OSError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.1)
        self.__exit__()
        raise RuntimeError(f"the server did not start: {Path(self._log.name).read_text()}")

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def call(self, body: bytes, kind: str) -> tuple[int, float]:
        """The status and the milliseconds of a request."""
        start = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("POST", "/", body, {"Content-Type": kind})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, 1000 * (time.perf_counter() - start)

    def metrics(self) -> dict[str, float]:
        lines = re.findall(r"^(\w+) (\S+)$", self._get("/metrics"), re.MULTILINE)
        return {name: float(value) for name, value in lines}

    def mib(self) -> float:
        return self.metrics()["process_resident_memory_bytes"] / 2**20

    def _get(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", path)
        text = connection.getresponse().read().decode()
        connection.close()
        return text
