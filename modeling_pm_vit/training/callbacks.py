"""What a run shows while it goes: both terms of the loss, its speed, what was skipped, and the same images again and
again with what the model sees in them.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from PIL import Image
from torchvision.transforms.v2 import functional as F  # noqa: N812
from transformers import Trainer, TrainerCallback
from transformers.integrations import TensorBoardCallback

from ..data.dataset import ExampleDataset
from ..image_processing_pm_vit import IGNORE
from ..visualization import figure, overlay


class Meter:
    """Sums over the steps since it was last read, for all processes together."""

    def __init__(self):
        self.skipped: list[str] = []
        self._reset()

    def _reset(self) -> None:
        self._terms: list[torch.Tensor] = []
        self._steps = self._images = 0
        self._waited = 0.0
        self._since = time.perf_counter()

    def step(self, batches: Iterator[dict]) -> Iterator[dict]:
        """The batches of one step, timed while they are waited for; notes of bad samples are taken out."""
        self._steps += 1
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self._waited += time.perf_counter() - start
            if batch is None:
                return
            self.skipped += [message for message in batch.pop("bad_samples", []) if message not in self.skipped]
            self._images += int((batch["labels"] != IGNORE).sum())
            yield batch

    def add_losses(self, classification: torch.Tensor, mask: torch.Tensor) -> None:
        """Of one micro-batch, as shares of the loss of the whole step."""
        self._terms.append(torch.stack((classification.detach().float(), mask.detach().float())))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time within counts for nothing."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._since += time.perf_counter() - start

    def read(self, accelerator) -> dict[str, float]:
        """
        Means since the last reading: `classification_loss`, `mask_loss`, `images_per_second` over all processes and
        `data_wait_share` of the time. Every process has to call it.
        """
        if not self._terms:
            return {}
        elapsed = time.perf_counter() - self._since
        losses = torch.stack(self._terms).sum(0)
        counts = torch.tensor([self._images, self._waited / elapsed, len(self.skipped)], device=losses.device)
        sums = accelerator.reduce(torch.cat((losses, counts)), "sum").tolist()
        values = {
            "classification_loss": sums[0] / self._steps,
            "mask_loss": sums[1] / self._steps,
            "images_per_second": round(sums[2] / elapsed, 2),
            "data_wait_share": round(sums[3] / accelerator.num_processes, 4),
        }
        if sums[4]:
            values["skipped_samples"] = int(sums[4])
        self._reset()
        return values


class OverlayCallback(TrainerCallback):
    """
    After each evaluation a picture of the same images, tinted where the model sees their classes: to
    `output_dir/overlays` and to TensorBoard.

    Args:
        drawing: of the evaluation set, whose first images are shown.
        count: how many.
    """

    def __init__(self, trainer: Trainer, drawing: ExampleDataset, count: int = 8):
        self.trainer = trainer
        rows, examples = drawing.sources[0]
        self.processor, self.images, self.labels = examples.processor, [], []
        for index in range(min(count, len(rows))):
            try:
                row = rows[index]
                image, label = examples.image(row), examples.model_label(row)
            except (OSError, ValueError):
                continue
            self.images.append(image)
            self.labels.append(label)

    @torch.no_grad()
    def on_evaluate(self, args, state, control, model, **kwargs) -> None:
        if not self.images or not state.is_world_process_zero or self.trainer.is_fsdp_enabled:
            return
        pixel_values = self.processor(self.images, return_tensors="pt")["pixel_values"].to(model.device, model.dtype)
        outputs = model(pixel_values, explain_labels=torch.tensor(self.labels, device=model.device).unsqueeze(1))
        sizes = [(image.height, image.width) for image in self.images]
        explanations = self.processor.post_process_masks(outputs, sizes)
        names = model.config.id2label
        panels = [
            [(names[label], image), ("", overlay(image, explanation["heatmaps"][0].numpy()))]
            for image, label, explanation in zip(self.images, self.labels, explanations, strict=True)
        ]
        rows = [[*left, *right] for left, right in zip(panels[::2], [*panels[1::2], []], strict=False)]
        picture = figure(rows, side=160, scale=False)
        folder = Path(args.output_dir) / "overlays"
        folder.mkdir(exist_ok=True)
        picture.save(folder / f"step-{state.global_step:07}.png")
        self._to_tensorboard(picture, state.global_step)

    def _to_tensorboard(self, picture: Image.Image, step: int) -> None:
        for callback in self.trainer.callback_handler.callbacks:
            if isinstance(callback, TensorBoardCallback) and callback.tb_writer is not None:
                callback.tb_writer.add_image("overlays", F.pil_to_tensor(picture), step)


def table(metrics: dict[str, float], places: dict[str, Path]) -> str:
    """The figures of an evaluation, and where everything lies, as lines of text."""
    shown = ("accuracy", "patch_iou", "energy_pointing_game", "loss", "classification_loss", "mask_loss")
    lines = [f"{name:>20} {metrics[f'eval_{name}']:.3f}" for name in shown if f"eval_{name}" in metrics]
    return "\n".join([*lines, *(f"{name:>20} {path}" for name, path in places.items())])
