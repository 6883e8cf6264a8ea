"""The two files with which transformers.js (https://huggingface.co/docs/transformers.js) loads an exported folder."""

from collections.abc import Collection
from pathlib import Path

from ..image_processing_pm_vit import PMViTImageProcessor
from ..modeling_pm_vit import PMViTForImageClassification
from ..utils.files import write_json


def write_configs(
    model: PMViTForImageClassification, processor: PMViTImageProcessor, folder: Path, precisions: Collection[str]
) -> None:
    """
    Write `config.json` and `preprocessor_config.json` of a ViT classifier, a kind of model that transformers.js knows.
    Its `image-classification` pipeline takes the softmax of the graph's `logits`; its `AutoModel` gives all outputs.

    Args:
        precisions: of the graphs. By default fp16 is loaded, as the browser page does, and fp32 on a GPU, because not
            every GPU computes in fp16. (By itself transformers.js takes int8 in a browser, which can be missing.)
    """
    labels = model.config.id2label
    config = {
        "model_type": "vit",
        "architectures": ["ViTForImageClassification"],
        "id2label": {str(index): label for index, label in labels.items()},
        "label2id": {label: index for index, label in labels.items()},
        "problem_type": model.config.problem_type,
        "transformers.js_config": {
            "dtype": "fp16" if "fp16" in precisions else "fp32",
            "device_config": {"webgpu": {"dtype": "fp32"}},
        },
    }
    preprocessing = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": processor.size.height, "width": processor.size.width},
        "resample": int(processor.resample),
        "do_rescale": True,
        "rescale_factor": processor.rescale_factor,
        "do_normalize": True,
        "image_mean": list(processor.image_mean),
        "image_std": list(processor.image_std),
    }
    write_json(folder / "config.json", config)
    write_json(folder / "preprocessor_config.json", preprocessing)
