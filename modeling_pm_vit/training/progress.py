"""What shows how far a run is: a progress bar that knows cached features, and TensorBoard curves that resume."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm
from transformers import ProgressCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import TensorBoardCallback

if TYPE_CHECKING:
    from .trainer import PMViTTrainer


class CachedFeaturesProgress(ProgressCallback):
    """A progress bar of a run with cached features, most of whose later steps are much faster than the first."""

    def __init__(self, trainer: "PMViTTrainer"):
        super().__init__()
        self.trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        if self.training_bar is not None:
            self.training_bar.close()
            self.training_bar = _Bar(total=state.max_steps, initial=state.global_step, dynamic_ncols=True)
            self.current_step = self.first_step = state.global_step
            self.missing, self.started = self.trainer.missing_features(), time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.training_bar is not None:
            cache = self.trainer.cached_features
            self.training_bar.seconds_left = seconds_left(
                elapsed=time.perf_counter() - self.started,
                steps=state.global_step - self.first_step,
                steps_left=state.max_steps - state.global_step,
                computing=cache.seconds,
                computed=cache.computed,
                missing=self.missing - cache.computed,
            )
        super().on_step_end(args, state, control, **kwargs)


def seconds_left(
    elapsed: float, steps: int, steps_left: int, computing: float, computed: int, missing: int
) -> float | None:
    """
    How long a run will still take.

    Args:
        elapsed: seconds of `steps` steps, evaluations included.
        computing: seconds of them in which the features of `computed` batches were computed.
        missing: batches whose features still have to be computed.

    Returns:
        `None` if it is not known how long it takes to compute features.

    Example:
        >>> seconds_left(elapsed=22, steps=2, steps_left=10, computing=20, computed=2, missing=3)
        40.0
    """
    if missing > 0 and not computed:
        return None
    each = computing / computed if computed else 0.0
    return max(0, missing) * each + steps_left * (elapsed - computing) / steps


class _Bar(tqdm):  # type: ignore[type-arg]
    """Shows `seconds_left`, and the mean speed of the steps that are left."""

    seconds_left: float | None = None

    @property
    def format_dict(self) -> dict[str, Any]:
        values = dict(super().format_dict)
        if self.seconds_left and self.total:
            values["rate"] = (self.total - self.n) / self.seconds_left
        return values


class ResumedTensorBoard(TensorBoardCallback):
    """A resumed run continues the curves of the run before it, and replaces their points after the checkpoint."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero and state.global_step and self.tb_writer is None:
            # The names of these files begin with the time at which they were opened.
            files = (Path(str(args.output_dir)) / "runs").glob("*/events.out.tfevents.*")
            newest = max(files, key=lambda file: file.name, default=None)
            if self.logging_dir is None and newest is not None:
                self.logging_dir = str(newest.parent)
            if self.logging_dir is not None:
                self.tb_writer = self._SummaryWriter(self.logging_dir, purge_step=state.global_step + 1)
        super().on_train_begin(args, state, control, **kwargs)
