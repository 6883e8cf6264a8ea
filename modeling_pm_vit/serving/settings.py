"""The settings of the server, from environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

PREFIX = "PM_VIT_"
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Settings:
    """
    Each is set by the variable of its name in capitals, with `PM_VIT_` before it.

    Args:
        model: folder that `pm-vit export` wrote.
        precision: of the graph: fp32, fp16 or int8.
        sha256: of the graph's file. The server does not start with another one. Default: the hash in `model.json`.
        commit: of the repository, shown by `/health`.
        host, port: to listen at.
        threads: of ONNX Runtime. Default: as many as this process may use cores.
        max_batch: requests that are computed together.
        max_waiting: requests that wait or are computed; more are refused with status 503.
        max_body: bytes of the body of a request.
        max_bytes: of the bodies of all requests; more are refused with status 503.
    """

    model: Path = Path("onnx")
    precision: str = "fp32"
    sha256: str = ""
    commit: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    threads: int = 0
    max_batch: int = 8
    max_waiting: int = 64
    max_body: int = 32 * 2**20
    max_bytes: int = 256 * 2**20


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Raises ValueError if a variable with the prefix is not a setting, or a number is none."""
    given = {name.removeprefix(PREFIX): value for name, value in environment.items() if name.startswith(PREFIX)}
    known = {field.name.upper(): field for field in fields(Settings)}
    if unknown := sorted(set(given) - set(known)):
        raise ValueError(f"{PREFIX}{unknown[0]} is no setting; there are {', '.join(PREFIX + name for name in known)}.")
    values: dict[str, Any] = {}
    for name, value in given.items():
        kind: Any = type(known[name].default)
        if kind is int and not (value.isascii() and value.isdigit()):
            raise ValueError(f"{PREFIX}{name} must be a number, got {value!r}.")
        values[name.lower()] = kind(value)
    return Settings(**values)


def usable_cores(quota: Path = _QUOTA) -> int:
    """Cores of this process: those that it may run on, at most as many as the container's limit gives time of."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        limit, period = quota.read_text().split()
        return max(1, min(cores, int(limit) // int(period)))
    except (OSError, ValueError):  # no container, or no limit ("max")
        return cores
