"""What is in a photograph, and where, with onnxruntime alone: python example.py photograph.png [model_int8.onnx]"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image


def explain(photograph: str, graph: Path, top_k: int = 2) -> list[tuple[str, float, np.ndarray]]:
    """The most probable classes: name, score, and the probability `(height, width)` that the class is at a pixel."""
    model = json.loads((graph.parent / "model.json").read_text(encoding="utf-8"))
    image = Image.open(photograph).convert("RGB")
    pixels = np.asarray(image.resize((model["width"], model["height"]), model["resample"]), np.float32) / 255
    pixels = (pixels - np.float32(model["mean"])) / np.float32(model["std"])
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    scores, masks = session.run(["scores", "masks"], {"pixel_values": pixels.transpose(2, 0, 1)[None]})
    return [
        (model["labels"][k], float(scores[0, k]), np.asarray(Image.fromarray(masks[0, k]).resize(image.size, 2)))
        for k in np.argsort(-scores[0])[:top_k]
    ]


if __name__ == "__main__":
    graph = Path(__file__).parent / (sys.argv[2] if len(sys.argv) > 2 else "model.onnx")
    for label, score, mask in explain(sys.argv[1], graph):
        print(f"{label}: {score:.1%}, seen on {(mask >= 0.5).mean():.1%} of the image")
