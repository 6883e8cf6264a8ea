"""Pseudo masks from what a user names, a source and a method, to a folder to train on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transformers import pipeline

from ..data.classes import class_names, match_classes
from ..data.columns import Columns
from ..data.sources import open_rows
from ..image_processing_pm_vit import PMViTImageProcessor
from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.fingerprint import fingerprint
from ..utils.processes import processes
from .contact_sheet import write_contact_sheet
from .features import FeatureKind
from .method import Method
from .runner import Counts, count, write_masks
from .segmenter import Segmenter
from .self_training import SelfTraining
from .shards import ShardFolder
from .tokencut import TokenCut


@dataclass
class Request:
    """What a user asks for. Attributes as in `scripts/pseudo_masks.py --help`."""

    data: str
    model: str
    output: Path
    method: str = "tokencut"
    split: str = "train"
    size: int | None = None
    streaming: bool = False
    columns: Columns = field(default_factory=Columns)
    min_score: float = 0.0
    image_size: int | None = None
    features: FeatureKind = "key"
    layer: int = -1
    tau: float | None = None
    refine: bool = False
    threshold: float = 0.5
    segment_labels: Sequence[str] = ()
    rows_per_shard: int = 500
    batch_size: int = 16
    workers: int = 2
    device: str = "cpu"

    def __post_init__(self):
        if self.method not in METHODS:
            raise ValueError(f"there is no method {self.method!r}; there are {', '.join(METHODS)}.")
        if not self.split.replace("_", "").replace("-", "").isalnum():
            raise ValueError(f"the split names the files: it must be a plain name, got {self.split!r}.")


def make_pseudo_masks(request: Request) -> tuple[Counts, Path] | None:
    """
    Write the shards that are missing below `request.output`, by all processes.

    Returns:
        In the first process the counts and a page of examples; `None` in the others.

    Raises:
        ValueError, OSError: if the source, the model or a row cannot be used, or the folder holds other masks.
    """
    process = processes(request.device.split(":")[0])
    device = str(process.device) if process.num_processes > 1 else request.device
    rows = open_rows(request.data, request.split, request.size, request.streaming, request.columns.label)
    names = class_names(rows.features, request.columns.label)
    method = METHODS[request.method](request, names, device)
    settings = {
        "source": request.data,
        "split": request.split,
        "method": request.method,
        "model": request.model,
        "weights": fingerprint(method.model),
        "min_score": request.min_score,
        **method.settings,
    }
    with process.main_process_first():
        shards = ShardFolder(request.output, request.split, len(rows), request.rows_per_shard, names, settings)
    write_masks(rows, method, shards, request.columns, process, request.min_score, request.batch_size, request.workers)
    if not process.is_main_process:
        return None
    counts = count(shards)
    return counts, write_contact_sheet(shards, counts)


def _vit(request: Request, device: str) -> tuple[PMViTForImageClassification, PMViTImageProcessor]:
    """The model, and its processor at the size that was asked for."""
    model = PMViTForImageClassification.from_pretrained(request.model).to(device).eval()
    height, width = model.vit.embeddings.image_size
    if request.image_size:
        height = width = request.image_size
    if height % (patch := model.config.patch_size) or width % patch:
        raise ValueError(f"--image-size must be a multiple of the patch size {patch}, got {request.image_size}.")
    processor = PMViTImageProcessor.from_pretrained(
        request.model, size={"height": height, "width": width}, do_center_crop=False, patch_size=patch
    )
    return model, processor


def _tokencut(request: Request, names: list[str], device: str) -> Method:
    model, processor = _vit(request, device)
    return TokenCut(model, processor, request.features, request.layer, request.tau, request.refine)


def _own_explanation(request: Request, names: list[str], device: str) -> Method:
    model, processor = _vit(request, device)
    own = [model.config.id2label[index] for index in range(model.config.num_labels)]
    return SelfTraining(model, processor, match_classes(names, own, request.data), request.threshold)


def _segmenter(request: Request, names: list[str], device: str) -> Method:
    return Segmenter(pipeline(request.method, model=request.model, device=device), names, request.segment_labels)


METHODS: dict[str, Callable[[Request, list[str], str], Method]] = {
    "tokencut": _tokencut,
    "self": _own_explanation,
    "image-segmentation": _segmenter,
    "mask-generation": _segmenter,
}
