"""A whole calibration: from the names of a model and a dataset to what `config.json` stores, and a report."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...confidence_pm_vit import DISTANCE_SCORES, empty_class_indices
from ...configuration_pm_vit import UNCALIBRATED, PMViTConfig
from ...distance_pm_vit import FeatureDistance
from ...image_processing_pm_vit import PMViTImageProcessor
from ...utils.errors import InputError
from ...utils.fingerprint import place_settings
from ..classifier import Classifier
from ..run import class_map_of, open_classifier, open_data, open_left_out
from .answers import Answers, collect_answers, collect_outputs
from .arguments import CalibrationArguments
from .confidence import Confidence, empty_classes_of, measure_confidence, scores_of
from .report import write_report
from .storage import require_storable, store
from .temperatures import Calibration, calibrate_classes, calibrate_maps
from .unknown_images import LEFT_OUT, images_of, unknown_images


@dataclass(frozen=True)
class Calibrated:
    """
    Args:
        temperatures: of the `"classes"`, and of the `"maps"` where there are masks.
        confidence: how well the model knows what it does not know.
        settings: of the configuration, as they are stored, or are already.
        tables: of the report.
    """

    temperatures: dict[str, Calibration]
    confidence: Confidence
    settings: dict[str, Any]
    tables: list[list[list[str]]]


def calibrate(arguments: CalibrationArguments) -> Calibrated:
    """
    Fit the temperatures of the classes and, where images have masks to the pixel, of the maps; choose the score of
    confidence and its threshold; write all to the model's `config.json`, and a report to `arguments.folder`. With
    `report_only` nothing is fitted and no configuration is changed.

    Raises:
        InputError: if the model is no folder, the split has fewer than two images, or no threshold gives the precision.
    """
    if not arguments.report_only:
        require_storable(Path(arguments.model), arguments.reference_split is not None)
    classifier, processor = open_classifier(arguments.model, arguments.device, command="calibrate")
    config = classifier.model.config
    answers = _answers(arguments, classifier, processor, arguments.split, arguments.max_samples)
    stored = config if arguments.report_only else None
    found = {"classes": calibrate_classes(answers, stored and stored.class_temperature)}
    maps = calibrate_maps(answers, stored and stored.map_temperature)
    if maps is not None:
        found["maps"] = maps
    settings = _settings(found, answers, config, stored)
    distances = _distances(arguments, classifier, processor)
    confidence = _confidence(arguments, classifier, processor, answers, settings, stored, list(distances.values()))
    settings |= {"confidence_score": confidence.score}
    if stored is None:
        distance = distances.get(confidence.score)
        settings |= {"confidence_threshold": confidence.threshold}
        settings |= {"confidence_references": None if distance is None else len(distance.references)}
        store(Path(arguments.model), settings, distance)
    shown = {
        "model": Path(arguments.model).name,
        **place_settings("data", arguments.data),
        "split": arguments.split,
        "images": len(answers),
        "seed": arguments.seed,
    }
    title = f"Calibration of {Path(arguments.model).name} on {Path(arguments.data).name} ({arguments.split})"
    tables = write_report(arguments.folder, title, found, confidence, shown, settings, stored is None)
    return Calibrated(found, confidence, settings, tables)


def _answers(
    arguments: CalibrationArguments,
    classifier: Classifier,
    processor: PMViTImageProcessor,
    split: str,
    max_samples: int | None,
) -> Answers:
    rows, masks, columns = open_data(replace(arguments, split=split), max_samples)
    if len(rows) < 2:
        raise InputError(f"{rows.name} has {len(rows)} images: a calibration needs at least two.")
    class_map = class_map_of(rows, columns.label, classifier.model.config.id2label, arguments.class_order)
    indices = np.random.default_rng(arguments.seed).permutation(len(rows))[:max_samples]
    return collect_answers(
        classifier, processor, rows, masks, columns, class_map, indices, arguments.batch_size, f"split {split}"
    )


def _settings(
    found: dict[str, Calibration], answers: Answers, config: PMViTConfig, stored: PMViTConfig | None
) -> dict[str, Any]:
    if stored is not None:
        return {name: getattr(stored, name) for name in UNCALIBRATED}
    names = {"classes": "class_temperature", "maps": "map_temperature"}
    settings: dict[str, Any] = dict(UNCALIBRATED)
    settings |= {names[kind]: round(calibration.temperature, 6) for kind, calibration in found.items()}
    empty = empty_classes_of(answers)
    return settings | {"empty_classes": [config.id2label[label] for label in empty] or None}


def _distances(
    arguments: CalibrationArguments, classifier: Classifier, processor: PMViTImageProcessor
) -> dict[str, FeatureDistance]:
    """By score: those of the features of `--reference_split`, and the one that is stored, where it was not fitted."""
    found = {}
    if arguments.reference_split is not None:
        reference = _answers(arguments, classifier, processor, arguments.reference_split, arguments.reference_samples)
        of_training = torch.from_numpy(reference.features), torch.from_numpy(reference.labels)
        found = {score: FeatureDistance.fitted(score, *of_training) for score in DISTANCE_SCORES}
    stored: FeatureDistance | None = classifier.model.distance
    return found if stored is None or not arguments.report_only else found | {stored.score: stored.cpu()}


def _confidence(
    arguments: CalibrationArguments,
    classifier: Classifier,
    processor: PMViTImageProcessor,
    answers: Answers,
    settings: dict[str, Any],
    stored: PMViTConfig | None,
    distances: list[FeatureDistance],
) -> Confidence:
    config = PMViTConfig(id2label=classifier.model.config.id2label, empty_classes=settings["empty_classes"])
    common = (settings["class_temperature"], settings["map_temperature"], empty_class_indices(config), distances)
    side = max(processor.size["height"], processor.size["width"])
    unknown = {}
    for source in arguments.unknown:
        count, column, seed = arguments.unknown_samples, arguments.image_column, arguments.seed
        if source == LEFT_OUT:
            images = images_of(open_left_out(arguments), count, column, seed)
        else:
            images = unknown_images(source, count, arguments.unknown_split, column, side, seed)
        name = Path(source).name
        outputs = collect_outputs(classifier, processor, images, arguments.batch_size, name)
        unknown[name] = scores_of(outputs, *common)
    score = arguments.score if arguments.score != "auto" else None
    return measure_confidence(
        answers,
        scores_of(answers, *common),
        unknown,
        score if stored is None else stored.confidence_score,
        None if stored is None else stored.confidence_threshold,
        arguments.coverage,
        arguments.precision,
    )
