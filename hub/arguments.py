"""The options of `pm-vit publish`."""

from dataclasses import dataclass
from pathlib import Path

from modeling_pm_vit.utils.arguments import option

_CARD, _REPOSITORY, _SPACES = "model card", "repository", "Spaces"


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
    license_name: str | None = option(
        None, help="Name of a licence that the Hub has no name for, with --license other.", metavar="NAME", group=_CARD
    )
    license_link: str | None = option(
        None, help="Address of the text of that licence, with --license other.", metavar="URL", group=_CARD
    )
    intended_use: str | None = option(
        None,
        help="What the model is for, and for whom, in your words. Default: the card says that it is not stated.",
        metavar="TEXT",
        group=_CARD,
    )
    limits: str | None = option(
        None,
        help="What the model must not be used for, and where it is known to fail, in your words. Default: the card "
        "says that it is not stated.",
        metavar="TEXT",
        group=_CARD,
    )
    benchmark: str | None = option(
        None,
        help="The benchmark of the Hub that the evaluation of the training used: Hub id of its dataset and its task, "
        "as user/dataset:task. The first metric is then also written in the format of its leaderboard. Default: none.",
        metavar="ID:TASK",
        group=_CARD,
    )
    base_model: str | None = option(
        None,
        help="Hub id of the model that the training started from. Default: that of the run, if it is a Hub id.",
        metavar="ID",
        group=_CARD,
    )
    onnx: Path | None = option(
        None,
        help="Folder that `pm-vit export` wrote. Published as onnx/, with a container and a handler "
        "that need no torch.",
        metavar="FOLDER",
        group=_REPOSITORY,
    )
    onnx_repo: str | None = option(
        None,
        help="Also publish the graphs as a repository of their own, which transformers.js loads by its name: "
        "user/name-ONNX. Needs --onnx.",
        metavar="ID",
        group=_REPOSITORY,
    )
    private: bool = option(False, help="Make what is created private.", group=_REPOSITORY)
    static_space: str | None = option(
        None,
        help="Also publish a page that runs the model in the browser, as this static Space: user/name. Needs --onnx "
        "and Node.js.",
        metavar="ID",
        group=_SPACES,
    )
    gradio_space: str | None = option(
        None,
        help="Also publish a Gradio app with the model, as this Space on ZeroGPU: user/name. It shows the images of "
        "--examples; without them, from a clone, CC0 photographs of a cat and of a cup.",
        metavar="ID",
        group=_SPACES,
    )
    dry_run: bool = option(
        False,
        help="Do everything except the upload. Needs no network, unless npm must install the packages of the page for "
        "--static_space.",
    )
    output_dir: Path | None = option(
        None,
        help="New folder for what is uploaded, to look at: repository, onnx-repository, static-space, gradio-space. "
        "Default: it is not kept.",
    )
