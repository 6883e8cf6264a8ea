"""The options of `pm-vit publish`."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class PublishArguments:
    model: Path = field(metadata={"positional": True, "help": "Folder that the training wrote."})
    repo_id: str = field(metadata={"positional": True, "help": "Repository on the Hub: user/name. Created if missing."})
    tag: str = field(metadata={"help": "Tag of this version, such as v1.0. An existing tag is never moved."})
    dataset: str = field(metadata={"help": "Hub id or name of the training data."})
    examples: list[Path] = field(metadata={"help": "Images for the model card. You must be allowed to publish them."})
    licence: str = field(default="apache-2.0", metadata={"help": "Licence of the weights."})
    base_model: str | None = field(
        default=None, metadata={"help": "Hub id of the model that the training started from."}
    )
    onnx: Path | None = field(
        default=None, metadata={"help": "Folder that `pm-vit export` wrote, to publish as onnx/."}
    )
    private: bool = field(default=False, metadata={"help": "Make the repository private when it is created."})
    dry_run: bool = field(default=False, metadata={"help": "Do everything but the upload; needs no network."})
