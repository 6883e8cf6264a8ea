"""
What a colleague needs to know first: right how often for each class, what is missed and what it is called, the object
found how often, its outline how good, on how many images.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..metrics.class_report import ClassReport
from ..metrics.intervals import proportion

FEW_CLASSES = 10  # with more, top-5 accuracy is told
_LISTED = 20  # classes in the table; of more those that are recognised least
_NAMED = 3  # classes in a sentence
_FOUND_CASES = (("recognised", "object_found_if_recognised"), ("missed", "object_found_if_missed"))

Summary = dict[str, Any]  # values of JSON


def class_summary(
    report: ClassReport,
    names: Sequence[str],
    overlaps: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    recognised: np.ndarray | None = None,
    top5: float | None = None,
) -> Summary:
    """
    The numbers as they are kept in files. What has no value is left out.

    Args:
        report: of the classifier.
        names: of the classes.
        overlaps: intersection over union of map (probability at least 0.5) and mask of the true class of each image,
            `(n,)`; NaN where there is no mask, or it is empty.
        labels: the true class of these images, `(n,)`.
        recognised: whether this is the class that is predicted, `(n,)` boolean.
        top5: share of the images whose class is among the first five.

    Returns:
        `images`, the values of the set and, as `classes`, those of each class: values by name, and their 95 % intervals
        `[low, high]` by name as `intervals`. Of a class also `missed_as`, the number of its images by the class that
        they were taken for. Of maps `objects`, the number of images whose mask shows the class, `object_found`, the
        share of them where the map reaches 0.5 on the object, and `outline_iou`, the mean overlap; both also
        `_if_recognised` and `_if_missed`: a class that is not recognised is rarely found.
    """
    of_set = _values(report.overall)
    if top5 is not None and len(names) > FEW_CLASSES:
        of_set["top5_accuracy"] = float(top5)
    classes = {}
    for c, name in enumerate(names):
        of = {"images": int(report.images[c])} | _values({key: found[c] for key, found in report.classes.items()})
        if np.isfinite(report.thresholds[c]):
            of["threshold_at_specificity"] = float(report.thresholds[c])
        if report.confusion is not None and report.images[c]:
            missed = {n: int(k) for n, k in zip(names, report.confusion[c], strict=True) if k and n != name}
            of["missed_as"] = dict(sorted(missed.items(), key=lambda pair: -pair[1]))
        if overlaps is not None and labels is not None and recognised is not None:
            _add_maps(of, overlaps[labels == c], recognised[labels == c])
        classes[name] = of
    if overlaps is not None and recognised is not None:
        _add_maps(of_set, overlaps, recognised)
    return {"images": report.count, "specificity": report.specificity, **of_set, "classes": classes}


def summary_lines(summary: Mapping[str, Any]) -> list[str]:
    """The summary in a few sentences."""
    classes: Mapping[str, Any] = summary["classes"]
    if "accuracy" in summary:
        right = round(summary["accuracy"] * summary["images"])
        text = (
            f"Right on {right} of {summary['images']} images ({_percent(summary, 'accuracy')}). Mean over the classes "
        )
        lines = [text + f"(balanced accuracy): {_percent(summary, 'balanced_accuracy')}."]
    else:
        text = f"On {summary['images']} images, means over the classes: AUROC {_percent(summary, 'auroc')}"
        lines = [text + f", F1 {_percent(summary, 'macro_f1')}."]
    if "top5_accuracy" in summary:
        lines.append(f"The right class is among the first five on {_percent(summary, 'top5_accuracy')} of the images.")
    missed = [(name, of) for name, of in classes.items() if of.get("recall", 1) < 1]
    for name, of in sorted(missed, key=lambda pair: pair[1]["recall"])[:_NAMED]:
        right, taken = round(of["recall"] * of["images"]), listed_counts(of.get("missed_as", {}))
        text = f"{name}: {right} of {of['images']} images recognised ({_percent(of, 'recall')}); "
        lines.append(text + f"{of['images'] - right} missed" + (f", called {taken}." if taken else "."))
    unknown = [name for name, of in classes.items() if not of["images"]]
    if unknown:
        lines.append(f"Nothing is known about {_listed(unknown)}: no image shows it.")
    if "object_found" in summary:
        text = f"Maps, on {summary['objects']} images with a mask: the object is found in "
        lines.append(f"{text}{_percent(summary, 'object_found')}; outline (IoU) {summary['outline_iou']:.2f}.")
        found = [(of["object_found"], name) for name, of in classes.items() if "object_found" in of]
        if len(found) > 1:
            worst = min(found)[1]
            of = classes[worst]
            text = f"Found least: {worst}, {_percent(of, 'object_found')} of {of['objects']} images; outline (IoU) "
            cases = [f"{100 * of[key]:.1f} % of the {case}" for case, key in _FOUND_CASES if key in of]
            lines.append(f"{text}{of['outline_iou']:.2f}. Found in {', '.join(cases)} ones.")
    return lines


def summary_table(summary: Mapping[str, Any]) -> list[list[str]]:
    """The head and a row for each class; of more than 20 classes those that are recognised least."""
    columns = [
        ("recognised (recall)", "recall", _percent),
        ("right when named (precision)", "precision", _percent),
        ("F1", "f1", _percent),
        ("AUROC", "auroc", _percent),
        (f"recall at specificity {100 * summary['specificity']:g} %", "sensitivity_at_specificity", _percent),
        ("object found", "object_found", _percent),
        ("outline (IoU)", "outline_iou", lambda of, key: f"{of[key]:.2f}" if key in of else "-"),
    ]
    classes: Mapping[str, Any] = summary["classes"]
    shown = list(classes)
    if len(shown) > _LISTED:
        shown = sorted((n for n in shown if "recall" in classes[n]), key=lambda n: classes[n]["recall"])[:_LISTED]
    used = [column for column in columns if any(column[1] in classes[name] for name in shown)]
    has_missed = any("missed_as" in of for of in classes.values())
    head = ["class", "images", *(title for title, _, _ in used), *(["missed, called"] if has_missed else [])]
    rows = [head]
    for name in shown:
        of = classes[name]
        missed = [listed_counts(of.get("missed_as", {})) or "-"] if has_missed else []
        rows.append([name, str(of["images"]), *(text(of, key) for _, key, text in used), *missed])
    return rows


def listed_counts(counts: Mapping[str, int]) -> str:
    """`benign (18), normal (2)`; of many the first."""
    listed = [f"{name} ({count})" for name, count in list(counts.items())[:_NAMED]]
    return ", ".join(listed) + (f" and {len(counts) - _NAMED} more" if len(counts) > _NAMED else "")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _values(estimates: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """From `(3,)` each to values and, where there are any, their intervals."""
    known = {name: found.tolist() for name, found in estimates.items() if np.isfinite(found[0])}
    values: dict[str, Any] = {name: found[0] for name, found in known.items()}
    intervals = {name: found[1:] for name, found in known.items() if np.isfinite(found[1:]).all()}
    return values | {"intervals": intervals}


def _add_maps(values: dict[str, Any], overlaps: np.ndarray, recognised: np.ndarray) -> None:
    """What the maps of images with these overlaps say."""
    has_object = np.isfinite(overlaps)
    known = overlaps[has_object]
    if not len(known):
        return
    found = proportion((known > 0).sum(), np.array(len(known))).tolist()
    values |= {"objects": len(known), "object_found": found[0], "outline_iou": float(known.mean())}
    values["intervals"] = values["intervals"] | {"object_found": found[1:]}
    for name, chosen in (("recognised", recognised[has_object]), ("missed", ~recognised[has_object])):
        if chosen.any():
            values[f"object_found_if_{name}"] = float((known[chosen] > 0).mean())
            values[f"outline_iou_if_{name}"] = float(known[chosen].mean())


def _percent(values: Mapping[str, Any], name: str) -> str:
    """`57.1 % [42.2, 70.9]`."""
    if name not in values:
        return "-"
    text = f"{100 * values[name]:.1f} %"
    interval = values["intervals"].get(name)
    return text + (f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]" if interval else "")
