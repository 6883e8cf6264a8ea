"""Answers and refusals of requests, one by one and together."""

import base64
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from modeling_pm_vit.hub.handler import _TorchEngine
from modeling_pm_vit.serving import answers, requests
from modeling_pm_vit.serving.answers import Answerer
from modeling_pm_vit.serving.requests import FORMATS, MAX_BATCH, MAX_BYTES
from tests.serving.photographs import bomb, deep, encoded, header, text


@pytest.fixture(scope="module")
def answerer(tmp_path_factory, make_model, make_processor):
    """Of the tiny model in torch."""
    folder = tmp_path_factory.mktemp("model")
    make_model().save_pretrained(folder)
    make_processor().save_pretrained(folder)
    return Answerer(_TorchEngine(str(folder)))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda raw: raw,
        lambda raw: {"inputs": raw},
        lambda raw: {"inputs": text(raw), "parameters": None},
        lambda raw: {"inputs": "data:image/png;base64," + text(raw), "parameters": {}},
        lambda raw: Image.open(io.BytesIO(raw)),
    ],
    ids=["bytes", "bytes in a request", "base64", "data URL", "PIL image"],
)
def test_photograph_in_any_format_gets_the_result_of_the_model(answerer, make_model, make_processor, kind, wrap):
    raw = encoded(kind=kind)
    expected = make_model().explain(Image.open(io.BytesIO(raw)), image_processor=make_processor())
    (found,) = answerer(wrap(raw))
    assert found["label"] == expected["labels"][0]
    assert found["score"] == pytest.approx(expected["scores"][0].item(), abs=1e-6)
    box = [0, 0, 0, 0] if found["box"] is None else list(found["box"].values())
    assert tuple(box) == expected["boxes"][0]
    mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["mask"]))))
    assert (mask == expected["masks"][0].numpy()).all()


@pytest.mark.parametrize("threshold", [0, 0.45, 0.5, 0.55, 1])
def test_run_lengths_and_png_contain_the_same_mask(answerer, threshold):
    request = {"inputs": encoded(), "parameters": {"top_k": 5, "threshold": threshold}}
    pngs = answerer(request)
    request["parameters"]["mask"] = "rle"
    for png, runs in zip(pngs, answerer(request), strict=True):
        mask = np.asarray(Image.open(io.BytesIO(base64.b64decode(png["mask"]))))
        counts, size = runs["mask"]["counts"], runs["mask"]["size"]
        unpacked = np.repeat(np.arange(len(counts)) % 2, counts).reshape(size, order="F")
        assert (unpacked == mask).all()
        json.dumps(runs)


def test_batch_is_answered_photograph_by_photograph(answerer):
    raws = [encoded(30, 20), encoded(17, 40), encoded(8, 8, "JPEG")]
    parameters = {"labels": ["LABEL_3", "LABEL_0"], "mask": "none"}
    batch = answerer({"inputs": [text(raw) for raw in raws], "parameters": parameters})
    for found, raw in zip(batch, raws, strict=True):
        alone = answerer({"inputs": raw, "parameters": parameters})
        assert [c["label"] for c in found] == ["LABEL_3", "LABEL_0"]
        assert [c["score"] for c in found] == pytest.approx([c["score"] for c in alone], abs=1e-6)
        assert "mask" not in found[0]


def test_batch_of_inputs_of_different_sizes_is_answered(answerer, make_processor, monkeypatch):
    monkeypatch.setattr(answerer.engine, "_processor", make_processor(do_resize=False))
    raws = [encoded(32, 24), encoded(40, 32)]
    assert answerer(raws) == [answerer(raw) for raw in raws]


def test_rotated_photograph_is_turned_upright(answerer):
    exif = Image.Exif()
    exif[0x0112] = 6
    (found,) = answerer({"inputs": encoded(30, 20, "JPEG", exif=exif), "parameters": {"mask": "rle"}})
    assert found["mask"]["size"] == [30, 20]


