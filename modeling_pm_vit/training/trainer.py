"""`Trainer` whose loss is exact however a batch is split, and which goes on from a kill as if there had been none."""

from contextlib import nullcontext
from pathlib import Path

import torch
from accelerate.utils import convert_to_fp32
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.utils.data import DataLoader
from transformers import Trainer
from transformers.trainer_utils import rotate_checkpoints

from ..data.collation import Collator
from ..data.dataset import ExampleDataset
from ..image_processing_pm_vit import IGNORE
from .averaging import WeightAverage
from .cached_features import CachedFeatureDataset, FrozenLayers
from .callbacks import Meter, OverlayCallback
from .checkpoints import mark_complete, mark_incomplete
from .metrics import explanation_metrics
from .optimization import parameter_groups


class EpochLoader(DataLoader):
    """
    A `DataLoader` whose batches depend on the epoch.

    Args:
        cycle: the batches of the first so many epochs come again and again; by default all differ.
    """

    def __init__(self, *args, cycle: int | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.cycle = cycle

    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch % self.cycle if self.cycle else epoch)


class PMViTTrainer(Trainer):
    """
    [`Trainer`] for PM-ViT on [`ExampleDataset`]s. Logs both terms of the loss and the speed (see [`Meter`]), and
    evaluates [`explanation_metrics`] with the averaged weights, if there are any.

    Args:
        collator: of the training batches.
        second_rate: share of the training set's second source in an epoch.
        frozen: compute these layers once for the batches of the first `args.feature_epochs` epochs, which come again
            and again; in one process only.
        features: folder of what they gave.
    """

    def __init__(
        self,
        *args,
        collator: Collator | None = None,
        second_rate: float = 0.0,
        frozen: FrozenLayers | None = None,
        features: Path | None = None,
        **kwargs,
    ):
        super().__init__(*args, data_collator=Collator(), compute_metrics=explanation_metrics, **kwargs)
        self.collator, self.second_rate = collator or Collator(), second_rate
        self.frozen, self.features = frozen, features
        if frozen is not None and self.args.world_size > 1:
            raise ValueError(f"features are kept (--feature_epochs) by one process, got {self.args.world_size}.")
        self.label_smoother = None  # it would take the labels from the model, which needs them for its maps
        self.meter = Meter()
        self.average = None
        if self.args.ema_decay:
            if self.is_fsdp_enabled:
                raise ValueError("averaged weights (--ema_decay) do not go with FSDP, which shards them.")
            self.average = WeightAverage(self.model, self.args.ema_decay)
            self.add_callback(self.average)
        if self.args.overlays and self.eval_dataset is not None:
            self.add_callback(OverlayCallback(self, self.eval_dataset, self.args.overlays))

    def get_train_dataloader(self) -> DataLoader:
        drawing, size = self.train_dataset, self._train_batch_size
        if self.frozen is None:
            return self._loader(drawing, size, self.collator, True, self.second_rate)
        return EpochLoader(
            CachedFeatureDataset(lambda draws: self.collator([drawing[d] for d in draws]), self.frozen, self.features),
            batch_sampler=drawing.batches(size, second_rate=self.second_rate),
            collate_fn=dict,
            cycle=self.args.feature_epochs,
        )

    def get_eval_dataloader(self, eval_dataset: ExampleDataset | None = None) -> DataLoader:
        drawing = self.eval_dataset if eval_dataset is None else eval_dataset
        return self._loader(drawing, self.args.eval_batch_size, self.data_collator, False)

    def _loader(self, drawing: ExampleDataset, batch_size: int, collator: Collator, shuffle: bool, rate: float = 0.0):
        # Not prepared by Accelerate: each process has its own batches already, and no row twice.
        workers = self.args.dataloader_num_workers
        return EpochLoader(
            drawing,
            batch_sampler=drawing.batches(batch_size, self.args.process_index, self.args.world_size, shuffle, rate),
            collate_fn=collator,
            num_workers=workers,
            pin_memory=self.args.dataloader_pin_memory,
            persistent_workers=bool(workers) and shuffle and self.args.dataloader_persistent_workers,
            prefetch_factor=self.args.dataloader_prefetch_factor if workers else None,
        )

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.args.layer_decay in (None, 1) or self.optimizer is not None:
            return super().create_optimizer(model)
        model = self.model if model is None else model
        cls, settings = self.get_optimizer_cls_and_kwargs(self.args, model)
        groups = parameter_groups(
            model,
            self.model.config.num_hidden_layers,
            self.args.learning_rate,
            self.args.layer_decay,
            self.args.weight_decay,
            self.get_decay_parameter_names(model),
        )
        self.optimizer = cls(groups, **settings)
        return self.optimizer

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        return super().get_batch_samples(self.meter.step(epoch_iterator), num_batches, device)

    def _get_num_items_in_batch(self, batch_samples, device):
        count = super()._get_num_items_in_batch(batch_samples, device)
        return count if count is None else count.clamp(min=1)  # all of a batch may have been skipped

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The mean over all images of the step, in whatever parts they come."""
        other_labels, shares = inputs.pop("other_labels", None), inputs.pop("label_shares", None)
        run = self._finish if "tokens" in inputs else model
        loss, outputs = super().compute_loss(run, inputs, return_outputs=True, num_items_in_batch=num_items_in_batch)
        classification = outputs.classification_loss
        smoothing = self.args.label_smoothing_factor
        if model.training and (smoothing or other_labels is not None):
            classification = mixed_cross_entropy(outputs.logits, inputs["labels"], other_labels, shares, smoothing)
            classification = classification / num_items_in_batch
            # Trainer has multiplied the loss, as the gradients will be averaged over the processes.
            loss = loss + (classification - outputs.classification_loss) * self.accelerator.num_processes
        if model.training:
            self.meter.add_losses(classification.sum(), outputs.mask_loss.sum())
        return (loss, outputs) if return_outputs else loss

    def _finish(self, **inputs):
        """Behind the frozen layers, in the precision that Accelerate gives to a whole model."""
        with self.accelerator.autocast():
            return convert_to_fp32(self.frozen.finish(**inputs))

    def log(self, logs: dict[str, float], *args, **kwargs) -> None:
        if "loss" in logs:
            logs |= self.meter.read(self.accelerator)
        super().log(logs, *args, **kwargs)

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """What [`explanation_metrics`] takes, of one batch."""
        inputs.pop("bad_samples", None)
        with torch.no_grad():
            inputs = self._prepare_inputs(inputs)
            outputs = model(**inputs, num_items_in_batch=1)  # sums, not means
        losses = torch.zeros(len(outputs.logits), 3, device=outputs.logits.device)
        losses[0] = torch.stack((outputs.loss, outputs.classification_loss, outputs.mask_loss))
        maps = outputs.mask_logits[:, 0].float().sigmoid()
        return None, (outputs.logits.argmax(-1), maps, losses), (inputs["labels"], inputs["mask_labels"][:, 0])

    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        with self.meter.paused(), self.averaged():
            return super().evaluate(*args, **kwargs)

    def averaged(self):
        """A context in which the model has the averaged weights, if there are any."""
        return nullcontext() if self.average is None else self.average.applied()

    def train(self, resume_from_checkpoint: str | None = None, **kwargs):
        if resume_from_checkpoint and self.average is not None:
            self.average.load(Path(resume_from_checkpoint))
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None) -> None:
        # `save_pretrained` writes ViT's weights under their old names, which only `from_pretrained` translates;
        # Trainer would find none of them, and go on with fresh ones.
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        saved = type(self.model).from_pretrained(resume_from_checkpoint, dtype="auto")
        self.model.load_state_dict(saved.state_dict())

    def _load_best_model(self) -> None:
        self._load_from_checkpoint(self.state.best_model_checkpoint)
        if self.average is not None:
            self.average.load(Path(self.state.best_model_checkpoint))

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        # FSDP2 derives a class of its own from the model's; its source would be saved as the model's code.
        given = type(self.model)
        if issubclass(given, FSDPModule):
            self.model.__class__ = given.__bases__[-1]
        try:
            super()._save(output_dir, state_dict)
        finally:
            self.model.__class__ = given

    def _save_checkpoint(self, model, trial) -> None:
        """As in [`Trainer`], but older checkpoints go only when the new one is known to be whole."""
        checkpoint = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
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
                output_dir=self.args.output_dir,
                save_total_limit=limit,
                best_model_checkpoint=self.state.best_model_checkpoint,
                use_mtime=True,
            )


def mixed_cross_entropy(
    logits: torch.Tensor,
    labels: torch.Tensor,
    other_labels: torch.Tensor | None = None,
    shares: torch.Tensor | None = None,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """
    The sum over the images of the cross-entropy with `shares` of `labels` and the rest of `other_labels`, each
    smoothed (Szegedy et al., CVPR 2016).

    Args:
        logits: `(batch, num_labels)`.
        labels, other_labels: `(batch,)`; an image whose label is -100 counts for nothing.
        shares: `(batch,)`, in [0, 1].
    """

    def entropy(target):
        return nn.functional.cross_entropy(
            logits.float(), target, ignore_index=IGNORE, reduction="none", label_smoothing=smoothing
        )

    if other_labels is None or shares is None:
        return entropy(labels).sum()
    return (shares * entropy(labels) + (1 - shares) * entropy(other_labels)).sum()
