"""The model as an ONNX graph in three precisions."""

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ..backbone_pm_vit import pair
from ..confidence_pm_vit import graph_outputs
from ..explanation_pm_vit import class_probabilities, map_probabilities
from ..modeling_pm_vit import PMViTForImageClassification

if TYPE_CHECKING:
    import onnx

OUTPUTS = ("logits", "scores", "masks")
# 21 is the first version whose `DequantizeLinear` has blocks.
_OPSET = 21
# Weights of an output that share a scale in int8. In a ViT-S/14 of ultrasound images, one scale for all 384 or 1536 of
# them gave masks with an IoU of 0.944; see docs/experiments/deployment.md.
_BLOCK = 64


class _Graph(nn.Module):
    """The exported module: one pass gives all classes, for the image and for each patch."""

    def __init__(self, model: PMViTForImageClassification):
        super().__init__()
        self.model = model
        self.patch_height, self.patch_width = pair(model.config.patch_size)

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        tokens = self.model.run_backbone(pixel_values).last_hidden_state
        logits = self.model.image_logits(tokens)
        patch_logits = self.model.classifier(self.model.patch_inputs(tokens))  # (batch, patches, num_labels)
        grid = (pixel_values.shape[2] // self.patch_height, pixel_values.shape[3] // self.patch_width)
        masks = map_probabilities(patch_logits, self.model.config).transpose(1, 2).unflatten(-1, grid)
        outputs = (logits, class_probabilities(logits, self.model.config), masks)
        if self.model.distance is None:
            return outputs
        return (*outputs, self.model.distance(self.model.image_inputs(tokens)))


def write_fp32(model: PMViTForImageClassification, path: Path, size: tuple[int, int] | None = None) -> None:
    """
    Write the graph.

    The input is `pixel_values` `(batch, channels, height, width)`, of any size that is a multiple of the patch size;
    with another backbone than ViT, of one `size` (height, width), by default that of the model. The graph fails on
    other sizes.
    The outputs are `logits` `(batch, num_labels)`, `scores` of the same shape, the probabilities that the image shows
    the classes, and `masks` `(batch, num_labels, height / patch, width / patch)`, the probabilities of the classes at
    each patch. The temperatures of the model are part of the graph: they are applied to `scores` and `masks`, not to
    `logits`. Where the confidence of the model is a distance of features, this is a fourth output, `distance`
    `(batch,)`.
    """
    import onnx

    graph = _Graph(deepcopy(model)).cpu().float().eval()
    backbone: Any = graph.model.base_model
    if backbone.config.model_type == "beit":  # the exporter fails on SDPA with its bias of positions
        backbone.set_attn_implementation("eager")
    symbol = torch.export.Dim
    dimensions: dict[int, Any] = {0: symbol("batch")}
    if model.config.backbone_config is None:
        dimensions |= {2: graph.patch_height * symbol("rows"), 3: graph.patch_width * symbol("columns")}
        # Height, width and batch size all differ, because the exporter takes equal sizes for the same dimension.
        size = 4 * graph.patch_height, 6 * graph.patch_width
    example = torch.zeros(2, model.config.num_channels, *(size or pair(model.config.image_size)))
    program = torch.onnx.export(
        graph,
        (example,),
        dynamo=True,
        verbose=False,
        opset_version=_OPSET,
        input_names=["pixel_values"],
        output_names=graph_outputs(model.config),
        dynamic_shapes=(dimensions,),
    )
    assert program is not None  # with `dynamo=True` there is one
    for node in program.model.graph.all_nodes():
        node.metadata_props.pop("pkg.torch.onnx.stack_trace", None)  # it names the folders of this machine
    model = program.model_proto
    _require_whole_patches(model.graph, (graph.patch_height, graph.patch_width))
    onnx.save(model, path)


def _require_whole_patches(graph: "onnx.GraphProto", patch_size: tuple[int, int]) -> None:
    """
    Make the graph fail on sizes that the patch size does not divide, where the convolution would drop the last pixels
    without a word. ONNX has no assertions: the image is reshaped to the size of its whole patches.
    """
    from onnx import helper, numpy_helper

    for node in graph.node:
        node.input[:] = ["checked_pixel_values" if name == "pixel_values" else name for name in node.input]
    graph.initializer.append(numpy_helper.from_array(np.array([1, 1, *patch_size]), "size_unit"))
    check = [
        helper.make_node("Shape", ["pixel_values"], ["size"]),
        helper.make_node("Div", ["size", "size_unit"], ["whole_units"]),
        helper.make_node("Mul", ["whole_units", "size_unit"], ["whole_size"]),
        helper.make_node(
            "Reshape",
            ["pixel_values", "whole_size"],
            ["checked_pixel_values"],
            name="the_patch_size_must_divide_height_and_width",  # ONNX Runtime names the node that failed
        ),
    ]
    for node in reversed(check):
        graph.node.insert(0, node)


def write_fp16(source: Path, target: Path) -> None:
    """Halve the weights of a written graph; its input and outputs stay float32."""
    import onnx
    import onnx_ir
    from onnxruntime.transformers.float16 import convert_float_to_float16

    halved = onnx_ir.from_proto(convert_float_to_float16(onnx.load(source), keep_io_types=True))
    halved.graph.sort()  # the conversion appends the cast of the input behind the nodes that use it
    onnx.save(onnx_ir.to_proto(halved), target)


def write_int8(source: Path, target: Path) -> None:
    """
    Store the weights of the matrix products as 8-bit integers, with a scale for each block of 64 weights of an output;
    computations stay in float32. (With 8-bit activations the graph is not smaller, and the masks of fine-tuned models
    are worse.)
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(source)
    graph = model.graph
    weights = {initializer.name: initializer for initializer in graph.initializer}
    unpacked: set[str] = set()
    for node in [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in weights]:
        name = node.input[1]
        if "distance." in name:  # a covariance has directions of very different scales
            continue
        node.input[1] = f"{name}_unpacked"
        if name in unpacked:
            continue
        unpacked.add(name)
        integers, scales, block = _quantized(numpy_helper.to_array(weights[name]).T)
        graph.initializer.remove(weights[name])
        graph.initializer.append(numpy_helper.from_array(integers, f"{name}_int8"))
        graph.initializer.append(numpy_helper.from_array(scales, f"{name}_scale"))
        # In the layout of the product, ONNX Runtime would replace both by a product with 8-bit activations.
        inputs = [f"{name}_int8", f"{name}_scale"]
        graph.node.insert(0, helper.make_node("Transpose", [f"{name}_rows"], [f"{name}_unpacked"], perm=[1, 0]))
        graph.node.insert(0, helper.make_node("DequantizeLinear", inputs, [f"{name}_rows"], axis=1, block_size=block))
    onnx.save(model, target)


def _quantized(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """From a matrix `(out, in)`: integers of the same shape, scales `(out, in / block)`, and the size of a block."""
    rows, columns = weight.shape
    block = columns if columns % _BLOCK else _BLOCK
    blocks = weight.reshape(rows, -1, block)
    scales = np.maximum(np.abs(blocks).max(-1), np.finfo(np.float32).tiny).astype(np.float32) / np.float32(127)
    return (blocks / scales[..., None]).round().astype(np.int8).reshape(weight.shape), scales, block
