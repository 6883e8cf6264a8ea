"""Stops a run whose loss or weights are NaN or infinite, before they are evaluated or saved."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..utils.errors import StoppedError
from .checkpoints import last_complete

if TYPE_CHECKING:
    from .trainer import PMViTTrainer

# fp16 skips steps whose gradients overflow and halves its scale each time, from 2^16: after so many it is 2^-16.
MAX_SKIPPED_STEPS = 32


class DivergedError(StoppedError):
    """The loss or the weights are NaN or infinite."""


class DivergenceCheck(TrainerCallback):
    """
    Reads the losses since the last log where a run logs, evaluates, saves or ends, and the weights where it evaluates,
    saves or ends. Other steps cost nothing, and the first loss that is not finite is found all the same.

    Steps that fp16 skips because of an overflow are normal; `MAX_SKIPPED_STEPS` in succession are not.

    Raises:
        DivergedError: in all processes alike; names the step, the epoch and the rows of the batch.
    """

    def __init__(self, trainer: "PMViTTrainer"):
        self.trainer = trainer
        self.skipped, self.has_learned = 0, False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._is_fp16():
            skips = self.trainer.accelerator.optimizer_step_was_skipped
            self.skipped, self.has_learned = (self.skipped + 1 if skips else 0), self.has_learned or not skips
            if self.skipped >= MAX_SKIPPED_STEPS:
                raise self._overflow(state)
        self._check_where_read(state, control)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._check_where_read(state, control)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.skipped and not self.has_learned:
            raise self._overflow(state)
        self._check(state, weights=True)

    def _check_where_read(self, state: TrainerState, control: TrainerControl) -> None:
        is_kept = control.should_evaluate or control.should_save
        if is_kept or control.should_log:
            self._check(state, weights=is_kept)

    def _check(self, state: TrainerState, weights: bool) -> None:
        accelerator = self.trainer.accelerator
        steps, losses = self.trainer.meter.losses()
        finite = [torch.ones((), dtype=torch.bool, device=losses.device)]
        if not self._is_fp16():
            finite.append(losses.isfinite().all())
        if weights:
            finite += [all_finite(self._weights()).to(losses.device)]
        wrong = (~torch.stack(finite).all()).float().to(accelerator.device)
        if not accelerator.reduce(wrong, "sum"):
            return
        bad = (~losses.isfinite()).any(1).nonzero().flatten().tolist() if not self._is_fp16() else []
        found = (state.global_step, "") if not bad else self._where(steps, losses, bad[0])
        # The process whose batch it was knows the step; the losses of the others are finite until the next one.
        step, batch = min(gather_object([found]), key=lambda place: (place[0], not place[1]))
        if batch:
            raise self.error("the loss of", step, f"is {batch}")
        raise self.error("the weights after", step, "are NaN or infinite")

    def _where(self, steps: list[int], losses: torch.Tensor, index: int) -> tuple[int, str]:
        """The step of a micro-batch, and the value of its loss with the rows of its images."""
        step = steps[index]
        value = losses[index].sum().item()
        return step, f"{value}, in a batch of {self.trainer.rows_of(step, index - steps.index(step))}"

    def _weights(self) -> Iterable[torch.Tensor]:
        yield from self.trainer.model.parameters()
        if self.trainer.average is not None:
            yield from self.trainer.average.weights.values()

    def _is_fp16(self) -> bool:
        return self.trainer.accelerator.scaler is not None

    def error(self, what: str, step: int, found: str) -> DivergedError:
        """The error of values that are not finite: `what` they are of, and what was `found`."""
        place = f"step {step} of {self.trainer.state.max_steps} (epoch {step / self.trainer.epoch_steps:.2f})"
        return DivergedError(
            f"{what} {place} {found}. {self._kept()} Use a lower --learning_rate (this run: "
            f"{self.trainer.args.learning_rate:g}) or a longer --warmup_steps."
        )

    def _overflow(self, state: TrainerState) -> DivergedError:
        return DivergedError(
            f"the gradients of the last {self.skipped} steps, up to step {state.global_step}, overflowed in fp16: "
            f"nothing is learned. {self._kept()} Use --bf16 instead of --fp16, or a lower --learning_rate."
        )

    def _kept(self) -> str:
        checkpoint = last_complete(Path(str(self.trainer.args.output_dir)))
        return "No model was saved." if checkpoint is None else f"The last complete checkpoint is {checkpoint}."


def all_finite(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """Whether all values are finite, as a tensor that is not read yet; of sharded tensors this process's part."""
    parts = [getattr(tensor, "to_local", lambda tensor=tensor: tensor)() for tensor in tensors]
    return torch.stack([part.isfinite().all() for part in parts if part.is_floating_point()]).all()
