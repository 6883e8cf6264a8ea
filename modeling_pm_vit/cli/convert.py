"""Convert a Vision Transformer of transformers or timm to a PM-ViT with the same features.

    pm-vit convert facebook/dinov2-small --output_dir models/pm-vit-s14 --labels names.txt --image_size 224
    pm-vit convert vit_small_patch16_224.augreg_in21k --output_dir models/pm-vit-s16 --num_labels 10

The features of the converted model are compared with the source's before anything is written.
"""

from collections.abc import Sequence

from transformers.utils import logging

from ..conversion.arguments import ConvertArguments
from ..conversion.folder import convert_to_folder
from ..utils.arguments import ArgumentParser


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(ConvertArguments, command="pm-vit convert", description=__doc__)
    given: ConvertArguments = parser.parse(arguments)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model, _, difference, new_classifier = convert_to_folder(given)
    config = model.config
    print(
        f"{given.source} -> {given.output_dir}: {config.num_hidden_layers} layers, hidden size {config.hidden_size}, "
        f"patch {config.patch_size}, image {config.image_size}, {config.num_labels} classes\n"
        f"largest difference from the source: {difference:.1e}\n"
        f"classifier: {'new, train it before use' if new_classifier else 'kept'}\n"
        f"load with: PMViTForImageClassification.from_pretrained({str(given.output_dir)!r})\n"
        f"           PMViTImageProcessor.from_pretrained({str(given.output_dir)!r})\n"
        f"next: {_next_step(config.pooling, new_classifier)}:\n"
        f"           pm-vit train --model {given.output_dir} --data photos --output_dir runs/photos"
    )
    return 0


def _next_step(pooling: str | None, new_classifier: bool) -> str:
    if pooling == "cls":
        return "its maps mean nothing before it is trained with masks or boxes, of some of the images"
    if new_classifier:
        return "train it; its maps add up to its logits, and find objects better with masks or boxes of some images"
    return "its maps add up to its logits; to find objects they need masks or boxes, of some of the images"
