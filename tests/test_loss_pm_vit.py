"""The loss: unknown labels and masks, a single class, several labels per image, and batches that are split."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification
from modeling_pm_vit.explanation_pm_vit import IGNORE

CLASSES = 3
SMALL = {"image_size": 16, "patch_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
MULTI, SINGLE = "multi_label_classification", "single_label_classification"


def small_model(num_labels: int = CLASSES, **config) -> PMViTForImageClassification:
    torch.manual_seed(0)
    return PMViTForImageClassification(PMViTConfig(**SMALL, num_labels=num_labels, **config)).eval()


def batch(count: int = 8, num_labels: int = CLASSES, seed: int = 0) -> dict[str, torch.Tensor]:
    """Images with labels and masks of all classes; explained are all of them, in another order for each image."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.stack([torch.randperm(num_labels, generator=generator) for _ in range(count)])
    return {
        "pixel_values": torch.rand(count, 3, 16, 16, generator=generator),
        "labels": (torch.rand(count, num_labels, generator=generator) < 0.5).float(),
        "mask_labels": torch.rand(count, num_labels, 2, 2, generator=generator),
        "explain_labels": order,
    }


def gradient_of(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


# --- no label at all ---


@pytest.mark.parametrize("problem", [None, SINGLE, MULTI])
@pytest.mark.parametrize("count", [None, 0, torch.tensor(0)])
def test_a_batch_without_labels_trains_the_maps(problem, count):
    model, inputs = small_model(problem_type=problem), batch()
    expected = model(**inputs | {"labels": torch.zeros(8, dtype=torch.long) if problem != MULTI else inputs["labels"]})
    inputs["labels"] = torch.full((8, CLASSES) if problem == MULTI else (8,), IGNORE)
    if problem == MULTI:
        inputs["labels"] = inputs["labels"].float()
    outputs = model(**inputs, num_items_in_batch=count)
    assert outputs.classification_loss == 0
    assert outputs.mask_loss.item() == pytest.approx(expected.mask_loss.item())
    assert outputs.loss.item() == pytest.approx(outputs.mask_loss.item())
    outputs.loss.backward()
    assert gradient_of(model).isfinite().all()
    assert gradient_of(model).abs().max() > 0


class Examples(torch.utils.data.Dataset):
    def __init__(self, inputs: dict[str, torch.Tensor]):
        self.inputs = inputs

    def __len__(self) -> int:
        return len(self.inputs["labels"])

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {name: values[index] for name, values in self.inputs.items()}


def step_with_trainer(folder, inputs: dict[str, torch.Tensor], split: int, **config) -> tuple[float, torch.Tensor]:
    """One step of gradient descent by the Trainer of transformers: its loss and the weights."""
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(
        str(folder),
        per_device_train_batch_size=len(inputs["labels"]) // split,
        gradient_accumulation_steps=split,
        **{"max_steps": 1, "logging_steps": 1, "learning_rate": 0.1, "optim": "sgd", "max_grad_norm": 0},
        **{"report_to": "none", "save_strategy": "no", "use_cpu": True, "disable_tqdm": True},
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    model = small_model(**config)
    trainer = Trainer(model, arguments, train_dataset=Examples(inputs))
    trainer.train()
    return trainer.state.log_history[0]["loss"], nn.utils.parameters_to_vector(model.parameters())


@pytest.mark.parametrize(("classes", "known"), [(1, "all"), (CLASSES, "some"), (CLASSES, "none")])
def test_accumulation_under_the_trainer_of_transformers_changes_nothing(tmp_path, classes, known):
    inputs = batch(16, classes)
    if known == "some":
        inputs["labels"][torch.rand(16, classes, generator=torch.Generator().manual_seed(1)) < 0.4] = IGNORE
    elif known == "none":
        inputs["labels"][:] = IGNORE
    before = small_model(num_labels=classes, problem_type=MULTI)
    loss, weights = step_with_trainer(tmp_path, inputs, 1, num_labels=classes, problem_type=MULTI)
    split_loss, split_weights = step_with_trainer(tmp_path, inputs, 4, num_labels=classes, problem_type=MULTI)
    if known != "some":
        assert loss == pytest.approx(before(**inputs).loss.item(), abs=1e-5)
    if known == "none":  # Trainer does not tell the number of parts, so each counts in full
        assert split_weights.isfinite().all()
        assert not torch.equal(split_weights, nn.utils.parameters_to_vector(before.parameters()))
    else:
        assert split_loss == pytest.approx(loss, abs=1e-5)
        torch.testing.assert_close(split_weights, weights, rtol=0, atol=1e-6)


# --- which images have a mask ---


@pytest.mark.parametrize("masked", [[], [1], [0, 2, 3]])
def test_the_images_with_a_mask_may_be_named(masked):
    """The first two classes of an image; of some patches one of them is unknown."""
    model, inputs = small_model(), batch(4)
    inputs = {name: values[:, :2] if name.endswith("_labels") else values for name, values in inputs.items()}
    inputs["labels"] = inputs["explain_labels"][:, 0]
    inputs["mask_labels"][[row for row in range(4) if row not in masked]] = IGNORE
    inputs["mask_labels"][:, 1, 0] = IGNORE
    losses, gradients = [], []
    for rows in (None, masked, range(4)):
        model.zero_grad()
        loss = model(**inputs, mask_rows=None if rows is None else torch.tensor(list(rows), dtype=torch.long)).loss
        loss.backward()
        losses.append(loss.item())
        gradients.append(gradient_of(model))
    assert losses == [pytest.approx(losses[0])] * 3
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0])


