"""Predictors of classes and maps: PyTorch, eager or compiled, and ONNX Runtime."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from ..compiled_pm_vit import CompiledModel
from ..configuration_pm_vit import CONFIDENCE_SETTINGS, UNCALIBRATED, PMViTConfig
from ..conversion.checkpoints import load_model, load_processor
from ..explanation_pm_vit import Prediction, class_indices, rows_of_one_shape
from ..image_processing_pm_vit import PMViTImageProcessor
from ..maps_pm_vit import enlarged
from ..modeling_pm_vit import PMViTForImageClassification
from ..serving.graph import Graph
from ..tiles_pm_vit import Tiling, predict_tiles, processor_of_tiles
from ..utils.errors import InputError, NotFoundError
from ..utils.extras import import_extra
from ..utils.fingerprint import fingerprint
from .photographs import Photograph, TileOptions

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Predictor(Protocol):
    """
    Called with `pixel_values` `(batch, channels, height, width)`, float32. `classes` are a number of classes, those of
    the highest scores, or indices.
    """

    config: PMViTConfig
    image_processor: PMViTImageProcessor
    classes: int | list[int]

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that its predictions depend on, as values for JSON."""

    def __call__(self, pixel_values: torch.Tensor) -> Prediction: ...


class TorchPredictor:
    """
    The model in PyTorch.

    Args:
        model, image_processor: loaded.
        labels, top_k, keep_aspect_ratio: as in [`PMViTForImageClassification.explain`].
        compiled: call a [`CompiledModel`], on a GPU with CUDA graphs. The first batch takes a minute.
    """

    def __init__(
        self,
        model: PMViTForImageClassification,
        image_processor: PMViTImageProcessor,
        labels: str | Sequence[int | str] | None = None,
        top_k: int | None = None,
        compiled: bool = False,
        keep_aspect_ratio: bool = False,
    ):
        self.model, self.config = model.eval(), model.config
        self.image_processor = image_processor.adapted(model.config.patch_size, keep_aspect_ratio)
        self.keep_aspect_ratio = keep_aspect_ratio
        self.classes = _classes(labels, top_k, model.config)
        self._call = CompiledModel(model) if compiled else model

    @property
    def settings(self) -> dict[str, Any]:
        settings = {"weights": fingerprint(self.model), "computed_with": f"torch {self.model.dtype}"}
        return settings | ({"keep_aspect_ratio": True} if self.keep_aspect_ratio else {})

    @torch.inference_mode()
    def __call__(self, pixel_values: torch.Tensor) -> Prediction:
        count = len(pixel_values)
        outputs = self._call(
            pixel_values.to(self.model.device, self.model.dtype),
            explain_labels=self.classes
            if isinstance(self.classes, int)
            else torch.tensor([self.classes] * count, device=self.model.device),
        )
        prediction = Prediction.from_outputs(outputs, self.config)[:count]
        prediction.mask_logits = prediction.mask_logits.float().cpu()
        return prediction


