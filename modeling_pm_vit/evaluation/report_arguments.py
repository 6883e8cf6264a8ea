"""The options of commands that report on a model: `pm-vit calibrate` and `pm-vit shortcuts`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ..utils.arguments import device_option, option, require_device
from ..utils.threads import threads_option
from .data_arguments import DataOptions

SPEED = "speed"  # title of a group of options


@dataclass(kw_only=True)
class ReportOptions(DataOptions):
    """A model, labelled images, and where the report on them goes: below `runs/REPORTS`, as a subclass names it."""

    reports: ClassVar[str]

    model: str = option(help="Folder or Hub id of a PM-ViT.", positional=True)
    output_dir: Path | None = option(
        None, help="Folder of the report. Default: a folder in runs/ with the name of the model."
    )
    seed: int = option(0, help="Seed of the choice of images.")
    batch_size: int = option(16, at_least=1, help="Images in a batch.", group=SPEED)
    num_threads: int | None = threads_option(SPEED)
    device: str = device_option(SPEED)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_device(self.device)

    @property
    def folder(self) -> Path:
        """Where the report is written."""
        return self.output_dir or Path("runs") / self.reports / Path(self.model).name
