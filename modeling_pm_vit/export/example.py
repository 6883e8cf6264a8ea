"""What is in a photograph, and where, with onnxruntime alone: python example.py photograph.png [model_fp16.onnx]"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def explain(photograph: str, graph: Path, top_k: int = 2) -> list[tuple[str, float, np.ndarray]]:
    """The most probable classes: name, score, and the probability `(height, width)` that the class is at a pixel."""
    model = json.loads((graph.parent / "model.json").read_text(encoding="utf-8"))
    image = load_image(photograph)
    pixels = np.asarray(image.resize((model["width"], model["height"]), model["resample"]), np.float32) / 255
    pixels = (pixels - np.float32(model["mean"])) / np.float32(model["std"])
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    scores, masks = session.run(["scores", "masks"], {"pixel_values": pixels.transpose(2, 0, 1)[None]})
    return [
        (model["labels"][k], float(scores[0, k]), np.asarray(Image.fromarray(masks[0, k]).resize(image.size, 2)))
        for k in np.argsort(-scores[0])[:top_k]
    ]


def load_image(path: str) -> Image.Image:
    """Upright, in RGB, by the rules of the training: transparent pixels on white, deep values scaled by their range."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode[0] in "IF":  # 16 or 32 bits
        values = np.asarray(image)
        low, high = float(values.min()), float(values.max())
        depths = [1] if image.mode == "F" and high <= 1 else [2**bits - 1 for bits in (8, 10, 12, 14, 16)]
        fits = low >= 0 and high <= depths[-1] and (depths == [1] or (values == values.round()).all())
        values, top = (values, min(d for d in depths if d >= high)) if fits else (values - low, (high - low) or 1)
        image = Image.fromarray((values * np.float32(255 / top)).round().astype(np.uint8))
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


if __name__ == "__main__":
    graph = Path(__file__).parent / (sys.argv[2] if len(sys.argv) > 2 else "model.onnx")
    for label, score, mask in explain(sys.argv[1], graph):
        print(f"{label}: {100 * score:.1f} %, seen on {100 * (mask >= 0.5).mean():.1f} % of the image")
