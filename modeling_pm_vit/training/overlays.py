"""Pictures of the PM-ViT maps of the same evaluation images, after each evaluation of a run."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torchvision.transforms.v2 import functional as F  # noqa: N812
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import TensorBoardCallback

from ..data.dataset import ExampleDataset
from ..data.drawing import drawn_order
from ..data.label_columns import shown_in
from ..modeling_pm_vit import PMViTForImageClassification
from ..visualization import figure, overlay

_SHARED, _PRIVATE = "overlays", "_overlays"
_TRIES = 4  # images that may be tried for each that is shown


def overlay_folder(args: TrainingArguments) -> Path:
    """
    The folder of the pictures. With `push_to_hub`, `Trainer` uploads `output_dir` with the files of TensorBoard, but
    nothing whose name starts with an underscore. Evaluation images are uploaded only with `push_overlays`.
    """
    is_private = args.push_to_hub and not getattr(args, "push_overlays", False)
    return Path(str(args.output_dir)) / (_PRIVATE if is_private else _SHARED)


class OverlayCallback(TrainerCallback):
    """
    After each evaluation, overlays the maps of the labels on the same images and writes the picture to
    [`overlay_folder`] and, if it may be uploaded, to TensorBoard.

    Args:
        dataset: the evaluation set; images of as many classes as possible are shown, and those that cannot be read are
            left out.
        count: number of images.
    """

    def __init__(self, trainer: Trainer, dataset: ExampleDataset, count: int = 8):
        self.trainer = trainer
        rows, transform = dataset.sources[0]
        self.processor = transform.processor
        self.images: list[Image.Image] = []
        self.labels: list[int] = []
        order = drawn_order(shown_in(rows, transform.label_column), dataset.seed, rows.blocks)
        for index in order[: _TRIES * count].tolist():
            if len(self.images) == count:
                break
            try:
                row = rows[index]
                image, label = transform.image(row), transform.model_label(row)
            except (OSError, ValueError):
                continue
            self.images.append(image)
            self.labels.append(label)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: PMViTForImageClassification | None = None,
        **kwargs: Any,
    ) -> None:
        if model is None or not self.images or not state.is_world_process_zero or self.trainer.is_fsdp_enabled:
            return
        pixel_values = self.processor(self.images, return_tensors="pt")["pixel_values"]
        prediction = model.predict(pixel_values, torch.tensor(self.labels).unsqueeze(1))
        sizes = [(image.height, image.width) for image in self.images]
        explanations = self.processor.post_process_explanations(prediction, sizes, model.config.id2label)
        panels = [
            [(explanation["labels"][0], image), ("", overlay(image, explanation["heatmaps"][0].numpy()))]
            for image, explanation in zip(self.images, explanations, strict=True)
        ]
        rows = [[*left, *right] for left, right in zip(panels[::2], [*panels[1::2], []], strict=False)]
        picture = figure(rows, side=160, scale=False)
        folder = overlay_folder(args)
        folder.mkdir(exist_ok=True)
        picture.save(folder / f"step-{state.global_step:07}.png")
        if folder.name == _SHARED:
            self._to_tensorboard(picture, state.global_step)

    def _to_tensorboard(self, picture: Image.Image, step: int) -> None:
        for callback in self.trainer.callback_handler.callbacks:
            if isinstance(callback, TensorBoardCallback) and callback.tb_writer is not None:
                callback.tb_writer.add_image("overlays", F.pil_to_tensor(picture), step)
