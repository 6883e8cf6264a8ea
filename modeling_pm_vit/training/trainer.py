"""`Trainer` whose loss does not depend on how a batch is split into micro-batches and processes."""

import difflib
import warnings
from itertools import islice
from math import isfinite, nan
from pathlib import Path
from typing import Any, cast

import torch
from accelerate.utils import convert_to_fp32
from torch import nn
from torch.utils.data import DataLoader
from transformers import EvalPrediction, ProgressCallback, TrainerCallback
from transformers.integrations import TensorBoardCallback

from ..data.augmentation.device import DeviceAugmentation
from ..data.augmentation.mixing import MixingSettings
from ..data.collation import Collator, image_labels
from ..data.dataset import ExampleDataset
from ..explanation_pm_vit import IGNORE, map_probabilities
from ..utils.errors import InputError
from .averaging import WeightAverage
from .cached_features import CachedFeatureDataset, FrozenLayers
from .divergence import DivergenceCheck
from .loaders import EpochLoader
from .look_ahead import BatchAhead, EndsWithEpoch, LookAhead
from .lora import is_adapted
from .losses import mixed_cross_entropy, smoothed_labels, weighted_binary_cross_entropy
from .meter import Meter
from .metrics import class_metrics, classes_report, explanation_metrics, mean_map_values, metric_names
from .optimization import parameter_groups
from .overlays import OverlayCallback
from .progress import CachedFeaturesProgress, ResumedTensorBoard
from .resumable import ResumableTrainer
from .summary import evaluation_summary
from .teacher import Teacher
from .usable_rows import UsableRows, no_usable_row, skipped_rows


