"""One arm with one seed: trained, judged, and its figures kept."""

import json
from collections.abc import Sequence
from pathlib import Path

from ..data.columns import Columns
from ..evaluation.results import collect_results
from ..evaluation.run import Request, prepare, run
from ..training.arguments import parse_arguments
from ..training.run import train
from .arms import ARMS

EXPLAINER = "pm-vit"
PROTOCOLS = ("classification", "localization", "pointing", "map_statistics", "grid_2x2")


def run_arm(name: str, seed: int, flags: Sequence[str], output: Path, grids: int = 20) -> dict[str, float]:
    """
    Train the arm and judge PM-ViT's maps on the split that the config evaluates on. What `output/NAME/seed-N.json`
    holds already is not made again.

    Args:
        name: of an arm in `ARMS`.
        seed: of the initialisation, the order of the images and their augmentation.
        flags: of `scripts/train.py`: config, model, data.
        output: folder of the study.
        grids: how many the grid pointing game plays.

    Returns:
        Figures by the names that the protocols give them; `top1` of the model as it was trained.

    Raises:
        ValueError: if there is no such arm.
    """
    if name not in ARMS:
        raise ValueError(f"there is no arm {name!r}; there are {', '.join(ARMS)}.")
    file = output / name / f"seed-{seed}.json"
    if file.exists():
        return json.loads(file.read_text())["figures"]
    model_args, data_args, args = _arguments(name, seed, flags, output)
    trained = train(model_args, data_args, args, form=ARMS[name].form)
    boxes = data_args.mask_encoding == "box"
    request = Request(
        model=args.output_dir,
        output=Path(args.output_dir) / "evaluation",
        data=data_args.eval_data or data_args.data,
        split=data_args.eval_split,
        mask_encoding=data_args.mask_encoding,
        columns=Columns(
            data_args.image_column,
            data_args.label_column,
            data_args.mask_column,
            data_args.mask_column if boxes else None,
        ),
        explainers=[EXPLAINER],
        protocols=PROTOCOLS,
        grids=grids,
        device=str(args.device),
        bf16=args.bf16,
    )
    evaluation = prepare(request)
    run(evaluation, request)
    figures = {
        figure: result.value
        for found in collect_results(evaluation).values()
        for figure, result in next(iter(found.values())).items()
    }
    figures["top1"] = trained["eval_accuracy"]
    file.write_text(json.dumps({"arm": name, "seed": seed, "flags": list(flags), "figures": figures}, indent=1))
    return figures


def _arguments(name: str, seed: int, flags: Sequence[str], output: Path):
    """The run's arguments: the config's, changed by the arm, without what only someone watching needs."""
    folder = output / name / f"seed-{seed}"
    fixed = {
        "output_dir": folder,
        "feature_folder": output / "features",
        "seed": seed,
        "eval_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "overlays": 0,
    }
    changed = [text for key, value in (fixed | dict(ARMS[name].settings)).items() for text in (f"--{key}", str(value))]
    return parse_arguments([*flags, *changed])
