"""Classes with few images: weights of the loss, and an order in which every class comes equally often."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ..data.classes import match_classes
from ..data.label_columns import label_kind, label_names, shown_in
from ..data.rows import Rows
from ..utils.errors import InputError
from .data_arguments import DataArguments

BALANCED = "balanced"


def class_weights(rows: Rows, names: Sequence[str], args: DataArguments) -> torch.Tensor | None:
    """
    The weights that `--class_weights` asks for, `(classes,)`; None for none.

    With one class per image: of the classification loss of its images, 1 in the mean over the images of an epoch, so
    that the mask loss keeps its weight. `balanced`: inverse to the number of images of the class. With several labels
    per image: of the loss where the class is present; `balanced`: images without the class / images with it.

    Args:
        rows: of the training.
        names: of the classes to train.

    Raises:
        InputError: if a weight is given to no class, or is no number above 0; or if classes would be balanced twice.
    """
    if args.class_weights in ([], ["none"]):
        return None
    is_balanced = args.class_weights == [BALANCED]
    if is_balanced and args.balanced_sampling:
        raise InputError("--class_weights balanced and --balanced_sampling correct the same thing: choose one of them.")
    several = label_kind(rows.features.get(args.label_column)) != "class"
    shown = _shown(rows, names, args)
    images = np.bincount([label for labels in shown for label in labels or ()], minlength=len(names)).astype(float)
    count = sum(labels is not None for labels in shown)
    if is_balanced:
        weights = np.divide(count - images if several else count, images, out=np.ones(len(names)), where=images > 0)
        weights[weights == 0] = 1  # a class that all images show
    else:
        given = _given(args.class_weights, names)
        weights = np.array([given.get(name, 1.0) for name in names])
    if not several:
        shares = (images > 0) / (images > 0).sum() if args.balanced_sampling else images / images.sum()
        weights = weights / (weights * shares).sum()
    return torch.tensor(weights, dtype=torch.float32)


def sampled_labels(rows: Rows, args: DataArguments) -> np.ndarray | None:
    """
    The class of each row, `(rows,)`, if `--balanced_sampling` asks for an order in which classes come equally often.

    Raises:
        InputError: if images have several labels, or are read block by block.
    """
    if not args.balanced_sampling:
        return None
    if label_kind(rows.features.get(args.label_column)) != "class":
        raise InputError(
            f"--balanced_sampling needs one class per image, and {rows.name} has several labels, or a single class: "
            "use --class_weights balanced."
        )
    if rows.blocks is not None:
        raise InputError(
            f"--balanced_sampling: {rows.name} is read block by block, so single rows cannot be repeated: use "
            "--class_weights balanced, or parquet files without --streaming."
        )
    return np.array([-1 if label is None else label for label in rows.values(args.label_column)], np.int64)


def _shown(rows: Rows, names: Sequence[str], args: DataArguments) -> list[list[int] | None]:
    """The classes to train that each row shows; None where that is unknown."""
    ids = match_classes(label_names(rows.features, args.label_column), names, rows.name, of="the training set").ids
    found = shown_in(rows, args.label_column)
    return [None if labels is None else [ids[label] for label in labels if 0 <= label < len(ids)] for labels in found]


def _given(values: Sequence[str], names: Sequence[str]) -> Mapping[str, float]:
    """From `NAME=WEIGHT`."""
    given = {}
    for value in values:
        name, is_pair, number = value.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = -1.0
        if not is_pair or not 0 < weight < float("inf"):
            raise InputError(f"--class_weights takes none, balanced, or NAME=WEIGHT, weights above 0; got {value!r}.")
        if name not in names:
            raise InputError(f"--class_weights: there is no class {name!r}; the classes are {', '.join(names[:20])}.")
        given[name] = weight
    return given
