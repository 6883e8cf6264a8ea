"""`Trainer` whose runs resume exactly after an interruption."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from transformers import Trainer
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import rotate_checkpoints

from ..utils.errors import InputError
from ..utils.files import write_text
from .averaging import WeightAverage
from .checkpoints import ARGUMENTS, mark_complete, mark_incomplete
from .lora import is_adapted, save_base_config
from .meter import Meter
from .run_arguments import PMViTTrainingArguments
from .usable_rows import UsableRows


class ResumableTrainer(Trainer):
    """
    [`Trainer`] that writes checkpoints whole, with averaged weights if there are any, and loads them without a loss.

    Attributes:
        meter, usable_rows, average: made by the subclass.
    """

    # Narrower than in `Trainer`, which is for all kinds of models and arguments.
    model: Any
    args: PMViTTrainingArguments
    meter: Meter
    usable_rows: UsableRows
    average: WeightAverage | None = None

    def averaged(self) -> AbstractContextManager[None]:
        """A context in which the model has the averaged weights, if there are any."""
        return nullcontext() if self.average is None else self.average.applied()

    def train(self, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any) -> Any:
        if resume_from_checkpoint and self.average is not None:
            self.average.load(Path(resume_from_checkpoint))
        output = super().train(resume_from_checkpoint, *args, **kwargs)
        self.usable_rows.at_the_end()
        return output

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        # `save_pretrained` writes ViT's weights under their old names, which only `from_pretrained` translates.
        # Trainer would find none of them and silently continue with new weights.
        if is_adapted(self.model) != (Path(resume_from_checkpoint) / "adapter_config.json").is_file():
            raise InputError(f"{resume_from_checkpoint}: continue with the same --lora_rank as before.")
        if self.is_fsdp_enabled or is_adapted(self.model):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        saved = type(self.model).from_pretrained(resume_from_checkpoint, dtype="auto")
        self.model.load_state_dict(saved.state_dict())

    def _load_best_model(self) -> None:
        self._load_from_checkpoint(str(self.state.best_model_checkpoint))
        if self.average is not None:
            self.average.load(Path(str(self.state.best_model_checkpoint)))

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        # FSDP2 replaces the model's class by a subclass, whose source would be saved as the model's code.
        model_class = type(self.model)
        if issubclass(model_class, FSDPModule):
            self.model.__class__ = model_class.__bases__[-1]
        try:
            super()._save(output_dir, state_dict)
        finally:
            self.model.__class__ = model_class
        # Trainer saves its arguments as a pickle; a folder of a model should be readable and safe to load.
        if self.args.should_save:
            folder = Path(output_dir or str(self.args.output_dir))
            (folder / TRAINING_ARGS_NAME).unlink(missing_ok=True)
            if is_adapted(self.model):
                save_base_config(self.model, folder)
            write_text(folder / ARGUMENTS, self.args.to_json_string())

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """
        As in [`Trainer`], but older checkpoints are removed only when the new one is complete. Nothing is saved of a
        run that has not seen an image yet.
        """
        if self.usable_rows.none_yet:
            return
        checkpoint = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            mark_incomplete(checkpoint)
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            with self.meter.paused():
                super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        if self.args.should_save and self.average is not None:
            self.average.save(checkpoint)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            mark_complete(checkpoint)
            rotate_checkpoints(
                output_dir=str(self.args.output_dir),
                save_total_limit=limit,
                best_model_checkpoint=self.state.best_model_checkpoint,
                use_mtime=True,
            )