class OnnxPredictor:
    """
    A graph that `pm-vit export` wrote, in ONNX Runtime.

    Args:
        folder: of the export.
        precision: `"fp32"`, `"fp16"` or `"int8"`, if it was exported.
        labels, top_k, keep_aspect_ratio: as for [`TorchPredictor`].
        device: `"cpu"` or `"cuda"`.

    Raises:
        MissingExtraError: if onnxruntime is not installed.
        NotFoundError, InputError: if the folder is not an export, does not have this precision (names those it has), or
            its graph takes one size only and proportions are to be kept.
    """

    def __init__(
        self,
        folder: Path,
        precision: str = "fp32",
        labels: str | Sequence[int | str] | None = None,
        top_k: int | None = None,
        device: str = "cpu",
        keep_aspect_ratio: bool = False,
    ):
        import_extra("onnxruntime", "the backend onnx", "export")
        providers = ("CUDAExecutionProvider",) if device.startswith("cuda") else ()
        try:
            self._graph = Graph(
                folder, precision, torch.get_num_threads(), providers=(*providers, "CPUExecutionProvider")
            )
        except FileNotFoundError as error:
            raise NotFoundError(str(error)) from error
        except ValueError as error:
            raise InputError(str(error)) from error
        description = self._graph.description
        names = dict(enumerate(self._graph.labels))
        # Its temperatures are part of the graph.
        stored = {name: description[name] for name in CONFIDENCE_SETTINGS if name in description}
        numbers = {name: index for index, name in names.items()}
        kind = description.get("problem_type")
        self.config = PMViTConfig(id2label=names, label2id=numbers, problem_type=kind, **stored)
        self.image_processor = PMViTImageProcessor(
            size={"height": description["height"], "width": description["width"]},
            resample=description["resample"],
            image_mean=description["mean"],
            image_std=description["std"],
            patch_size=description["patch_size"],
        ).adapted(keep_aspect_ratio=keep_aspect_ratio)
        self.classes = _classes(labels, top_k, self.config)
        self.settings = {
            "weights": self._graph.sha256[:16],
            "computed_with": f"onnxruntime {precision}",
            **({"keep_aspect_ratio": True} if keep_aspect_ratio else {}),
            **{name: value for name, value in stored.items() if value != UNCALIBRATED[name]},
        }
        if keep_aspect_ratio and self._graph.has_fixed_size:
            raise InputError(
                f"--keep_aspect_ratio makes inputs of other shapes than {description['height']} x "
                f"{description['width']} pixels, which the graph of {folder} takes only: graphs of other backbones "
                "than the plain ViT have one size. Leave the option out, or use --backend torch."
            )

    def __call__(self, pixel_values: torch.Tensor) -> Prediction:
        scores, masks, *certainty = map(torch.from_numpy, self._graph.predict(pixel_values.numpy()))
        if isinstance(self.classes, int):
            labels = scores.topk(self.classes).indices
        else:
            labels = torch.tensor([self.classes] * len(scores))
        chosen = masks[torch.arange(len(masks)).unsqueeze(1), labels]
        return Prediction(labels, scores.gather(1, labels), chosen.logit(), *certainty)


class TiledPredictor:
    """
    A predictor for images in tiles: of tiles all classes are predicted, of whole images those that are asked for.

    Args:
        predictor: of PyTorch or ONNX Runtime, for the classes that are asked for.
        tiles: their size and overlap.
        batch_size: number of tiles in a batch.
    """

    def __init__(self, predictor: "TorchPredictor | OnnxPredictor", tiles: TileOptions, batch_size: int = 8):
        self.tiles, self.batch_size = tiles, batch_size
        self.config, self.image_processor = predictor.config, predictor.image_processor
        self.classes, self._of_all = predictor.classes, predictor
        predictor.classes = list(range(self.config.num_labels))

    @property
    def settings(self) -> dict[str, Any]:
        return self._of_all.settings | {"tile": self.tiles.tile, "overlap": self.tiles.overlap}

    def __call__(self, pixel_values: torch.Tensor) -> Prediction:
        return self._of_all(pixel_values).of_classes(self.classes)

    def predict_tiles(self, image: Any, tiling: Tiling) -> Prediction:
        """See [`predict_tiles`] of the model files."""
        return predict_tiles(image, tiling, self.image_processor, self._of_all, self.classes, self.batch_size)


def predict(predictor: Predictor, photographs: Sequence[Photograph]) -> Iterator[Prediction]:
    """The prediction of each photograph. Those whose inputs have one size are computed in one call."""
    inputs = {row: one.pixel_values for row, one in enumerate(photographs) if one.pixel_values is not None}
    predictions: dict[int, Prediction] = {}
    for rows in rows_of_one_shape(inputs):
        batch = predictor(torch.stack([inputs[row] for row in rows]))
        predictions |= {row: batch[number] for number, row in enumerate(rows)}
    for row, photograph in enumerate(photographs):
        if photograph.tiling is None:
            yield predictions.pop(row)
        else:
            assert isinstance(predictor, TiledPredictor)  # nothing else makes tiles
            yield predictor.predict_tiles(photograph.image, photograph.tiling)


