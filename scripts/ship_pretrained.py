"""Put a trained PM-ViT into the package: `modeling_pm_vit/pretrained`, half precision, with its model card.

    python scripts/ship_pretrained.py runs/tiny_imagenet --training "pm-vit train configs/tiny_imagenet.yaml" \
        --limits "How well its maps fit: docs/experiments/few-masks.md."

The weights are stored in half precision and computed with in single precision. The code of the package is theirs, so
none travels with them. Exit status: 0, or 2 for a wrong call.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors.torch import load_file, save_file

from hub.model_card import read_values
from modeling_pm_vit.conversion.checkpoints import load_model, load_processor
from modeling_pm_vit.utils.arguments import ArgumentParser, option
from modeling_pm_vit.utils.errors import InputError, PMViTError
from modeling_pm_vit.utils.files import write_json
from modeling_pm_vit.utils.pretrained import PRETRAINED
from modeling_pm_vit.utils.tables import markdown_table

MOST_BYTES = 12_000_000  # of the weights: it is downloaded with the package
_OF_REMOTE_CODE = ("auto_map", "custom_pipelines")
_SHOWN = ("num_train_epochs", "per_device_train_batch_size", "learning_rate", "weight_decay", "seed", "ema_decay")
_CARD = """---
license: other
library_name: transformers
pipeline_tag: image-classification
tags: [pm-vit, explainability, vision]
---

# The checkpoint that ships with PM-ViT

A small PM-ViT for trying the package without a download: {classes} classes of {data}, images of {size} x {size}
pixels, patches of {patch} x {patch}, {layers} layers, hidden size {hidden},
{parameters:.1f} million parameters, {bytes:.1f} MB in half precision.

```python
import modeling_pm_vit

model = modeling_pm_vit.PMViTForImageClassification.from_pretrained(modeling_pm_vit.PRETRAINED)
model.explain("photo.jpg", top_k=2).save("explained.jpg")
```

## Training

{images} images, {masks} of them with a mask or box. Command:

```bash
{training}
```

{settings}
## Evaluation

{evaluation}
{limits}

## Limits

- **Research use only.** It was trained on images that their owners licensed, if at all, for research (Tiny ImageNet, a
  part of ImageNet). The code of the package is Apache-2.0; that licence does not extend to what was learned from these
  images.
- It knows {classes} classes and no other: of a photograph of something else it names the most similar class, often
  with confidence. A map shows where the model sees a class. It does not prove that the class is there.
- It sees a photograph at {size} x {size} pixels: small objects are lost, and no map has more detail than
  {grid} x {grid} patches.
- **Bias.** ImageNet's photographs and labels come from searches of the web, most of them in English: places, people and
  objects of North America and Europe are over-represented, and some classes show people in clothes or uniforms. Do not
  use the model to judge people.
- It is not good enough for an application. [Train on your own photographs](https://pm-vit.github.io/pm-vit).

## Classes

{names}.
"""


@dataclass
class ShipArguments:
    model: Path = option(help="Folder that the training wrote.", positional=True)
    training: str = option(help="The command that trained it, for the model card.")
    limits: str = option("", help="A sentence with a link to the experiment, for the model card.")
    output_dir: Path = option(PRETRAINED, help="Folder to write; what it holds is replaced.")


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        parser = ArgumentParser(ShipArguments, command="ship_pretrained.py", description=__doc__)
        written = ship(parser.parse(arguments or sys.argv[1:]))
    except PMViTError as error:
        print(f"ship_pretrained.py: {error}", file=sys.stderr)
        return 2
    print(f"{written}: {sum(path.stat().st_size for path in written.iterdir()) / 1e6:.1f} MB")
    return 0


def ship(given: ShipArguments) -> Path:
    """
    Raises:
        InputError, NotFoundError: if there is no such model, or it has more than 12 MB.
    """
    model, processor = load_model(given.model), load_processor(given.model)
    with TemporaryDirectory() as place:
        folder = Path(place)
        processor.save_pretrained(folder)
        model.save_pretrained(folder)  # for the names of the weights
        config = _without(folder / "config.json") | {"dtype": "float32"}
        weights = load_file(folder / "model.safetensors")
        weights = {name: weight.half() for name, weight in weights.items()}
        save_file(weights, folder / "half.safetensors", {"format": "pt"})
        size = (folder / "half.safetensors").stat().st_size
        if size > MOST_BYTES:
            raise InputError(f"{given.model}: the weights have {size / 1e6:.1f} MB in half precision, at most 12 ship.")
        shutil.rmtree(given.output_dir, ignore_errors=True)
        given.output_dir.mkdir(parents=True)
        write_json(given.output_dir / "config.json", config)
        write_json(given.output_dir / "preprocessor_config.json", _without(folder / "preprocessor_config.json"))
        shutil.copyfile(folder / "half.safetensors", given.output_dir / "model.safetensors")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    card = _card(given, config, parameters, size)
    (given.output_dir / "README.md").write_text(card, encoding="utf-8")
    return given.output_dir


def _without(file: Path) -> dict[str, Any]:
    """A configuration without the entries of code that travels with weights."""
    return {key: value for key, value in _read(file).items() if key not in _OF_REMOTE_CODE}


def _card(given: ShipArguments, config: dict[str, Any], parameters: int, size: int) -> str:
    summary, training = (_read(given.model / name) for name in ("training_summary.json", "training_args.json"))
    values = read_values(_read(given.model / "eval_results.json"))
    rows = [
        ["metric", "value", "meaning"],
        *([metric.name, f"{value:.3f}", metric.meaning] for metric, value in values),
    ]
    settings = [["setting", "value"], *([key, f"{training[key]}"] for key in _SHOWN if key in training)]
    train = summary.get("train", {})
    names = list(config["id2label"].values())
    return _CARD.format(
        classes=len(names),
        data=summary.get("data", "its training data"),
        size=config["image_size"],
        patch=config["patch_size"],
        grid=config["image_size"] // config["patch_size"],
        layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        parameters=parameters / 1e6,
        bytes=size / 1e6,
        images=f"{train['images']:,}" if "images" in train else "An unknown number of",
        masks=f"{train['masks']:,}" if "masks" in train else "none",
        training=given.training,
        settings=markdown_table(settings) if len(settings) > 1 else "",
        evaluation=markdown_table(rows) if values else "The training recorded no evaluation.\n",
        limits=given.limits,
        names=", ".join(names),
    )


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


if __name__ == "__main__":
    sys.exit(main())