REFUSED = {
    "nothing": ({}, "has the keys 'inputs'"),
    "no inputs": ({"image": "x"}, "has the keys 'inputs'"),
    "more keys": ({"inputs": encoded(), "options": {}}, "has the keys 'inputs'"),
    "null": ({"inputs": None}, "bytes or base64, got NoneType"),
    "number": (3, "bytes or base64, got int"),
    "address": ({"inputs": "http://127.0.0.1/x.png"}, "base64"),
    "not an image": (b"hello", "not an image"),
    "empty": (b"", "not an image"),
    "text that is no image": (text(b"hello"), "not an image"),
    "cut off": (encoded()[:-400], "corrupt"),
    "vector graphics": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    "oversize": (bytes(MAX_BYTES + 1), "more than 10,485,760"),
    "oversize text": ("A" * (MAX_BYTES * 3 // 2), "larger than 10,485,760 bytes"),
    "empty image": (Image.new("RGB", (0, 5)), "0 x 5 pixels"),
    "long side": (header(2**14 + 1, 1000), "16385 x 1000 pixels; a side may have 16,384"),
    "line": (header(1, 2**14), "1 x 16384 pixels; one side may be 32 times"),
    "long line": (header(1, 2**24), "1 x 16777216 pixels; a side"),
    "bomb": (bomb(5000), "5000 x 5000 pixels, more than"),
    "big bomb": (bomb(60000), "more than"),
    "large photographs": ({"inputs": [header(4096, 4096)] * 5}, "83,886,080 pixels times 1 classes are more than"),
    "many classes": ({"inputs": header(4096, 4096), "parameters": {"top_k": 5}}, "times 5 classes are more than"),
    "nested photograph": ({"inputs": [[encoded()]]}, r"inputs\[0\]: a photograph must be bytes or base64, got list"),
    "empty batch": ({"inputs": []}, "1 to 32 photographs"),
    "large batch": ({"inputs": [encoded()] * (MAX_BATCH + 1)}, "1 to 32 photographs"),
    "one of a batch": ({"inputs": [encoded(), b"x"]}, r"inputs\[1\]: not an image"),
    "parameters": ({"inputs": encoded(), "parameters": [1]}, "must be an object, got list"),
    "instances": ({"inputs": encoded(), "parameters": {"instances": -1}}, "instances must be an integer of at least 0"),
    "area": ({"inputs": encoded(), "parameters": {"min_area": "0"}}, "min_area must be an integer of at least 1"),
    "unknown parameter": ({"inputs": encoded(), "parameters": {"topk": 1}}, "got 'topk'"),
    "top_k": ({"inputs": encoded(), "parameters": {"top_k": 0}}, "top_k"),
    "top_k of a fraction": ({"inputs": encoded(), "parameters": {"top_k": "3.5"}}, "integer of at least 1, got '3.5'"),
    "top_k of text": ({"inputs": encoded(), "parameters": {"top_k": "many"}}, "integer of at least 1, got 'many'"),
    "top_k of truth": ({"inputs": encoded(), "parameters": {"top_k": "true"}}, "integer of at least 1, got 'true'"),
    "deep top_k": ({"inputs": encoded(), "parameters": {"top_k": deep()}}, "integer of at least 1"),
    "long top_k": ({"inputs": encoded(), "parameters": {"top_k": -(10**5000)}}, "got a value of the type int"),
    "deep labels": ({"inputs": encoded(), "parameters": {"labels": deep()}}, "no class"),
    "deep photograph": ({"inputs": deep()}, "got list"),
    "deep parameters": ({"inputs": encoded(), "parameters": deep()}, "must be an object, got list"),
    "long key": ({"inputs": encoded(), "x" * 10**6: 1}, "has the keys 'inputs'"),
    "index": ({"inputs": encoded(), "parameters": {"labels": [5]}}, r"no class 5; the indices are 0 \.\.\. 4"),
    "negative index": ({"inputs": encoded(), "parameters": {"labels": -1}}, "no class -1"),
    "several labels in a text": ({"inputs": encoded(), "parameters": {"labels": "LABEL_0,LABEL_1"}}, "no class"),
    "threshold of text": ({"inputs": encoded(), "parameters": {"threshold": "half"}}, r"0 \.\.\. 1, got 'half'"),
    "threshold in percent": ({"inputs": encoded(), "parameters": {"threshold": "50"}}, r"0 \.\.\. 1, got '50'"),
    "top_k and labels": ({"inputs": encoded(), "parameters": {"top_k": 1, "labels": ["LABEL_0"]}}, "not both"),
    "labels": ({"inputs": encoded(), "parameters": {"labels": ["owl"]}}, "no class 'owl'"),
    "labels of numbers": ({"inputs": encoded(), "parameters": {"labels": [[1]]}}, "no class"),
    "threshold": ({"inputs": encoded(), "parameters": {"threshold": float("nan")}}, "0 ... 1, got nan"),
    "threshold of truth": ({"inputs": encoded(), "parameters": {"threshold": True}}, "0 ... 1"),
    "mask": ({"inputs": encoded(), "parameters": {"mask": "svg"}}, "'png', 'rle' or 'none'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_requests_are_refused_with_the_reason(answerer, case):
    data, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as caught:
        answerer(data)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400
    assert answerer(encoded())  # the next request is answered


@pytest.mark.parametrize(
    "given, same",
    [
        ({"top_k": "3"}, {"top_k": 3}),
        ({"top_k": 99}, {"top_k": 5}),
        ({"top_k": None, "threshold": None}, {}),
        ({"threshold": "0.45"}, {"threshold": 0.45}),
        ({"threshold": ".5"}, {}),
        ({"threshold": "1"}, {"threshold": 1.0}),
        ({"labels": "LABEL_3"}, {"labels": ["LABEL_3"]}),
        ({"labels": "3"}, {"labels": ["LABEL_3"]}),
        ({"labels": [3, "0"]}, {"labels": ["LABEL_3", "LABEL_0"]}),
    ],
)
def test_parameters_of_a_query_string_mean_the_same(answerer, given, same):
    raw = encoded()
    assert answerer({"inputs": raw, "parameters": given}) == answerer({"inputs": raw, "parameters": same})


def test_base64_with_line_breaks_is_read(answerer):
    assert answerer(base64.encodebytes(encoded()).decode()) == answerer(encoded())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.sampled_from(["png", "0.5"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
PARAMETERS = st.dictionaries(st.sampled_from(["top_k", "labels", "threshold", "mask", "other"]), VALUES, max_size=2)


@st.composite
def damaged(draw):
    """A photograph of any format, some bytes of which are changed or cut off."""
    raw = bytearray(encoded(kind=draw(st.sampled_from(FORMATS))))
    for place, value in draw(st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255)), max_size=5)):
        raw[place] = value
    return bytes(raw[: draw(st.integers(0, len(raw)))] if draw(st.booleans()) else raw)


@settings(max_examples=150)
@given(st.one_of(VALUES, damaged(), st.fixed_dictionaries({"inputs": damaged() | VALUES, "parameters": PARAMETERS})))
def test_any_request_is_answered_or_refused_in_one_line(answerer, data):
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(requests, "MAX_PIXELS", 2**18)  # a damaged header may declare any size
            answer = answerer(data)
    except ValueError as error:
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 400
    else:
        json.dumps(answer)


def test_requests_together_get_the_answers_that_they_get_alone(answerer, monkeypatch):
    """With other parameters, numbers and sizes of photographs, and unsound ones among them; in several batches."""
    given = [
        {"inputs": [encoded(30, 20), encoded(17, 40)], "parameters": {"labels": [3, 0], "mask": "rle"}},
        encoded()[:-400],
        {"inputs": encoded(8, 8, "JPEG"), "parameters": {"top_k": 5, "threshold": 0.45}},
        {"inputs": []},
        {"inputs": [encoded(30, 20)] * 3, "parameters": {"top_k": 2}},
    ]
    alone = []
    for data in given:
        try:
            alone.append(answerer(data))
        except ValueError as error:
            alone.append(str(error))
    batches = []
    run = answerer.engine.run
    monkeypatch.setattr(answerer.engine, "run", lambda inputs: batches.append(len(inputs)) or run(inputs))
    for most, sizes in ((MAX_BATCH, [6]), (4, [4, 2]), (1, [1] * 6)):
        monkeypatch.setattr(answers, "MAX_BATCH", most)
        batches.clear()
        found = dict(answerer.answer_together(given))
        assert batches == sizes
        for number, expected in enumerate(alone):
            if isinstance(expected, str):
                assert isinstance(found[number], ValueError) and str(found[number]) == expected
            else:
                assert_same(found[number], expected)


def assert_same(found, expected):
    """Equal but for the last digits of scores, which depend on the batch."""
    if isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, dict):
        assert found == expected | {"score": pytest.approx(expected["score"], abs=1e-6)}


def test_an_error_of_the_model_is_not_taken_for_one_of_the_request(answerer, monkeypatch):
    monkeypatch.setattr(answerer.engine, "run", lambda inputs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        answerer(encoded())
