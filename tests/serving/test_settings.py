"""Settings of the server from the environment, and the cores that it may use."""

import os
from pathlib import Path

import pytest

from modeling_pm_vit.serving.settings import Settings, read_settings, usable_cores


def test_variables_with_the_prefix_are_settings():
    environment = {"PM_VIT_MODEL": "runs/onnx", "PM_VIT_PORT": "80", "PATH": "/bin"}
    assert read_settings(environment) == Settings(model=Path("runs/onnx"), port=80)
    assert read_settings({}) == Settings()


@pytest.mark.parametrize(
    "environment, message",
    [
        ({"PM_VIT_PORTS": "80"}, r"PM_VIT_PORTS is no setting; there are PM_VIT_MODEL, .*PM_VIT_PORT, "),
        ({"PM_VIT_PORT": "http"}, "PM_VIT_PORT must be a number, got 'http'"),
        ({"PM_VIT_MAX_BATCH": "-1"}, "PM_VIT_MAX_BATCH must be a number, got '-1'"),
    ],
)
def test_wrong_variables_are_refused(environment, message):
    with pytest.raises(ValueError, match=message):
        read_settings(environment)


@pytest.mark.parametrize("quota, most", [("150000 100000", 1), ("50000 100000", 1), ("max 100000", 10**6), ("", 10**6)])
def test_cores_are_those_of_the_process_within_the_limit_of_the_container(tmp_path, quota, most):
    path = tmp_path / "cpu.max"
    if quota:
        path.write_text(quota)
    assert usable_cores(path) == min(most, len(os.sched_getaffinity(0)))
