"""Graphs of other backbones, for batches of any number of images."""

import numpy as np
import pytest
import torch

from tests.backbones import make_family


@pytest.mark.slow
@pytest.mark.parametrize("family", ["siglip_vision_model", "dinov3_vit", "beit", "timm_wrapper"])
def test_the_graph_gives_the_answers_of_the_model(family, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from modeling_pm_vit.export.graph import write_fp32

    model = make_family(family)
    write_fp32(model, tmp_path / "model.onnx", (32, 48))
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for count in (1, 3):
        images = torch.randn(count, 3, 32, 48, generator=torch.Generator().manual_seed(count))
        logits, scores, masks = session.run(None, {"pixel_values": images.numpy()})
        with torch.no_grad():
            expected = model(images, explain_labels=torch.arange(5).expand(count, -1))
        np.testing.assert_allclose(logits, expected.logits, atol=1e-4)
        np.testing.assert_allclose(scores, expected.logits.softmax(-1), atol=1e-4)
        np.testing.assert_allclose(masks, expected.mask_logits.sigmoid(), atol=1e-4)
