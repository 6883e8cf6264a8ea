"""Greyscale PNGs of 16 bits: the page reads them as the training does."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from modeling_pm_vit.image_loading_pm_vit import load_image

VALUES = {
    "noise of 16 bits": np.random.default_rng(0).integers(0, 65536, (33, 47)),
    "a slope of 12 bits": np.add.outer(np.arange(60), np.arange(80)) * 29,
    "8 bits": np.random.default_rng(1).integers(0, 256, (9, 11)),
    "one row": np.arange(300)[None] * 200,
}
# Node.js has all that the module needs of a browser, except for ImageData.
SCRIPT = """
import { readFileSync } from "node:fs";
globalThis.ImageData = class {
  constructor(width, height) {
    Object.assign(this, { width, height, data: new Uint8ClampedArray(4 * width * height) });
  }
};
const [code, ...files] = process.argv.slice(2);
const { decodeDeepPng } = await import(code);
const read = async (file) => {
  try {
    const image = await decodeDeepPng(new Blob([readFileSync(file)]));
    return image ? [...image.data] : "left to the browser";
  } catch {
    return "refused";
  }
};
console.log(JSON.stringify(await Promise.all(files.map(read))));
"""


@pytest.mark.slow
def test_grey_values_of_16_bits_are_scaled_by_their_range(tmp_path, request):
    if not shutil.which("node"):
        pytest.skip("needs node")
    files = [tmp_path / f"{name}.png" for name in VALUES]
    for file, values in zip(files, VALUES.values(), strict=True):
        Image.fromarray(values.astype(np.uint16)).save(file)
    (tmp_path / "broken.png").write_bytes(files[0].read_bytes()[:900])
    (tmp_path / "read.mjs").write_text(SCRIPT)
    others = [request.config.rootpath / "examples" / "scene.png", tmp_path / "broken.png"]
    code = request.config.rootpath / "hub" / "web" / "src" / "deep_png.js"
    (tmp_path / "deep_png.mjs").write_text(code.read_text())  # a module of its own, without the package.json beside it
    command = ["node", "read.mjs", "./deep_png.mjs", *map(str, [*files, *others])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *found, colour, broken = json.loads(done.stdout)
    for file, pixels in zip(files, found, strict=True):
        expected = np.asarray(load_image(file))
        assert np.array_equal(np.reshape(pixels, (*expected.shape[:2], 4))[..., :3], expected), file.name
        assert set(pixels[3::4]) == {255}
    assert (colour, broken) == ("left to the browser", "refused")
