"""The exported folder in transformers.js itself, in Node.js."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import NAMES
from tests.hub.browser import file_server

# As in the README of an exported folder on the Hub; only the address of the Hub is another one.
SCRIPT = """
import { AutoModel, AutoProcessor, env, pipeline, RawImage } from "@huggingface/transformers";
const [address, photograph] = process.argv.slice(2);
Object.assign(env, { remoteHost: address, cacheDir: "cache", allowLocalModels: false });
const repository = "birds/pm-vit-ONNX";
const classify = await pipeline("image-classification", repository);
const classes = await classify(photograph, { top_k: 5 });
const processor = await AutoProcessor.from_pretrained(repository);
const inputs = await processor(await RawImage.read(photograph));
const found = {};
for (const dtype of [undefined, "fp32", "fp16", "q8"]) {
  const model = await AutoModel.from_pretrained(repository, { dtype });
  const { masks, scores } = await model(inputs);
  found[dtype ?? "default"] = { scores: [...scores.data], dims: masks.dims, masks: [...masks.data] };
}
console.log(JSON.stringify({ classes, found }));
"""


@pytest.mark.slow
def test_transformers_js_classifies_and_gives_the_maps(vivid_model, export_once, make_processor, tmp_path, request):
    packages = request.config.rootpath / "hub" / "web" / "node_modules"
    if not (shutil.which("node") and (packages / "@huggingface" / "transformers").is_dir()):
        pytest.skip("needs node and `npm install` in hub/web")
    model = vivid_model
    shutil.copytree(export_once(model), tmp_path / "birds" / "pm-vit-ONNX" / "resolve" / "main")
    # The size of the model's input: transformers.js resizes with sharp, whose filters are not those of Pillow.
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))
    image.save(tmp_path / "photograph.png")
    (tmp_path / "node_modules").symlink_to(packages)
    (tmp_path / "explain.mjs").write_text(SCRIPT)
    with file_server(tmp_path) as address:
        command = ["node", "explain.mjs", address, str(tmp_path / "photograph.png")]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    expected = model.explain(image, top_k=5, image_processor=make_processor())
    scores = dict(zip(expected["labels"], expected["scores"].tolist(), strict=True))
    assert {of["label"]: of["score"] for of in answer["classes"]} == pytest.approx(scores, abs=5e-3)
    with torch.no_grad():
        pixel_values = make_processor()(image, return_tensors="pt").pixel_values
        masks = model(pixel_values, explain_labels=torch.arange(5)[None]).mask_logits.sigmoid().numpy()
    found = answer["found"]
    assert found["default"] == found["fp16"]
    for dtype, tolerance in (("fp32", 1e-4), ("fp16", 5e-3), ("q8", 0.1)):
        assert found[dtype]["scores"] == pytest.approx([scores[name] for name in NAMES], abs=tolerance)
        assert found[dtype]["dims"] == [1, 5, 4, 4]
        assert np.abs(np.reshape(found[dtype]["masks"], masks.shape) - masks).max() < tolerance
