"""Fine-tune a PM-ViT with the `Trainer` and the Auto classes of transformers.

    python examples/train_with_trainer.py --model_name_or_path runs/vit-s14 --data_dir photos \
        --output_dir runs/photos --do_train --do_eval --remove_unused_columns false \
        --learning_rate 3e-4 --num_train_epochs 10 --eval_strategy epoch --save_strategy epoch \
        --load_best_model_at_end --metric_for_best_model accuracy

Nothing of the package is imported: the code of the model comes with its weights. `--data_dir` is an image folder of
`datasets` with the splits `train` and `validation`. Images that have a `mask` (not 0 where the class is) train the maps
too. `pm-vit train` does this and more (mosaics, cached features, metrics of the maps, exact resuming).
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from datasets import ClassLabel, DatasetDict, load_dataset
from torchvision import tv_tensors
from torchvision.transforms import v2
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    HfArgumentParser,
    Trainer,
    TrainingArguments,
    set_seed,
)

UNKNOWN = -100  # a patch without a mask


@dataclass
class Arguments:
    model_name_or_path: str = field(metadata={"help": "A PM-ViT: a folder, or a repository of the Hub."})
    data_dir: str = field(metadata={"help": "An image folder, as `load_dataset('imagefolder', ...)` takes it."})
    mask_column: str = field(default="mask", metadata={"help": "The column of the masks, if there is one."})


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Train, evaluate and save. Returns the metrics of the evaluation."""
    arguments, training = HfArgumentParser((Arguments, TrainingArguments)).parse_args_into_dataclasses(argv)
    set_seed(training.seed)

    data = load_dataset("imagefolder", data_dir=arguments.data_dir)
    assert isinstance(data, DatasetDict)
    if not isinstance(data["train"].features["label"], ClassLabel):  # names in metadata.jsonl
        data = data.class_encode_column("label")
    names = data["train"].features["label"].names

    config = AutoConfig.from_pretrained(
        arguments.model_name_or_path,
        trust_remote_code=True,
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    model = AutoModelForImageClassification.from_pretrained(
        arguments.model_name_or_path, config=config, trust_remote_code=True, ignore_mismatched_sizes=True
    )
    processor = AutoImageProcessor.from_pretrained(arguments.model_name_or_path, trust_remote_code=True)

    size = (processor.size["height"], processor.size["width"])
    finish = [
        v2.ToImage(),
        v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
        v2.Normalize(processor.image_mean, processor.image_std),
    ]
    augment = v2.Compose([v2.RandomResizedCrop(size, scale=(0.5, 1.0)), v2.RandomHorizontalFlip(), *finish])
    prepare = v2.Compose([v2.Resize(size), *finish])
    patches = torch.nn.AvgPool2d(config.patch_size)  # from a mask to the fraction of each patch that it covers

    def examples(batch: dict[str, list], transform: v2.Compose) -> dict[str, list]:
        found = {"pixel_values": [], "labels": batch["label"], "mask_labels": []}
        masks = batch.get(arguments.mask_column) or [None] * len(batch["image"])
        for image, mask in zip(batch["image"], masks, strict=True):
            plane = np.zeros((image.height, image.width)) if mask is None else np.asarray(mask.convert("L")) > 0
            pixels, plane = transform(image.convert("RGB"), tv_tensors.Mask(plane[None], dtype=torch.uint8))
            fractions = patches(plane.float())  # (1, height / patch, width / patch)
            found["pixel_values"].append(pixels)
            found["mask_labels"].append(torch.full_like(fractions, UNKNOWN) if mask is None else fractions)
        return found

    def collate(batch: list[dict]) -> dict[str, torch.Tensor]:
        return {
            "pixel_values": torch.stack([example["pixel_values"] for example in batch]),
            "labels": torch.tensor([example["labels"] for example in batch]),
            "mask_labels": torch.stack([example["mask_labels"] for example in batch]),
        }

    trainer = Trainer(
        model,
        training,
        data_collator=collate,
        train_dataset=data["train"].with_transform(lambda batch: examples(batch, augment)),
        eval_dataset=data["validation"].with_transform(lambda batch: examples(batch, prepare)),
        processing_class=processor,
        compute_metrics=lambda found: {"accuracy": float(np.mean(found.predictions.argmax(1) == found.label_ids))},
    )
    if training.do_train:
        result = trainer.train(resume_from_checkpoint=training.resume_from_checkpoint)
        trainer.save_model()
        trainer.save_metrics("train", result.metrics)
        trainer.save_state()
    metrics = trainer.evaluate() if training.do_eval else {}
    if metrics:
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)
    return metrics


if __name__ == "__main__":
    main()