def records_of(
    predictor: Predictor,
    photograph: Photograph,
    prediction: Prediction,
    threshold: float,
    instances: int = 0,
    min_area: int = 1,
    heatmaps: bool = False,
) -> list[dict[str, Any]]:
    """The classes of one photograph, as of `post_process_records` of the processor; `prediction` is a batch of one."""
    (records,) = _processor(predictor, photograph).post_process_records(
        prediction,
        [photograph.size],
        predictor.config.id2label,
        threshold,
        instances=instances,
        min_area=min_area,
        heatmaps=heatmaps,
    )
    return records


def heatmap_of(
    predictor: Predictor, photograph: Photograph, prediction: Prediction, size: tuple[int, int]
) -> np.ndarray:
    """The map of one class of a photograph, `size` (height, width); `prediction` is of this class alone."""
    grid = prediction.mask_logits[0].double().sigmoid().float().numpy()
    placement = _processor(predictor, photograph).placement(photograph.size, grid.shape[1:])
    return enlarged(grid, placement, size)[0]


def _processor(predictor: Predictor, photograph: Photograph) -> PMViTImageProcessor:
    if photograph.tiling is None:
        return predictor.image_processor
    return processor_of_tiles(predictor.image_processor, photograph.tiling.cell)


def open_predictor(
    model: str,
    labels: str | Sequence[int | str] | None = None,
    top_k: int | None = None,
    backend: str = "torch",
    precision: str = "fp32",
    compiled: bool = False,
    device: str = "cpu",
    keep_aspect_ratio: bool = False,
    tiles: TileOptions | None = None,
    batch_size: int = 8,
) -> Predictor:
    """
    Args:
        model: a PM-ViT's folder or Hub id, for the backend `"onnx"` a folder of `pm-vit export`.
        precision: of `"torch"` fp32, bf16 or fp16; of `"onnx"` fp32, fp16 or int8.
        labels, top_k, compiled, device, keep_aspect_ratio: as for [`TorchPredictor`] and [`OnnxPredictor`].
        tiles, batch_size: for large images, as for [`TiledPredictor`].

    Raises:
        InputError: if options contradict one another, or a class does not exist.
        NotFoundError: if the model does not exist.
    """
    if tiles is not None:
        options = (model, labels, top_k, backend, precision, compiled, device, keep_aspect_ratio)
        return TiledPredictor(_open(*options), tiles, batch_size)
    return _open(model, labels, top_k, backend, precision, compiled, device, keep_aspect_ratio)


def _open(
    model: str,
    labels: str | Sequence[int | str] | None,
    top_k: int | None,
    backend: str,
    precision: str,
    compiled: bool,
    device: str,
    keep_aspect_ratio: bool,
) -> TorchPredictor | OnnxPredictor:
    if backend == "onnx":
        if compiled:
            raise InputError("--compile works with --backend torch only; ONNX Runtime optimises its graphs itself.")
        return OnnxPredictor(Path(model), precision, labels, top_k, device, keep_aspect_ratio)
    if precision not in DTYPES:
        raise InputError(f"--backend torch computes in {', '.join(DTYPES)}, got --precision {precision}.")
    processor = load_processor(model)
    if compiled and not processor.adapted(keep_aspect_ratio=keep_aspect_ratio).has_fixed_size:
        raise InputError("--compile needs images of one size: leave it out, or do not keep the proportions of images.")
    loaded: Any = load_model(model, dtype=DTYPES[precision])
    return TorchPredictor(loaded.to(device), processor, labels, top_k, compiled, keep_aspect_ratio)


def _classes(labels: str | Sequence[int | str] | None, top_k: int | None, config: PMViTConfig) -> int | list[int]:
    """An unknown class is reported before the first image is read."""
    try:
        return class_indices(labels, top_k, config)
    except ValueError as error:
        raise InputError(str(error)) from error
