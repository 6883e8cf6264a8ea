from collections.abc import Callable
from typing import NamedTuple

import pytest

from modeling_pm_vit.cli.main import main
from modeling_pm_vit.data.synthetic import CLASSES


class Done(NamedTuple):
    """What a command returned and printed."""

    status: int
    out: str
    err: str


@pytest.fixture
def call(capsys, monkeypatch, tmp_path) -> Callable[..., Done]:
    """Calls `pm-vit` in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # of `--help`
            status = stop.code
        return Done(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def model(tmp_path_factory, make_model, make_processor) -> str:
    """The folder of a tiny PM-ViT with the classes of the built-in images."""
    folder = tmp_path_factory.mktemp("commands") / "model"
    make_model(id2label=dict(enumerate(CLASSES))).save_pretrained(folder)
    make_processor().save_pretrained(folder)
    return str(folder)