class PMViTTrainer(ResumableTrainer):
    """
    [`Trainer`] for PM-ViT, or a `PeftModel` of one, on [`ExampleDataset`]s. Logs both terms of the loss and the speed
    (see [`Meter`]), and evaluates [`explanation_metrics`] with the averaged weights, if there are any.

    Args:
        mixing: of the training batches.
        second_rate: share of the training set's second source in an epoch.
        class_weights: of the classification loss in training, `(num_labels,)`, see [`class_weights`].
        frozen: cache the features of these layers for the batches of the first `args.feature_epochs` epochs, which are
            reused in later epochs. One process only.
        features: folder of the cached features.
        self_training: from `args.teacher_start` on, images without a mask are taught by a [`Teacher`], the average of
            the weights.
    """

    # Narrower than in `Trainer`, which is for all kinds of datasets.
    train_dataset: ExampleDataset
    eval_dataset: Any
    data_collator: Any

    def __init__(
        self,
        *args: Any,
        mixing: MixingSettings | None = None,
        second_rate: float = 0.0,
        class_weights: torch.Tensor | None = None,
        frozen: FrozenLayers | None = None,
        features: Path | None = None,
        self_training: bool = False,
        **kwargs: Any,
    ):
        kwargs |= {"data_collator": Collator(), "compute_metrics": self._evaluation_metrics}
        with warnings.catch_warnings():  # of several labels per image `compute_loss` smooths the labels
            warnings.filterwarnings("ignore", message="Label smoothing is not compatible with multi-label")
            super().__init__(*args, **kwargs)
        self.second_rate, self.class_weights = second_rate, class_weights
        self.device_augmentation = self._device_augmentation(frozen is None, self_training)
        self.batch_ahead = BatchAhead(self.args.device, self._prepared_ahead)
        self._coming: LookAhead[dict[str, Any]] | None = None
        self.add_callback(EndsWithEpoch(self._end_look_ahead))
        self.collator = Collator(self.train_dataset.grid if self.train_dataset else None, mixing)
        self.frozen, self.features = frozen, features
        if frozen is not None and self.args.world_size > 1:
            raise InputError(f"--feature_epochs needs one process, got {self.args.world_size}.")
        if frozen is not None and self.args.torch_compile:
            raise InputError("--feature_epochs runs the layers one by one: leave out --torch_compile.")
        self.label_smoother = None  # it would take the labels from the model, which needs them for its maps
        self.meter = Meter()
        self.epoch_steps = 1
        self.usable_rows = UsableRows(getattr(self.train_dataset, "name", ""), self.meter.recently_skipped)
        self.eval_skipped: list[str] = []
        self.wanted_metric = self._wanted_metric()
        if self.is_fsdp_enabled and is_adapted(self.model):
            raise InputError("--lora_rank cannot be used with FSDP.")
        if self.args.ema_decay:
            if self.is_fsdp_enabled:
                raise InputError("--ema_decay cannot be used with FSDP, which shards the weights.")
            self.average = WeightAverage(self.model, self.args.ema_decay)
            self.add_callback(self.average)
        self.teacher: Teacher | None = None
        if self_training:
            self._add_teacher()
        self.divergence = DivergenceCheck(self)
        self.add_callback(self.divergence)
        for callback in list(self.callback_handler.callbacks):  # what `Trainer` has chosen itself
            if type(callback) is TensorBoardCallback:
                self._replace_callback(callback, ResumedTensorBoard(callback.tb_writer))
            if type(callback) is ProgressCallback and frozen is not None:
                self._replace_callback(callback, CachedFeaturesProgress(self))
        if self.args.overlays and self.eval_dataset is not None:
            self.add_callback(OverlayCallback(self, self.eval_dataset, self.args.overlays))

    def _replace_callback(self, old: TrainerCallback, new: TrainerCallback) -> None:
        self.remove_callback(old)
        self.add_callback(new)

    # --- data ---------------------------------------------------------------------------------------------------------

    def _device_augmentation(self, possible: bool, needed: bool) -> DeviceAugmentation | None:
        """Tells the training set where its images are augmented."""
        where = self.args.augment_on
        if where == "auto":
            where = "cpu" if self.args.device.type == "cpu" and not needed else "device"
        if not possible or where == "cpu" or self.train_dataset is None:
            return None
        for _, transform in self.train_dataset.sources:
            transform.on_device = True
        processor: Any = self.processing_class
        return DeviceAugmentation(processor)

    def _add_teacher(self) -> None:
        if self.average is None or (self.device_augmentation is None and self.frozen is None):
            raise InputError(
                "--weak_supervision self_training needs an --ema_decay above 0, the average that teaches, and "
                "--augment_on auto or device, where it sees the images, or --feature_epochs."
            )
        self.teacher = teacher = Teacher(self.model, self.average, self.accelerator)
        if self.device_augmentation is not None:
            self.device_augmentation.teacher = lambda *seen: teacher(*seen) if self._is_taught() else None

    def _is_taught(self) -> bool:
        return self.state.global_step >= self.args.teacher_start * self.state.max_steps

    def _prepare_input(self, data: Any) -> Any:
        if isinstance(data, torch.Tensor) and data.is_pinned():  # the copy need not be waited for
            return data.to(self.args.device, non_blocking=True)
        return super()._prepare_input(data)

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        if "ready" in inputs:
            return self.batch_ahead.take(inputs)
        inputs = super()._prepare_inputs(inputs)
        if "recipe" in inputs:
            assert self.device_augmentation is not None  # it has asked for such batches
            return self.device_augmentation(inputs)
        return inputs

    def _prepared_ahead(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch.pop("bad_samples", None)
        return self._prepare_inputs(batch)

    def get_train_dataloader(self) -> DataLoader[Any]:
        dataset, size = self.train_dataset, self._train_batch_size
        if self.frozen is None:
            loader = self._loader(dataset, size, self.collator, True, self.second_rate)
        else:
            assert self.features is not None  # `frozen` and `features` come together
            make_batch = lambda samples: self.collator([dataset[sample] for sample in samples])  # noqa: E731
            self.cached_features = CachedFeatureDataset(make_batch, self.frozen, self.features)
            loader = EpochLoader(
                self.cached_features,
                batch_sampler=dataset.batches(size, second_rate=self.second_rate),
                collate_fn=dict,
                cycle=self.args.feature_epochs,
            )
        self.epoch_steps = -(-len(loader) // self.args.gradient_accumulation_steps)
        self._train_loader = loader
        return loader

    def missing_features(self) -> int:
        """The number of batches whose features this run still has to compute."""
        first = self.state.global_step // self.epoch_steps
        epochs = {epoch % self.args.feature_epochs for epoch in range(first, self.state.num_train_epochs)}
        batches: Any = self._train_loader.batch_sampler
        missing = 0
        for epoch in epochs:
            batches.set_epoch(epoch)
            missing += sum(not self.cached_features.file(samples).exists() for samples in batches)
        return missing

    def rows_of(self, step: int, part: int = 0) -> str:
        """The rows of a micro-batch of this process in a step (from 1), for messages; its order is a function."""
        epoch, place = divmod(step - 1, self.epoch_steps)
        self._train_loader.set_epoch(epoch)
        batch = place * self.args.gradient_accumulation_steps + part
        batches: Any = self._train_loader.batch_sampler
        return self.train_dataset.describe(next(islice(batches, batch, None)))

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        return self._loader(dataset, self.args.eval_batch_size, self.data_collator, False)

    def _loader(
        self, dataset: ExampleDataset, batch_size: int, collator: Collator, shuffle: bool, rate: float = 0.0
    ) -> EpochLoader:
        # Not prepared by Accelerate: each process already has its own batches, and no row comes twice.
        workers = self.args.dataloader_num_workers
        return EpochLoader(
            dataset,
            batch_sampler=dataset.batches(batch_size, self.args.process_index, self.args.world_size, shuffle, rate),
            collate_fn=collator,
            num_workers=workers,
            multiprocessing_context=self.args.dataloader_multiprocessing_context if workers else None,
            pin_memory=self.args.dataloader_pin_memory,
            persistent_workers=bool(workers) and shuffle and self.args.dataloader_persistent_workers,
            prefetch_factor=self.args.dataloader_prefetch_factor if workers else None,
        )

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], Any]:
        batches = self._ahead(epoch_iterator) if self.looks_ahead() else epoch_iterator
        return super().get_batch_samples(self.meter.step(batches), num_batches, device)

    def looks_ahead(self) -> bool:
        """Whether the next batch is made ready on the device while the model computes; a teacher has to wait for it."""
        augmentation = self.device_augmentation
        return augmentation is not None and augmentation.teacher is None and self.args.device.type == "cuda"

    def _ahead(self, epoch_iterator: Any) -> LookAhead[dict[str, Any]]:
        """The batches of the epoch that are left."""
        if self._coming is None or not self._coming.left:
            done = self.state.global_step % self.epoch_steps * self.args.gradient_accumulation_steps
            self._coming = LookAhead(epoch_iterator, self.batch_ahead, len(self._train_loader) - done)
        return self._coming

    def _end_look_ahead(self) -> None:
        if self._coming is not None:
            self._coming.close()

    def train(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().train(*args, **kwargs)
        finally:  # which may be within an epoch
            self._end_look_ahead()

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> Any:
        """The known labels and the images of a step over all processes, a tensor of two."""
        # Alone, the numbers stay on the CPU: copying them would wait for all that the device has to do.
        device = device if self.args.world_size > 1 or self.args.n_gpu > 1 else torch.device("cpu")
        labels = super()._get_num_items_in_batch(batch_samples, device)
        if labels is None:
            return None
        rows = [{"labels": image_labels(batch)} for batch in batch_samples]
        images = torch.as_tensor(super()._get_num_items_in_batch(rows, device))
        self.usable_rows.after_step(
            [batch["labels"] for batch in rows],
            images,
            self.state.global_step + 1,
            self.epoch_steps,
            self.args.gradient_accumulation_steps * self._train_batch_size * self.args.world_size,
        )
        # All images of a step may have been skipped, or be without a label.
        return torch.stack((torch.as_tensor(labels), images)).clamp(min=1)

    # --- optimization -------------------------------------------------------------------------------------------------

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.args.layer_decay in (None, 1) or self.optimizer is not None:
            return super().create_optimizer(model)
        model = self.model if model is None else model
        cls, settings = self.get_optimizer_cls_and_kwargs(self.args, model)
        groups = parameter_groups(
            model,
            self.args.learning_rate,
            self.args.layer_decay,
            self.args.weight_decay,
            self.get_decay_parameter_names(model),
        )
        self.optimizer = cls(groups, **settings)
        return self.optimizer

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """
        The mean over all known labels and all images of the step, however they are split into micro-batches and
        processes.
        """
        other_labels, shares = inputs.pop("other_labels", None), inputs.pop("label_shares", None)
        self._take_out_notes(inputs)
        smoothing = self.args.label_smoothing_factor if model.training else 0.0
        several, each = inputs["labels"].ndim == 2, inputs["labels"][0].numel()  # labels of an image
        if smoothing and several:
            inputs["labels"] = smoothed_labels(inputs["labels"], smoothing)
        run: Any = model
        if "tokens" in inputs:
            run = self._finish
            inputs["mask_labels"] = self._taught_masks(inputs) if model.training else inputs["mask_labels"]
        labels, images = num_items_in_batch
        loss, outputs = super().compute_loss(run, inputs, return_outputs=True, num_items_in_batch=images * each)
        classification = outputs.classification_loss * (images * each / labels)
        weights = self.class_weights
        if model.training and not several and (smoothing or other_labels is not None or weights is not None):
            classification = mixed_cross_entropy(
                outputs.logits, inputs["labels"], other_labels, shares, smoothing, weights
            )
            classification = classification / labels
        elif model.training and weights is not None:
            classification = weighted_binary_cross_entropy(outputs.logits, inputs["labels"], weights) / labels
        # Trainer has multiplied the loss, as the gradients will be averaged over the processes.
        loss = loss + (classification - outputs.classification_loss) * self.accelerator.num_processes
        if model.training:
            self.meter.add_losses(self.state.global_step + 1, classification.sum(), outputs.mask_loss.sum())
        return (loss, outputs) if return_outputs else loss

    def _taught_masks(self, inputs: dict[str, Any]) -> torch.Tensor:
        """The masks of a batch of cached features; of other images the augmentation on the device asks the teacher."""
        masks: torch.Tensor = inputs["mask_labels"]
        if self.teacher is None or self.frozen is None or not self._is_taught():
            return masks
        frozen, grid = self.frozen, (masks.shape[-2], masks.shape[-1])
        return self.teacher.complete(
            masks, lambda: frozen.finish(inputs["tokens"], grid, explain_labels=inputs["explain_labels"])
        )

    def _take_out_notes(self, inputs: dict[str, Any]) -> None:
        """What a batch has that the model does not take."""
        inputs.pop("unlabelled_images", None)
        if self.args.torch_compile or self.args.n_gpu > 1:  # their number differs, and they are not one for each image
            inputs.pop("mask_rows", None)

    def _finish(self, **inputs: Any) -> Any:
        """The layers after the frozen ones, in the precision that Accelerate gives to a whole model."""
        with self.accelerator.autocast():
            assert self.frozen is not None  # else no batch has tokens
            rows, columns = inputs["mask_labels"].shape[-2:]
            return convert_to_fp32(self.frozen.finish(grid=(rows, columns), **inputs))

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs:
            logs |= self.meter.read(self.accelerator)
        super().log(logs, *args, **kwargs)

    # --- evaluation ---------------------------------------------------------------------------------------------------

    def prediction_step(  # type: ignore[override] # Trainer takes tuples too
        self, model: nn.Module, inputs: dict[str, Any], prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[None, tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
        """The inputs of [`explanation_metrics`] for one batch."""
        self.eval_skipped += inputs.pop("bad_samples", [])
        with torch.no_grad():
            inputs = self._prepare_inputs(inputs)
            self._take_out_notes(inputs)
            labels, mask_labels = inputs["labels"], inputs["mask_labels"]
            outputs = model(**inputs, num_items_in_batch=labels[0].numel())  # the sums over the images
        losses = torch.zeros(len(outputs.logits), 3, device=outputs.logits.device)
        losses[0] = torch.stack((outputs.loss, outputs.classification_loss, outputs.mask_loss))
        maps = map_probabilities(outputs.mask_logits.float(), self.model.config)
        if labels.ndim == 1:
            return None, (outputs.logits, maps[:, 0], losses), (labels, mask_labels[:, 0])
        known = labels.gather(1, inputs["explain_labels"].clamp(min=0)) != IGNORE
        known &= inputs["explain_labels"] >= 0
        values = mean_map_values(maps.cpu(), mask_labels.masked_fill(~known[..., None, None], IGNORE).cpu())
        has_mask = (mask_labels != IGNORE).flatten(1).any(1)
        return None, (outputs.logits, values.to(losses), losses), (labels, has_mask)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        self.eval_skipped = []
        with self.meter.paused(), self.averaged():
            metrics: dict[str, float] = super().evaluate(*args, **kwargs)
        return metrics

    def _evaluation_metrics(self, prediction: EvalPrediction) -> dict[str, float]:
        """
        [`explanation_metrics`], [`class_metrics`], and the number of skipped rows if there are any. All processes call
        it.
        """
        labels, masks = cast(tuple[Any, Any], prediction.label_ids)
        if not (labels != IGNORE).any() and not (labels.ndim == 2 and masks.any()):
            raise no_usable_row(self.eval_dataset.name, self.eval_skipped)
        metrics = explanation_metrics(prediction)
        if not isfinite(metrics.get("loss", nan)):
            raise self.divergence.error(
                "the loss of the evaluation after", self.state.global_step, "is NaN or infinite"
            )
        names = list(self.model.config.id2label.values())
        self.report = classes_report(prediction, self.args.specificity)
        self.summary = evaluation_summary(prediction, self.report, names)
        metrics |= class_metrics(self.report, names, self.wanted_metric)
        if self.eval_dataset.on_bad_sample == "skip" and (skipped := skipped_rows(self.eval_skipped)):
            metrics["skipped_samples"] = skipped
        return metrics

    def _wanted_metric(self) -> str | None:
        """The value by which a checkpoint is the best; refuses one that no evaluation has."""
        name, config = self.args.metric_for_best_model, self.model.config
        if name is None:
            return None
        known = metric_names(list(config.id2label.values()), config.problem_type == "multi_label_classification")
        wanted = name.removeprefix("eval_")
        if wanted not in known:
            raise InputError(
                f"--metric_for_best_model {name}: no evaluation has this value; the nearest is "
                f"{difflib.get_close_matches(wanted, known, 1, 0)[0]}."
            )
        return wanted
