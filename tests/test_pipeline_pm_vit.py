"""The pipeline `image-explanation`."""

import base64
import functools
import http.server
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import pipeline


@pytest.fixture
def saved(make_model, make_processor, tmp_path):
    make_model().save_pretrained(tmp_path / "model")
    make_processor().save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


@pytest.fixture
def images(tmp_path):
    """Three photographs of different sizes, as PIL images and as files."""
    rng = np.random.default_rng(0)
    made = [Image.fromarray(rng.integers(0, 256, (h, w, 3), np.uint8)) for h, w in ((20, 30), (40, 16), (32, 32))]
    for i, image in enumerate(made):
        image.save(tmp_path / f"{i}.png")
    return made, [str(tmp_path / f"{i}.png") for i in range(3)]


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_lists_batches_paths_and_pil_images_give_equal_results(saved, images, batch_size):
    explain = pipeline("image-explanation", model=saved, trust_remote_code=True)
    pictures, paths = images
    expected = [explain(picture, top_k=2) for picture in pictures]
    for inputs in (pictures, paths):
        found = explain(inputs, top_k=2, batch_size=batch_size)
        assert [[e["label"] for e in f] for f in found] == [[e["label"] for e in f] for f in expected]
        for image, ours, theirs in zip(pictures, found, expected, strict=True):
            for a, b in zip(ours, theirs, strict=True):
                assert a["score"] == pytest.approx(b["score"], abs=1e-5)
                assert a["mask"].size == image.size
                assert a["mask"].mode == "L"
                assert np.array_equal(a["mask"], b["mask"])
                assert a["box"] == b["box"]


def test_a_compiled_pipeline_fills_up_the_last_batch(saved, images, monkeypatch):
    sizes = []

    def compile(model, **settings):
        return lambda pixel_values, **kwargs: sizes.append(len(pixel_values)) or model(pixel_values, **kwargs)

    monkeypatch.setattr(torch, "compile", compile)
    plain, compiled = (
        pipeline("image-explanation", model=saved, trust_remote_code=True, **settings)
        for settings in ({}, {"compile": True})
    )
    for chosen in ({"top_k": 2}, {"labels": [1, 0, 2]}):
        found = compiled(images[0], batch_size=2, **chosen)
        for ours, theirs in zip(found, plain(images[0], **chosen), strict=True):
            assert [one["label"] for one in ours] == [one["label"] for one in theirs]
            assert [one["box"] for one in ours] == [one["box"] for one in theirs]
    assert set(sizes) == {2}


def test_mask_and_box_follow_the_threshold(saved, images):
    explain = pipeline("image-explanation", model=saved, trust_remote_code=True)
    areas = []
    for threshold in (0.0, 0.5, 1.0):
        (found,) = explain(images[0][0], threshold=threshold)
        mask = np.asarray(found["mask"])
        assert set(np.unique(mask)) <= {0, 255}
        areas.append((mask > 0).mean())
        if not mask.any():
            assert found["box"] is None
    assert areas[0] == 1 >= areas[1] >= areas[2] == 0
    (everything,) = explain(images[0][0], threshold=0.0)
    assert everything["box"] == {"xmin": 0, "ymin": 0, "xmax": 30, "ymax": 20}


def test_top_k_above_the_number_of_classes_gives_all(saved, images):
    assert len(pipeline("image-explanation", model=saved, trust_remote_code=True)(images[0][0], top_k=99)) == 5


def test_maps_on_request(saved, images, make_model, make_processor):
    explain = pipeline("image-explanation", model=saved, trust_remote_code=True)
    image = images[0][0]
    expected = make_model().explain(image, top_k=2, image_processor=make_processor())
    assert all(set(one) == {"label", "score", "box", "mask", "doubt"} for one in explain(image))
    for map_size, shape in ((None, (20, 30)), ("grid", (4, 4)), (15, (10, 15))):
        found = explain(image, top_k=2, maps=True, map_size=map_size)
        assert all(one["map"].shape == shape and one["map"].dtype == np.float32 for one in found)
        assert all(one["mask"].size == (30, 20) for one in found)
        if map_size is None:
            assert np.allclose([one["map"] for one in found], expected["heatmaps"], atol=1e-5)


def test_an_error_names_the_image_of_a_list(saved, images):
    explain = pipeline("image-explanation", model=saved, trust_remote_code=True)
    for given in ([*images[0], "nowhere.png"], (image for image in [*images[0], b"no image"])):
        with pytest.raises((ValueError, FileNotFoundError), match=r"^images\[3\]: "):
            list(explain(given))
    with pytest.raises(FileNotFoundError, match=r"^there is no image file nowhere\.png"):
        explain("nowhere.png")
    assert explain([]) == []


def test_proportions_are_kept_in_lists_of_any_batch_size(saved, images, make_model, make_processor):
    explain = pipeline("image-explanation", model=saved, trust_remote_code=True)
    expected = make_model().explain(images[0], top_k=2, image_processor=make_processor(), keep_aspect_ratio=True)
    found = explain(images[0], top_k=2, batch_size=3, keep_aspect_ratio=True)
    squeezed = explain(images[0], top_k=2, batch_size=3)
    for ours, explanation in zip(found, expected, strict=True):
        assert [one["label"] for one in ours] == explanation["labels"]
        assert [one["score"] for one in ours] == pytest.approx(explanation["scores"].tolist(), abs=1e-6)
        for one, mask in zip(ours, explanation["masks"], strict=True):
            assert np.array_equal(one["mask"], 255 * mask)
    assert found[1][0]["score"] != squeezed[1][0]["score"]


def test_stock_classification_pipeline_gives_equal_results(saved, images):
    classified = pipeline("image-classification", model=saved)(images[1], top_k=5)
    explained = pipeline("image-explanation", model=saved, trust_remote_code=True)(images[1], top_k=5)
    for stock, ours in zip(classified, explained, strict=True):
        assert [s["label"] for s in stock] == [o["label"] for o in ours]
        assert [s["score"] for s in stock] == pytest.approx([o["score"] for o in ours], abs=1e-5)


def test_half_precision(saved, images):
    found = pipeline("image-explanation", model=saved, trust_remote_code=True, dtype=torch.bfloat16)(
        images[0][0], top_k=2
    )
    assert sum(f["score"] for f in found) <= 1


@pytest.fixture
def server(tmp_path):
    """A web server on the loopback for the files in the folder of the test."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_urls(saved, images, server):
    explain = pipeline("image-explanation", model=saved, trust_remote_code=True)
    (expected,) = explain(images[1][0])
    data = "data:image/png;base64," + base64.b64encode(Path(images[1][0]).read_bytes()).decode()
    for url in (f"{server}/0.png", data):
        (found,) = explain(url)
        assert (found["label"], found["box"]) == (expected["label"], expected["box"])
        assert np.array_equal(found["mask"], expected["mask"])
