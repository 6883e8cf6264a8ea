"""The options of `pm-vit publish`."""

from dataclasses import dataclass
from pathlib import Path

from modeling_pm_vit.utils.arguments import option

_CARD, _REPOSITORY = "model card", "repository"


@dataclass
class PublishArguments:
    """What to publish, and where: see `pm-vit publish --help`."""

    model: Path = option(help="Folder that the training wrote.", positional=True)
    repo_id: str = option(help="Repository on the Hub: user/name. Created if missing.", positional=True)
    tag: str = option(help="Tag of this version, such as v1.0. An existing tag is never moved.", group=_REPOSITORY)
    dataset: str = option(help="Hub id or name of the training data.", group=_CARD)
    license: str = option(
        help="Licence of the weights, as the Hub names it: apache-2.0, cc-by-nc-4.0, ..., other or unknown. The "
        "licence of the training data can bind it.",
        old_names=["--licence"],
        metavar="NAME",
        group=_CARD,
    )
    examples: list[str] = option(
        default_factory=list,
        help="Example images of the model's classes, shown and uploaded: files, folders or glob patterns. You must be "
        "allowed to publish them. Default: none.",
        metavar="PATH",
        group=_CARD,
    )
    base_model: str | None = option(
        None,
        help="Hub id of the model that the training started from. Default: that of the run, if it is a Hub id.",
        group=_CARD,
    )
    onnx: Path | None = option(
        None, help="Folder that `pm-vit export` wrote. Published as onnx/.", metavar="FOLDER", group=_REPOSITORY
    )
    private: bool = option(False, help="Make the repository private when it is created.", group=_REPOSITORY)
    dry_run: bool = option(False, help="Do everything except the upload. Needs no network.")