@pytest.mark.parametrize("several", [False, True])
def test_a_step_does_not_wait_for_a_gpu(gpu, monkeypatch, several):
    """But for one of many calls, which checks the values, and for images with masks that are not named."""
    monkeypatch.setattr("modeling_pm_vit.modeling_pm_vit.CHECK_EVERY", 3)
    model, inputs = small_model(problem_type=MULTI if several else SINGLE), batch()
    if not several:
        inputs["labels"] = inputs["explain_labels"][:, 0]
        model.config.min_area = [0.25] * CLASSES  # of each class
    inputs = gpu.tensors(inputs | {"mask_rows": torch.tensor([1, 2])})
    gpu.moved(model)
    with gpu.watched():
        with pytest.raises(DataDependentOutputException):
            model(**inputs)
        for _ in range(2):
            loss = model(**inputs, num_items_in_batch=torch.tensor(8)).loss
        assert loss.device.type == "cuda"
        with pytest.raises(DataDependentOutputException):
            model(**inputs)
        with pytest.raises(DynamicOutputShapeException):
            model(**inputs | {"mask_rows": None})


# --- several labels per image ---


@settings(max_examples=25)
@given(
    seed=st.integers(0, 1000), kind=st.sampled_from(["joint", "softmax", "sigmoid"]), count=st.sampled_from([None, 5])
)
def test_unknown_labels_and_masks_count_as_if_they_had_been_left_out(seed, kind, count):
    """An image of which one class is unknown equals an image of a model that does not have this class."""
    rng, inputs = np.random.default_rng(seed), batch(4, seed=seed)
    model = small_model(problem_type=MULTI, mask_loss_type=kind)
    gone = int(rng.integers(CLASSES))
    kept = [c for c in range(CLASSES) if c != gone]
    inputs["labels"][:, gone] = IGNORE
    slot = inputs["explain_labels"] == gone
    inputs["mask_labels"][slot] = IGNORE
    outputs = model(**inputs, num_items_in_batch=count)

    other = small_model(len(kept), problem_type=MULTI, mask_loss_type=kind)
    kept_rows = {f"classifier.{name}": rows[kept] for name, rows in model.classifier.state_dict().items()}
    other.load_state_dict(model.state_dict() | kept_rows)
    places = torch.tensor([kept.index(c) if c in kept else IGNORE for c in range(CLASSES)])
    expected = other(
        inputs["pixel_values"],
        labels=inputs["labels"][:, kept],
        mask_labels=inputs["mask_labels"][~slot].view(4, 2, 2, 2),
        explain_labels=places[inputs["explain_labels"][~slot]].view(4, 2),
        num_items_in_batch=count,
    )
    assert outputs.classification_loss.item() == pytest.approx(expected.classification_loss.item(), rel=1e-5)
    scale = 1 if count is None else CLASSES / 2  # so many images are as many labels
    assert outputs.mask_loss.item() == pytest.approx(scale * expected.mask_loss.item(), rel=1e-4)


