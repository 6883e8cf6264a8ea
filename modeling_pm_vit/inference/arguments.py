"""The options of `pm-vit explain`."""

from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import Literal

import torch

from ..dicom_pm_vit import check_window
from ..serving.exported import find_export
from ..tiles_pm_vit import OVERLAP
from ..utils.arguments import device_option, option, require_device
from ..utils.errors import InputError
from ..utils.pretrained import require_pretrained
from ..utils.threads import threads_option, usable_cores
from .files import IMAGE_SUFFIXES

_WHAT, _LARGE, _RECORDS, _SPEED = "explanations", "large images", "records", "speed"
_MANY = "millions of images, to parquet files"
_ON_CPU, _ON_GPU = 4, 16  # images in a batch: docs/experiments/throughput.md
_MOST_THREADS = 16  # that read for a GPU


@dataclass
class ExplainArguments:
    """
    What to explain, and how: see `pm-vit explain --help`.

    Raises:
        InputError: if options contradict one another.
    """

    model: str = option(
        "",
        help="Folder or Hub id of a PM-ViT; with --backend onnx a folder that `pm-vit export` wrote. Default: the "
        "checkpoint that ships with the package.",
        positional=True,
    )
    images: list[str] = option(
        default_factory=list, help="Image files, folders (searched to any depth) or glob patterns.", positional=True
    )
    output_dir: Path = option(Path("explanations"), help="Folder to write.", old_names=["--output"])
    format: Literal["page", "json", "parquet"] | None = option(
        None,
        help="page: overlays, a JSON and an HTML page; json: the JSON only; parquet: parquet files. Default: page for "
        "images, parquet for --data.",
    )
    top_k: int = option(1, at_least=1, help="Explain the K most probable classes.", group=_WHAT, metavar="K")
    labels: list[str] = option(
        default_factory=list,
        help="Explain these classes in every image instead, by name.",
        group=_WHAT,
        metavar="NAME",
    )
    threshold: float = option(
        0.5, at_least=0, at_most=1, help="Probability of the contour, the mask and the box.", group=_WHAT
    )
    instances: int = option(
        0,
        at_least=0,
        help="Also list up to N connected parts of each mask in the JSON, the largest first, with box, area and score.",
        group=_WHAT,
        metavar="N",
    )
    min_area: int = option(1, at_least=1, help="Smallest area of --instances, in pixels of the image.", group=_WHAT)
    keep_aspect_ratio: bool = option(
        False,
        help="Keep the proportions of images that would be squeezed to a square or cropped. For long, narrow images.",
        group=_WHAT,
    )
    tile: int | None = option(
        None,
        at_least=1,
        help="Explain images of which a side is longer than this in tiles of this height in pixels, for small details "
        "in large images. The height of the model's input shows them at full resolution. Default: the whole image.",
        group=_LARGE,
        metavar="PIXELS",
    )
    overlap: float = option(
        OVERLAP, at_least=0, at_most=0.9, help="Share of a tile's side that the next tile shows again.", group=_LARGE
    )
    window: list[float] = option(
        default_factory=list,
        help="Of grey images: the value that is black and the one that is white, in all files (--window -160 240); "
        "of DICOM in units of its modality. Default: the window of a DICOM file, otherwise the range of each file.",
        group=_WHAT,
        metavar="VALUE",
    )
    opacity: float = option(
        0.6, at_least=0, at_most=1, help="Opacity of the tint where the probability is 1.", group=_WHAT
    )
    evidence: bool = option(
        False,
        help="Instead, write a record of each image that `pm-vit verify` can check: hashes, settings, scores, maps, "
        "and the predicted class against the expected one. --output_dir has to be empty.",
        group=_RECORDS,
    )
    expected: str | None = option(
        None,
        help="With --evidence: the expected classes, a CSV file with the columns file and label (several rows for "
        "several classes of an image), or 'folders': the name of the image's folder. Default: compare with the second "
        "most probable class.",
        group=_RECORDS,
        metavar="FILE",
    )
    batch_size: int | None = option(
        None, at_least=1, help="Images in a batch. Default: 4 on a CPU, 16 on a GPU.", group=_SPEED
    )
    num_workers: int | None = option(
        None,
        at_least=1,
        help="Threads that read files, and threads that write. Default: 2; with a GPU one per core, at most 16.",
        group=_SPEED,
        old_names=["--workers"],
    )
    num_threads: int | None = threads_option(_SPEED, old_names=["--threads"])
    backend: Literal["torch", "onnx"] = option("torch", help="PyTorch or ONNX Runtime.", group=_SPEED)
    precision: Literal["fp32", "bf16", "fp16", "int8"] = option(
        "fp32",
        help="torch: fp32, bf16 (twice as fast on CPUs that support it) or fp16; onnx: fp32, fp16 or int8.",
        group=_SPEED,
        old_names=["--dtype"],
    )
    compile: bool = option(
        False, help="Use torch.compile, on a GPU with CUDA graphs: one minute at the start, then faster.", group=_SPEED
    )
    device: str = device_option(_SPEED)
    data: str | None = option(
        None,
        help="Source instead of image files: a folder, a Hub id, or a pattern of parquet or tar files.",
        group=_MANY,
    )
    split: str = option("train", help="Split of --data.", group=_MANY)
    max_samples: int | None = option(
        None, at_least=1, help="Only the first N rows of --data. Default: all.", group=_MANY, old_names=["--size"]
    )
    streaming: bool = option(False, help="Stream parquet files without a local copy.", group=_MANY)
    image_column: str = option("image", help="Column with the images.", group=_MANY)
    rows_per_shard: int = option(1000, at_least=1, help="Rows in a parquet file.", group=_MANY)

    def __post_init__(self) -> None:
        require_device(self.device)
        if _is_image(self.model) or (not self.images and not self.data and _has_images(self.model)):
            self.images, self.model = [self.model, *self.images], ""
        if bool(self.images) == bool(self.data):
            raise InputError("give either images or --data.")
        if self.data and self.format in ("page", "json"):
            raise InputError(f"--data is explained to parquet files only: leave out --format {self.format}.")
        try:
            self.grey_window = check_window(self.window) if self.window else None
        except ValueError as error:
            raise InputError(f"--{error}") from error
        if self.instances and (self.data or self.format == "parquet"):
            raise InputError(
                "--instances are listed in the JSON of image files: leave out --data and --format parquet."
            )
        self.format = self.format or ("parquet" if self.data else "page")
        on_cpu = torch.device(self.device).type == "cpu"
        self.images_at_once = self.batch_size or (_ON_CPU if on_cpu else _ON_GPU)
        self.workers = self.num_workers or (2 if on_cpu else max(2, min(int(usable_cores()), _MOST_THREADS)))
        if self.evidence and (self.format != "page" or self.compile):
            raise InputError("--evidence writes its own page: leave --format, --data and --compile out.")
        if self.evidence and (self.labels or self.top_k != 1):
            raise InputError("--evidence records all classes: leave --labels and --top_k out, give --expected.")
        if self.expected and not self.evidence:
            raise InputError("--expected needs --evidence.")
        if self.tile and self.format == "parquet":
            raise InputError("--tile works with --format page and json: a parquet file holds maps of one size.")
        if self.tile and self.keep_aspect_ratio:
            raise InputError("--tile keeps the proportions of large images: leave --keep_aspect_ratio out.")
        self.model = self.model or require_pretrained()


def _is_image(name: str) -> bool:
    """Whether this is an image file or a pattern of files, not a model."""
    path = Path(name)
    return (path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES) or (has_magic(name) and not path.exists())


def _has_images(name: str) -> bool:
    """Whether this is a folder, but not that of a model."""
    folder = Path(name)
    if not name or not folder.is_dir() or find_export(folder):
        return False
    return not any((folder / file).is_file() for file in ("config.json", "adapter_config.json"))
