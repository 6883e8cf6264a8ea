"""A whole check for shortcuts: from the names of a model and a dataset to the report."""

from dataclasses import fields
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...explainers.registry import explainers
from ...utils.errors import InputError
from ...utils.fingerprint import place_settings
from ...utils.processes import processes
from ..batch import read_batches
from ..run import class_map_of, open_classifier, open_data
from .arguments import ShortcutArguments
from .classes import ClassShares, summarize_classes
from .measure import ImageShares, maps_of, measure_shares
from .report import example_picture, write_report

_NOTES = [
    "Shares in per cent, means over the images of a class, in brackets 95 % bootstrap intervals. Map: where the model "
    "sees the class. Evidence: by what it recognises the image, after the explainer named below. Off the object: "
    "outside its mask or box and a margin of one patch; a map that is the same everywhere would have the share 'image "
    "off the object'. Border: less than a tenth of the side from the edge.",
    "Object hidden: the box around the object has the mean colour of the rest of the image. A right answer that stays "
    "right was recognised by something else, unless the class is the one that the model names without an object.",
    "A class is named above if an interval lies beyond what it is compared with. It is a reason to look at the images, "
    "not a proof; and what the explainer does not find is not excluded.",
]


def check_shortcuts(arguments: ShortcutArguments) -> list[ClassShares]:
    """
    Measure where map and evidence of each class lie, and write the report to `arguments.folder`.

    Raises:
        NotFoundError, InputError: if model or data cannot be read, or there is no image.
    """
    processes(arguments.device.split(":")[0])
    classifier, processor = open_classifier(arguments.model, arguments.device, command="shortcuts")
    rows, masks, columns = open_data(arguments, arguments.max_samples)
    if not len(rows):
        raise InputError(f"{rows.name} has no images.")
    id2label = classifier.model.config.id2label
    class_map = class_map_of(rows, columns.label, id2label, arguments.class_order)
    indices = np.random.default_rng(arguments.seed).permutation(len(rows))[: arguments.max_samples]
    evidence = explainers()[arguments.explainer]
    source = (processor, rows, masks, columns, class_map)
    found = []
    with tqdm(total=len(indices), desc="shortcuts", unit="image") as progress:
        for batch in read_batches(*source, indices, arguments.batch_size):
            found.append(measure_shares(classifier, evidence, batch))
            progress.update(len(batch))
    shares = ImageShares(
        *(np.concatenate([getattr(one, field.name) for one in found]) for field in fields(ImageShares))
    )
    names = [id2label[index] for index in range(len(id2label))]
    size = (processor.size["height"], processor.size["width"])
    classes = summarize_classes(shares, names, size)
    pictures = {}
    for label, own in zip(np.unique(shares.labels), classes, strict=True):
        places = np.flatnonzero(shares.labels == label)
        order = np.argsort(-np.nan_to_num(shares.evidence_off[places], nan=-1), kind="stable")
        chosen = places[order[: arguments.examples]]
        (batch,) = read_batches(*source, indices[chosen], len(chosen))
        captions = [
            f"{100 * shares.evidence_off[place]:.0f} % of the evidence off the object"
            if np.isfinite(shares.evidence_off[place])
            else "no object"
            for place in chosen
        ]
        pictures[own.name] = example_picture(batch, *maps_of(classifier, evidence, batch), captions)
    settings = {
        "model": Path(arguments.model).name,
        **place_settings("data", arguments.data),
        **{"split": arguments.split, "images": len(indices), "explainer": arguments.explainer, "seed": arguments.seed},
    }
    told = "Settings: " + ", ".join(f"{name} {value}" for name, value in settings.items()) + "."
    title = f"Shortcuts of {settings['model']} on {Path(arguments.data).name} ({arguments.split})"
    write_report(arguments.folder, title, classes, pictures, [*_NOTES, told], settings)
    return classes
