"""The options of `pm-vit export`."""

from dataclasses import dataclass
from pathlib import Path

from ..utils.arguments import option
from .folder import FILES


@dataclass
class ExportArguments:
    """What to export: see `pm-vit export --help`."""

    model: str = option(help="Folder or Hub id of a PM-ViT.", positional=True)
    output_dir: Path = option(help="Folder to write.", old_names=["--output"], old_position=True)
    precision: list[str] = option(
        default_factory=list,
        help="Precisions of the graphs; fp32 is always written. Default: all that agree with PyTorch.",
        choices=FILES,
    )
    images: list[str] = option(
        default_factory=list,
        help="Images to compare on: files, folders or glob patterns. Default: unseen images of the built-in set.",
        metavar="PATH",
        group="comparison with PyTorch",
    )
    max_samples: int | None = option(
        None,
        at_least=1,
        help="Number of images to compare on. Default: all of --images; 500 of the built-in set.",
        old_names=["--count"],
        group="comparison with PyTorch",
    )
