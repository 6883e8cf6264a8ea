"""The model as an ONNX graph in three precisions."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..explanation_pm_vit import class_probabilities
from ..modeling_pm_vit import PMViTForImageClassification

OUTPUTS = ("logits", "scores", "masks")


class _Graph(nn.Module):
    """The exported module: one pass gives all classes, for the image and for each patch."""

    def __init__(self, model: PMViTForImageClassification):
        super().__init__()
        self.model = model
        self.patch_height, self.patch_width = model.vit.embeddings.patch_embeddings.patch_size

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        # Interpolation of the positions is exact at the trained size and allows any other size.
        tokens = self.model.vit(pixel_values, interpolate_pos_encoding=True).last_hidden_state
        token_logits = self.model.classifier(tokens)  # (batch, 1 + patches, num_labels)
        logits = token_logits[:, 0]
        grid = (pixel_values.shape[2] // self.patch_height, pixel_values.shape[3] // self.patch_width)
        masks = token_logits[:, 1:].sigmoid().transpose(1, 2).unflatten(-1, grid)
        return logits, class_probabilities(logits, self.model.config), masks


def write_fp32(model: PMViTForImageClassification, path: Path) -> None:
    """
    Write the graph.

    The input is `pixel_values` `(batch, channels, height, width)`, of any size that is a multiple of the patch size.
    The outputs are `logits` `(batch, num_labels)`, `scores` of the same shape, the probabilities that the image shows
    the classes, and `masks` `(batch, num_labels, height / patch, width / patch)`, the probabilities of the classes at
    each patch.
    """
    graph = _Graph(deepcopy(model)).cpu().float().eval()
    size = torch.export.Dim
    rows, columns = graph.patch_height * size("rows"), graph.patch_width * size("columns")
    # Height, width and batch size all differ, because the exporter takes equal sizes for the same dimension.
    example = torch.zeros(2, model.config.num_channels, 4 * graph.patch_height, 6 * graph.patch_width)
    program = torch.onnx.export(
        graph,
        (example,),
        dynamo=True,
        verbose=False,
        input_names=["pixel_values"],
        output_names=list(OUTPUTS),
        dynamic_shapes=({0: size("batch"), 2: rows, 3: columns},),
    )
    assert program is not None  # with `dynamo=True` there is one
    for node in program.model.graph.all_nodes():
        node.metadata_props.pop("pkg.torch.onnx.stack_trace", None)  # it names the folders of this machine
    program.save(path, external_data=False)


def write_fp16(source: Path, target: Path) -> None:
    """Halve the weights of a written graph; its input and outputs stay float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


def write_int8(source: Path, target: Path) -> None:
    """
    Store the weights of the matrix products as 8-bit integers, with a scale for each column; computations stay in
    float32. (With 8-bit activations the graph is not smaller, and the masks of fine-tuned models are worse.)
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(source)
    graph = model.graph
    weights = {initializer.name: initializer for initializer in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    unpacking = {}
    for node in products:
        name = node.input[1]
        node.input[1] = f"{name}_unpacked"
        if name in unpacking:
            continue
        weight = numpy_helper.to_array(weights[name])  # (in, out)
        scale = np.maximum(np.abs(weight).max(0), np.finfo(np.float32).tiny) / 127
        integers = (weight / scale).round().astype(np.int8)
        graph.initializer.remove(weights[name])
        graph.initializer.append(numpy_helper.from_array(integers, f"{name}_int8"))
        graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale"))
        unpacking[name] = helper.make_node(
            "DequantizeLinear", [f"{name}_int8", f"{name}_scale"], [f"{name}_unpacked"], axis=1
        )
    for node in unpacking.values():
        graph.node.insert(0, node)
    onnx.save(model, target)
