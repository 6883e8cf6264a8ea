"""How sure a model is of an image, and when it says that it does not know."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch

from modeling_pm_vit import PMViTConfig
from modeling_pm_vit.confidence_pm_vit import CONFIDENCE_SCORES, DOUBTS, confidence_of

NAMES = ["cat", "dog", "normal"]


def config(**settings):
    return PMViTConfig(id2label=dict(enumerate(NAMES)), **({"confidence_threshold": 0.5} | settings))


def doubts(probabilities, seen, **settings):
    probabilities = np.float32(probabilities)
    found = confidence_of(probabilities, np.log(probabilities), np.float32(seen), config(**settings))
    return [DOUBTS[number] for number in found[1].tolist()]


def test_a_calibrated_model_tells_what_it_does_not_know():
    answers = [[0.45, 0.3, 0.25], [0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.05, 0.05, 0.9]]
    seen = [0.9, 0.9, 0.1, 0.0]
    assert doubts(answers, seen) == ["unsure", None, "seen nowhere", "seen nowhere"]
    assert doubts(answers, seen, empty_classes=["normal"]) == ["unsure", None, "seen nowhere", None]
    assert doubts(answers, seen, confidence_score="named_and_seen", empty_classes=["normal"]) == [
        *("unsure", None, "unsure", None)
    ]
    assert doubts(answers, seen, confidence_threshold=None) == [None] * 4  # not calibrated


def softmax(logits):
    return torch.from_numpy(logits).softmax(-1).numpy()


@pytest.mark.parametrize("score", CONFIDENCE_SCORES)
def test_scores_are_those_of_torch(score):
    logits = 4 * np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    probabilities, seen = softmax(logits), np.random.default_rng(1).random(50, np.float32)
    tensors = torch.from_numpy(probabilities), torch.from_numpy(logits), torch.from_numpy(seen)
    expected = {
        "max_probability": tensors[0].amax(-1),
        "certainty": 1 - torch.distributions.Categorical(tensors[0]).entropy() / np.log(4),
        "energy": tensors[1].logsumexp(-1),
        "seen": tensors[2],
        "named_and_seen": tensors[0].amax(-1) * tensors[2],
    }
    found = CONFIDENCE_SCORES[score](probabilities, logits, seen)
    assert found.dtype == np.float32
    assert np.allclose(found, expected[score].numpy(), atol=1e-5)


@pytest.mark.parametrize("score", CONFIDENCE_SCORES)
def test_a_higher_score_is_a_surer_answer(score):
    logits = np.float32([[0.0, 0.0, 0.1], [0.0, 0.0, 3.0], [0.0, 0.0, 9.0]])
    settings = config(confidence_score=score)
    found, _ = confidence_of(softmax(logits), logits, np.float32([0.2, 0.5, 0.9]), settings)
    assert found.tolist() == sorted(found.tolist()) and len(set(found.tolist())) == 3


@pytest.mark.parametrize("explain_labels", [0, 2, torch.tensor([[2, 0], [-100, 1], [3, 4]])])
def test_what_is_seen_is_of_the_most_probable_class_whichever_is_explained(make_model, explain_labels):
    model = make_model()
    pixel_values = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = model(pixel_values, explain_labels=explain_labels).top_mask_logits
        expected = model(pixel_values, explain_labels=1).mask_logits.amax((1, 2, 3))
    assert torch.allclose(found, expected, atol=1e-6)


def test_training_computes_nothing_for_it(make_model):
    outputs = make_model().train()(torch.zeros(1, 3, 32, 32), labels=torch.tensor([0]))
    assert outputs.top_mask_logits is None


def test_the_page_in_the_browser_says_the_same(request, tmp_path):
    if not shutil.which("node"):
        pytest.skip("needs node")
    source = request.config.rootpath / "hub" / "web" / "src" / "confidence.js"
    shutil.copy(source, tmp_path / "confidence.mjs")
    rng = np.random.default_rng(0)
    cases, expected = [], []
    for score in CONFIDENCE_SCORES:
        for number in range(12):
            logits = (4 * rng.standard_normal(3)).astype(np.float32)
            masks = rng.random((3, 2, 2)).astype(np.float32) ** (1 + number % 3)
            settings = {"confidence_score": score, "confidence_threshold": [0.6, 2.0, None][number % 3]}
            settings |= {"empty_classes": ["normal"] if number % 2 else None}
            scores, seen = softmax(logits[None]), masks[int(logits.argmax())].max()[None]
            _, (doubt,) = confidence_of(scores, logits[None], seen, config(**settings))
            expected.append(DOUBTS[doubt])
            outputs = {"logits": logits.tolist(), "scores": scores[0].tolist()}
            outputs |= {"masks": masks.ravel().tolist(), "rows": 2, "columns": 2}
            cases.append([settings | {"labels": NAMES}, outputs])
    script = f"""
      import {{ doubtOf, textOf }} from "{(tmp_path / "confidence.mjs").as_uri()}";
      const cases = {json.dumps(cases)};
      const typed = (outputs) => ({{ ...outputs, masks: Float32Array.from(outputs.masks) }});
      const found = cases.map(([model, outputs]) => doubtOf(model, typed(outputs)));
      console.log(JSON.stringify([found, found.map(textOf)]));
    """
    done = subprocess.run(["node", "--input-type=module", "-e", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found, texts = json.loads(done.stdout)
    assert found == expected and set(expected) == set(DOUBTS)
    assert [bool(text) for text in texts] == [doubt is not None for doubt in expected]