@settings(max_examples=15)
@given(
    cuts=st.lists(st.integers(1, 7), max_size=3),
    unknown=st.sets(st.tuples(st.integers(0, 7), st.integers(0, CLASSES - 1))),
    masked=st.sets(st.integers(0, 7)),
)
def test_the_loss_of_several_labels_does_not_depend_on_the_division_into_batches(cuts, unknown, masked):
    model, inputs = small_model(problem_type=MULTI), batch()
    for image, label in unknown:
        inputs["labels"][image, label] = IGNORE
    inputs["mask_labels"][[i for i in range(8) if i not in masked]] = IGNORE
    count = 8 * CLASSES - len(unknown)

    def loss_and_gradient(parts):
        model.zero_grad()
        losses = [model(**{n: v[part] for n, v in inputs.items()}, num_items_in_batch=count).loss for part in parts]
        sum(losses).backward()
        return sum(losses).item(), gradient_of(model)

    edges = sorted({0, 8, *cuts})
    whole, gradient = loss_and_gradient([slice(0, 8)])
    in_parts, gradient_in_parts = loss_and_gradient([slice(a, b) for a, b in pairwise(edges)])
    assert in_parts == pytest.approx(whole, rel=1e-5)
    assert torch.allclose(gradient, gradient_in_parts, atol=1e-5)


@pytest.mark.parametrize("problem", [None, MULTI])
def test_masks_of_all_classes_need_no_list_of_classes(problem):
    model, inputs = small_model(problem_type=problem), batch()
    inputs["explain_labels"] = torch.arange(CLASSES).expand(8, -1)
    expected = model(**inputs)
    del inputs["explain_labels"]
    outputs = model(**inputs)
    assert outputs.mask_loss.item() == expected.mask_loss.item()
    assert torch.equal(outputs.explain_labels, expected.explain_labels)
    with pytest.raises(ValueError, match=r"need explain_labels.*num_labels = 3, \.\.\.\), got \(8, 2, 2, 2\)"):
        model(**inputs | {"mask_labels": inputs["mask_labels"][:, :2]})


# --- a single class ---


@pytest.mark.parametrize("problem", [None, MULTI])
@pytest.mark.parametrize("dtype", [torch.long, torch.float])
@pytest.mark.parametrize("shape", [(5,), (5, 1)])
def test_a_single_class_is_present_or_absent(problem, dtype, shape):
    model, inputs = small_model(1, problem_type=problem), batch(5, 1)
    labels = torch.tensor([1, 0, 1, IGNORE, 0], dtype=dtype).view(shape)
    inputs = {"pixel_values": inputs["pixel_values"], "labels": labels, "mask_labels": inputs["mask_labels"]}
    outputs = model(**inputs)
    known = [0, 1, 2, 4]
    expected = nn.functional.binary_cross_entropy_with_logits(outputs.logits[known, 0], labels.view(-1)[known].float())
    assert outputs.classification_loss.item() == pytest.approx(expected.item())
    assert outputs.mask_loss > 0
    assert outputs.explain_labels.tolist() == [[0]] * 5
    assert model.config.problem_type == (problem or MULTI)


def test_a_single_class_learns_present_and_absent_and_its_score_says_so(make_processor):
    model = small_model(1).train()
    images = torch.rand(16, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.3
    labels = torch.arange(16) % 2
    images[labels == 1, 0] += 0.7
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        model(images, labels=labels).loss.backward()
        optimizer.step()
    scores = model.predict(images).scores[:, 0]
    assert scores[labels == 1].min() > 0.9
    assert scores[labels == 0].max() < 0.1


@pytest.mark.parametrize(
    ("num_labels", "problem", "labels", "message"),
    [
        (1, None, torch.tensor([0, 2]), r"present \(1\) or absent \(0\).*\[0, 1\] .*got 2"),
        (1, None, torch.tensor([0, -1]), "got -1"),
        (1, None, torch.zeros(2, 3), r"shape \(batch,\) or \(batch, 1\), got torch.float32 of shape \(2, 3\)"),
        (1, "regression", torch.zeros(2), "'regression', but PM-ViT predicts classes"),
        (3, "regression", torch.zeros(2, 3), "'regression', but PM-ViT predicts classes"),
        (3, MULTI, torch.tensor([[0, 1, 1.5], [0, 0, 0]]), "got 1.5"),
        (3, MULTI, torch.tensor([[0, 1, torch.nan], [0, 0, 0]]), "got nan"),
        (3, SINGLE, torch.tensor([0.0, 1.0]), "integers of shape"),
        (3, SINGLE, torch.zeros(2, 3, dtype=torch.long), "integers of shape"),
    ],
)
def test_labels_that_do_not_fit_the_problem_are_refused(num_labels, problem, labels, message):
    with pytest.raises(ValueError, match=message):
        small_model(num_labels, problem_type=problem)(batch(2)["pixel_values"], labels=labels)
