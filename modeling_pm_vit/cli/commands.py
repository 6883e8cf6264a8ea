"""The commands of `pm-vit`: a line about each, and the libraries of optional extras that it needs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """
    Attributes:
        summary: one line.
        work: what needs the libraries, for the message if one is missing.
        extra: of the package, that installs them.
        libraries: names of the modules.
        if_interrupted: what is left after Ctrl-C, and how to continue.
    """

    summary: str
    work: str = ""
    extra: str = ""
    libraries: tuple[str, ...] = ()
    if_interrupted: str = ""


_CONTINUES = "What is complete is kept: rerun the same command to continue."
_DATA = ("accelerate", "datasets", "torchvision")

COMMANDS = {
    "explain": Command(
        "Classes, scores and maps of photographs: a page with overlays, a JSON, or parquet files.",
        if_interrupted="Complete parquet files (--data) are kept: rerun the same command to continue.",
    ),
    "verify": Command("Check records that `pm-vit explain --evidence` wrote, by computing them again."),
    "train": Command(
        "Train a PM-ViT, from scratch or from a ViT checkpoint, with masks for few of the images.",
        "training",
        "train",
        (*_DATA, "yaml", "tensorboard", "torchmetrics", "matplotlib"),
    ),
    "evaluate": Command(
        "Evaluate a PM-ViT, or a stock ViT classifier, and explanations of it: tables, curves and a page.",
        "evaluation",
        "eval",
        (*_DATA, "matplotlib", "scipy", "sklearn", "cv2", "torchmetrics"),
        _CONTINUES,
    ),
    "calibrate": Command(
        "Calibrate the probabilities of a PM-ViT on held-out images.",
        "calibration",
        "eval",
        (*_DATA, "matplotlib", "scipy", "sklearn", "cv2"),
    ),
    "shortcuts": Command(
        "Check whether a PM-ViT recognises classes by their objects, or by something else.",
        "checking for shortcuts",
        "eval",
        (*_DATA, "matplotlib", "scipy", "sklearn", "cv2"),
    ),
    "convert": Command("Convert a Vision Transformer of transformers or timm to a PM-ViT."),
    "pseudo-masks": Command(
        "Make masks of labelled photographs that have none, to train on.",
        "making pseudo masks",
        "train",
        _DATA,
        _CONTINUES,
    ),
    "compose-scenes": Command(
        "Paste objects with masks on photographs: scenes of several classes, to train and evaluate on.",
        "composing scenes",
        "train",
        ("datasets",),
    ),
    "export": Command(
        "Export a PM-ViT to ONNX and compare the graphs with PyTorch.",
        "export",
        "export",
        ("onnx", "onnxruntime", "onnxscript"),
    ),
    "publish": Command(
        "Publish a trained PM-ViT on the Hub of Hugging Face.", "publishing", "hub", ("huggingface_hub",)
    ),
    "prepare-imagenet-s": Command(
        "Write ImageNet-1k with the masks of ImageNet-S to parquet files.",
        "preparing ImageNet-S",
        "train",
        ("datasets", "pyarrow"),
        _CONTINUES,
    ),
}
