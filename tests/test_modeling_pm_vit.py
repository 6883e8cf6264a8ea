"""The model: equal to ViT of transformers, the masks, the loss, input checks and `explain`."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification

LABELS = torch.tensor([3, 0])


def pixels(batch: int = 2, height: int = 32, width: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


# --- equal to ViT of transformers ---


@pytest.fixture
def stock(tmp_path, tiny):
    torch.manual_seed(1)
    model = ViTForImageClassification(ViTConfig(**tiny)).eval()
    model.save_pretrained(tmp_path / "stock")
    return model, tmp_path / "stock"


def old_names(state: dict) -> dict:
    """The keys that checkpoints had before transformers 5."""
    renames = [
        ("vit.layers.", "vit.encoder.layer."),
        ("attention.q_proj", "attention.attention.query"),
        ("attention.k_proj", "attention.attention.key"),
        ("attention.v_proj", "attention.attention.value"),
        ("attention.o_proj", "attention.output.dense"),
        ("mlp.fc1", "intermediate.dense"),
        ("mlp.fc2", "output.dense"),
    ]
    renamed = {}
    for key, value in state.items():
        for new, old in renames:
            key = key.replace(new, old)
        renamed[key] = value
    return renamed


@pytest.mark.parametrize("names", ["new", "old"])
def test_stock_checkpoint_loads_completely_with_equal_logits(stock, names):
    upstream, folder = stock
    if names == "old":
        file = folder / "model.safetensors"
        save_file(old_names(load_file(file)), file, {"format": "pt"})
    model, info = PMViTForImageClassification.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in upstream.parameters())
    assert torch.equal(model(pixels()).logits, upstream(pixels()).logits)


def test_checkpoint_loads_as_a_stock_vit(make_model, tmp_path):
    model = make_model()
    model.save_pretrained(tmp_path)
    upstream, info = ViTForImageClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values()), info
    assert torch.equal(model(pixels()).logits, upstream(pixels()).logits)


@pytest.mark.parametrize("size", [(64, 64), (24, 40), (8, 96)])
def test_positions_are_interpolated_as_in_transformers(stock, size):
    upstream, folder = stock
    model = PMViTForImageClassification.from_pretrained(folder)
    expected = upstream(pixels(2, *size), interpolate_pos_encoding=True).logits
    assert torch.allclose(model(pixels(2, *size)).logits, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("image", "patch", "other"),
    [((32, 48), 8, (48, 16)), (32, (8, 16), (24, 64)), ((16, 64), (4, 16), (8, 32))],
)
def test_images_and_patches_that_are_not_square(make_model, image, patch, other):
    model = make_model(image_size=image, patch_size=patch)
    patch = (patch, patch) if isinstance(patch, int) else patch
    own = (image, image) if isinstance(image, int) else image
    for size in (own, other):
        outputs = model(pixels(2, *size), explain_labels=2)
        assert outputs.mask_logits.shape == (2, 2, size[0] // patch[0], size[1] // patch[1])
    interpolated = model(pixels(2, *own), interpolate_pos_encoding=True).logits
    assert torch.allclose(model(pixels(2, *own)).logits, interpolated, atol=1e-6)


def test_checkpoint_with_another_number_of_classes(stock):
    model = PMViTForImageClassification.from_pretrained(stock[1], num_labels=3, ignore_mismatched_sizes=True)
    assert model(pixels()).logits.shape == (2, 3)


@pytest.mark.parametrize("classes", [1, 3, 1000])
def test_fresh_classifier_expects_each_class_once_in_k_patches(stock, tiny, classes):
    fresh = PMViTForImageClassification(PMViTConfig(**tiny | {"num_labels": classes}))
    found = PMViTForImageClassification.from_pretrained(stock[1], num_labels=classes, ignore_mismatched_sizes=True)
    for model in (fresh, found):
        logits = model.classifier(torch.zeros(1, model.config.hidden_size))
        torch.testing.assert_close(logits.exp().sum(), torch.tensor(1.0))  # equals the background, whose logit is 0


# --- the masks ---


def all_mask_logits(model, pixel_values) -> torch.Tensor:
    """(batch, num_labels, patches), computed directly."""
    tokens = model.vit(pixel_values, interpolate_pos_encoding=True).last_hidden_state[:, 1:]
    return torch.einsum("ch,bnh->bcn", model.classifier.weight, tokens) + model.classifier.bias[:, None]


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
@pytest.mark.parametrize("explain", [1, 3, 5, [[4, 0], [2, 2]], [[1], [0]]])
def test_masks_are_the_classifier_on_the_final_patch_tokens(make_model, size, explain):
    model = make_model()
    explain_labels = explain if isinstance(explain, int) else torch.tensor(explain)
    outputs = model(pixels(2, *size), explain_labels=explain_labels)
    if isinstance(explain, int):
        assert torch.equal(outputs.explain_labels, outputs.logits.topk(explain).indices)
    else:
        assert outputs.explain_labels.tolist() == explain
    everything = all_mask_logits(model, pixels(2, *size)).unflatten(-1, (size[0] // 8, size[1] // 8))
    for image in range(2):
        expected = everything[image, outputs.explain_labels[image]]
        assert torch.allclose(outputs.mask_logits[image], expected, atol=1e-5)


def test_classes_that_are_explained_by_default(make_model):
    model = make_model()
    predicted = model(pixels())
    assert torch.equal(predicted.explain_labels[:, 0], predicted.logits.argmax(-1))
    assert torch.equal(model(pixels(), labels=LABELS).explain_labels[:, 0], LABELS)
    nothing = model(pixels(), explain_labels=0)
    assert nothing.mask_logits is None
    assert nothing.explain_labels is None


def test_empty_slot_has_probability_zero(make_model):
    outputs = make_model()(pixels(), explain_labels=torch.tensor([[2, -100], [-100, -100]]))
    probabilities = outputs.mask_logits.sigmoid()
    assert probabilities[0, 0].min() > 0
    assert probabilities[0, 1].max() == probabilities[1].max() == 0


# --- the loss ---


def reference_mask_loss(model, pixel_values, mask_labels, explain_labels, kind: str) -> float:
    everything = all_mask_logits(model, pixel_values).double()
    total = 0.0
    for image in range(len(mask_labels)):
        losses = []
        slots = [k for k in range(mask_labels.shape[1]) if explain_labels[image, k] >= 0]
        for patch in range(everything.shape[-1]):
            given = {int(explain_labels[image, k]): mask_labels[image, k].flatten()[patch].item() for k in slots}
            covered = {c: m for c, m in given.items() if m != -100}
            if not covered:
                continue
            z = {c: v.item() for c, v in enumerate(everything[image, :, patch]) if given.get(c) != -100}
            loss = 0.0
            if kind in ("sigmoid", "joint"):
                for c, logit in z.items():
                    p = 1 / (1 + math.exp(-logit))
                    m = covered.get(c, 0.0)
                    loss -= m * math.log(p) + (1 - m) * math.log(1 - p)
            if kind in ("softmax", "joint"):
                scale = max(1.0, sum(covered.values()))
                whole = 1 + sum(math.exp(v) for v in z.values())
                targets = {c: m / scale for c, m in covered.items()}
                loss -= (1 - sum(targets.values())) * math.log(1 / whole)
                loss -= sum(m * math.log(math.exp(z[c]) / whole) for c, m in targets.items())
            losses.append(loss)
        total += sum(losses) / max(1, len(losses))
    return total / len(mask_labels)


def some_masks() -> tuple[torch.Tensor, torch.Tensor]:
    """Two classes, an unknown area and one of a class; overlapping classes; no mask; a mask of one of two classes."""
    masks = torch.rand(4, 2, 4, 4, generator=torch.Generator().manual_seed(3))
    masks[0, :, 0, :2] = masks[0, 1, 2] = -100
    masks[1] = masks[1] / 2 + 0.5
    masks[2] = -100
    masks[3, 1] = -100
    return masks, torch.tensor([[3, 1], [0, 4], [2, -100], [1, 2]])


@pytest.mark.parametrize("kind", ["joint", "softmax", "sigmoid"])
def test_mask_loss_equals_the_reference(make_model, kind):
    model = make_model(mask_loss_type=kind, mask_loss_weight=0.7)
    masks, explain = some_masks()
    labels = explain[:, 0]
    outputs = model(pixels(4), labels=labels, mask_labels=masks, explain_labels=explain)
    expected = reference_mask_loss(model, pixels(4), masks, explain, kind)
    assert outputs.mask_loss.item() == pytest.approx(expected, rel=1e-5)
    classification = torch.nn.functional.cross_entropy(outputs.logits, labels)
    assert outputs.classification_loss.item() == pytest.approx(classification.item(), rel=1e-5)
    assert outputs.loss.item() == pytest.approx(classification.item() + 0.7 * expected, rel=1e-5)


@settings(max_examples=15, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 7), max_size=3),
    masked=st.sets(st.integers(0, 7)),
    kind=st.sampled_from(["joint", "softmax", "sigmoid"]),
)
def test_loss_does_not_depend_on_the_division_into_batches(cuts, masked, kind):
    torch.manual_seed(0)
    config = PMViTConfig(
        image_size=16, patch_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, num_labels=3
    )
    config.mask_loss_type = kind
    model = PMViTForImageClassification(config)
    images, labels = pixels(8, 16, 16), torch.arange(8) % 3
    masks = torch.rand(8, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    masks[[i for i in range(8) if i not in masked]] = -100

    def loss_and_gradient(parts):
        model.zero_grad()
        total = 0.0
        for part in parts:
            loss = model(images[part], labels=labels[part], mask_labels=masks[part], num_items_in_batch=8).loss
            loss.backward()
            total += loss.item()
        return total, torch.cat([p.grad.flatten() for p in model.parameters()])

    edges = sorted({0, 8, *cuts})
    whole, gradient = loss_and_gradient([slice(0, 8)])
    in_parts, gradient_in_parts = loss_and_gradient([slice(a, b) for a, b in pairwise(edges)])
    assert in_parts == pytest.approx(whole, rel=1e-5)
    assert torch.allclose(gradient, gradient_in_parts, atol=1e-5)
    assert model(images, labels=labels, mask_labels=masks).loss.item() == pytest.approx(whole, rel=1e-5)


def test_batch_without_masks_has_only_the_classification_loss(make_model):
    model = make_model()
    without = torch.full((2, 1, 4, 4), -100.0)
    gradients = []
    for extra in ({"mask_labels": without}, {}):
        model.zero_grad()
        outputs = model(pixels(), labels=LABELS, **extra)
        outputs.loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert model(pixels(), labels=LABELS, mask_labels=without).mask_loss == 0
    assert torch.equal(*gradients)


@pytest.mark.parametrize("problem", [None, "multi_label_classification"])
def test_several_labels_per_image(make_model, problem):
    model = make_model(problem_type=problem)
    labels = torch.tensor([[1.0, 0, 1, 0, 0], [0, 0, 0, 0, 0]])
    masks, explain = some_masks()
    outputs = model(pixels(), labels=labels, mask_labels=masks[:2], explain_labels=explain[:2])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(outputs.logits, labels)
    assert outputs.classification_loss.item() == pytest.approx(expected.item())
    assert outputs.mask_loss > 0


def test_training_on_masks_finds_the_object(make_model):
    """A bright square on noise: after a few steps the probability of its class is high there and low elsewhere."""
    model = make_model().train()
    images, masks = pixels(16, seed=2) * 0.3, torch.zeros(16, 1, 4, 4)
    for i in range(16):
        y, x = divmod(i, 4)
        images[i, :, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] += 0.7
        masks[i, 0, y, x] = 1
    labels = torch.full((16,), 2)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        model(images, labels=labels, mask_labels=masks).loss.backward()
        optimizer.step()
    probabilities = model.eval()(images, labels=labels).mask_logits.sigmoid()
    assert probabilities[masks == 1].min() > 0.8
    assert probabilities[masks == 0].max() < 0.2


# --- attention, precision, compilation, export ---


@pytest.mark.parametrize("implementation", ["eager", "sdpa", pytest.param("flex_attention", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_attention_implementations_agree(make_model, implementation):
    # Flex attention has no backward on a CPU. Run eagerly, it computes the same without half a minute of compiling.
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        expected = make_model(attn_implementation="eager")(pixels(2, 24, 40), explain_labels=2)
        outputs = make_model(attn_implementation=implementation)(pixels(2, 24, 40), explain_labels=2)
    assert torch.allclose(outputs.mask_logits, expected.mask_logits, atol=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.05), (torch.float16, 0.005)])
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_half_precision(make_model, dtype, tolerance, size):
    expected = make_model()(pixels(2, *size), labels=LABELS)
    model = make_model().to(dtype)
    masks = torch.full((2, 1, size[0] // 8, size[1] // 8), 0.25)
    outputs = model(pixels(2, *size).to(dtype), labels=LABELS, mask_labels=masks)
    assert outputs.mask_logits.dtype == dtype
    assert torch.allclose(outputs.mask_logits.float(), expected.mask_logits, atol=tolerance)
    outputs.loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("frozen", [None, 0, 1])  # layers; the embeddings too, unless None
@pytest.mark.parametrize(
    "settings", [None, {"preserve_rng_state": False}, {"use_reentrant": False}, {"use_reentrant": True}]
)
@pytest.mark.parametrize("start", ["pixels", "cached features"])
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # those of frozen layers
def test_gradient_checkpointing_gives_equal_gradients(make_model, frozen, settings, start):
    masks, explain = some_masks()
    inputs = {"labels": explain[:, 0], "mask_labels": masks, "explain_labels": explain}
    gradients = []
    for checkpointing in (False, True):
        model = make_model(num_hidden_layers=3).train()
        for part in () if frozen is None else (model.vit.embeddings, *model.vit.layers[:frozen]):
            part.requires_grad_(False)
        if checkpointing:
            model.activation_checkpointing_enable(settings)
        if start == "pixels":
            loss = model(pixels(4), **inputs).loss
        else:
            tokens = model.vit.embeddings(pixels(4)).detach()
            for layer in model.vit.layers:
                tokens = layer(tokens)
            loss = model.explain_tokens(model.vit.layernorm(tokens), (4, 4), **inputs).loss
        loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_hidden_states_and_attentions(make_model):
    outputs = make_model(attn_implementation="eager")(pixels(), output_hidden_states=True, output_attentions=True)
    assert [tuple(h.shape) for h in outputs.hidden_states] == [(2, 17, 16)] * 3
    assert [tuple(a.shape) for a in outputs.attentions] == [(2, 2, 17, 17)] * 2


@pytest.mark.parametrize("where", ["argument", "config"])
def test_tuples_instead_of_names(make_model, where):
    model = make_model()
    expected = model(pixels(), labels=LABELS)
    if where == "config":
        model.config.return_dict = False
        outputs = model(pixels(), labels=LABELS)
    else:
        outputs = model(pixels(), labels=LABELS, return_dict=False)
    assert isinstance(outputs, tuple)
    for ours, theirs in zip(outputs[:3], (expected.loss, expected.logits, expected.mask_logits), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "aot_eager_decomp_partition"])  # all of inductor but its C++ compiler
def test_compiled_without_graph_breaks(make_model, backend):
    masks, explain = some_masks()
    model = make_model(num_hidden_layers=1)
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    with torch.no_grad():
        expected, outputs = model(pixels(), explain_labels=2), compiled(pixels(), explain_labels=2)
    assert torch.allclose(outputs.mask_logits, expected.mask_logits, atol=1e-5)
    inputs = {"labels": explain[:, 0], "mask_labels": masks, "explain_labels": explain}
    assert compiled(pixels(4), **inputs).loss.item() == pytest.approx(model(pixels(4), **inputs).loss.item(), rel=1e-4)


@pytest.mark.slow
def test_exported_with_any_batch_size_and_number_of_classes(make_model):
    model = make_model(num_hidden_layers=1)

    class Explainer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, pixel_values, explain_labels):
            outputs = self.model(pixel_values, explain_labels=explain_labels)
            return outputs.logits, outputs.mask_logits

    batch, side = torch.export.Dim("batch"), {"min": 2, "max": 32}
    exported = torch.export.export(
        Explainer(),
        (pixels(2, 24, 40), torch.tensor([[1, 2, 3], [0, 1, 2]])),
        dynamic_shapes={
            "pixel_values": {
                0: batch,
                2: 8 * torch.export.Dim("rows", **side),
                3: 8 * torch.export.Dim("columns", **side),
            },
            "explain_labels": {0: batch, 1: torch.export.Dim("classes", min=1, max=5)},
        },
    ).module()
    for size in ((32, 32), (48, 16)):
        explain = torch.tensor([[1, 4], [0, 2], [3, 3]])
        expected = model(pixels(3, *size), explain_labels=explain)
        logits, mask_logits = exported(pixels(3, *size), explain)
        assert torch.allclose(logits, expected.logits, atol=1e-5)
        assert torch.allclose(mask_logits, expected.mask_logits, atol=1e-5)


@pytest.mark.parametrize(
    "places",
    [
        {"vit": "cpu", "classifier": "cpu"},
        {"vit": "cpu", "classifier": "disk"},
        {"vit": "disk", "classifier": "cpu"},
        {"vit.embeddings": "cpu", "vit.layers": "disk", "vit.layernorm": "cpu", "classifier": "disk"},
        {"": "disk"},
    ],
)
def test_parts_on_other_devices(make_model, make_processor, tmp_path, places):
    pytest.importorskip("accelerate")
    model, image = make_model(), Image.effect_noise((40, 30), 80)
    model.save_pretrained(tmp_path / "model")
    placed = PMViTForImageClassification.from_pretrained(
        tmp_path / "model", device_map=places, offload_folder=tmp_path / "offload"
    )
    assert placed.device == torch.device("cpu")
    expected = model(pixels(), explain_labels=2)
    outputs = placed(pixels(), explain_labels=2)
    assert torch.equal(outputs.logits, expected.logits)
    torch.testing.assert_close(outputs.mask_logits, expected.mask_logits)
    torch.testing.assert_close(placed.predict(pixels(), 2).mask_logits, expected.mask_logits)
    whole, in_parts = (m.explain(image, top_k=2, image_processor=make_processor())["heatmaps"] for m in (model, placed))
    torch.testing.assert_close(in_parts, whole)


# --- wrong input ---


MASKS = torch.rand(2, 1, 4, 4)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_one_pixel_that_is_not_finite_is_refused(make_model, value, dtype, attention):
    images = pixels(3).to(dtype)
    images[1, 2, 31, 17] = value
    with pytest.raises(ValueError, match="pixel_values must be finite"):
        make_model(attn_implementation=attention).to(dtype)(images)


def test_large_pixels_are_not_taken_for_infinite_ones(make_model):
    make_model().half()(torch.full((1, 3, 32, 32), 6e4, dtype=torch.float16))  # their sum overflows


def test_weights_that_are_not_finite_raise_no_error_about_pixels(make_model):
    model = make_model()
    model.classifier.weight.data[:] = torch.nan
    assert model(pixels()).logits.isnan().all()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"pixel_values": torch.rand(3, 32, 32)}, r"\(batch, 3, height, width\), got \(3, 32, 32\)"),
        ({"pixel_values": torch.rand(2, 1, 32, 32)}, r"got \(2, 1, 32, 32\)"),
        ({"pixel_values": torch.rand(2, 3, 32, 30)}, r"patch size 8 divides, got 32 x 30"),
        ({"pixel_values": torch.full((2, 3, 32, 32), torch.nan)}, "finite, got NaN"),
        ({"labels": torch.tensor([0, 5])}, r"labels must lie in 0 \.\.\. 4 .*got 5"),
        ({"labels": torch.tensor([0, -1])}, "got -1"),
        ({"labels": torch.tensor([0])}, r"batch size 2, got the shape \(1,\)"),
        ({"labels": torch.zeros(2, 4)}, r"num_labels = 5\), got torch.float32 of shape \(2, 4\)"),
        ({"labels": torch.zeros(2, 5, dtype=torch.long)}, "labels as floats"),
        ({"mask_labels": MASKS}, "without labels"),
        ({"labels": LABELS, "mask_labels": MASKS[..., :3]}, r"\(2, 1, 4, 4\), got \(2, 1, 4, 3\)"),
        ({"labels": LABELS, "mask_labels": MASKS.expand(2, 2, 4, 4)}, r"got \(2, 2, 4, 4\)"),
        ({"labels": LABELS, "mask_labels": MASKS * 0 + 1.5}, r"in \[-1, 1\] .*got 1.5"),
        ({"labels": LABELS, "mask_labels": MASKS * 0 - 1.5}, "got -1.5"),
        ({"labels": LABELS, "mask_labels": MASKS * torch.nan}, "got nan"),
        ({"explain_labels": 6}, r"0 \.\.\. num_labels = 5, got 6"),
        ({"explain_labels": -1}, "got -1"),
        ({"explain_labels": torch.tensor([1, 2])}, r"\(batch, K\) with batch = 2, got torch.int64 of shape \(2,\)"),
        ({"explain_labels": torch.tensor([[1], [5]])}, "got 5"),
        ({"explain_labels": torch.tensor([[1.0], [2.0]])}, "float32"),
    ],
)
def test_error_for_wrong_input_names_expected_and_found(make_model, inputs, message):
    with pytest.raises(ValueError, match=message):
        make_model()(**({"pixel_values": pixels()} | inputs))


@pytest.mark.parametrize(
    "wrong", [{"num_labels": 0}, {"mask_loss_weight": -1.0}, {"mask_loss_type": "both"}, {"class_temperature": 0.0}]
)
def test_wrong_settings_are_refused(make_model, wrong):
    with pytest.raises(Exception, match=next(iter(wrong))):
        make_model(**wrong)


def test_indices_of_classes_as_strings(make_model, make_processor, tmp_path):
    """As the image-classification example of transformers gives them to `AutoConfig.from_pretrained`."""
    make_model(id2label={0: "a", 1: "b"}).save_pretrained(tmp_path)
    names = {"id2label": {"0": "cup", "1": "pen"}, "label2id": {"cup": "0", "pen": "1"}}
    config = PMViTConfig.from_pretrained(tmp_path, **names)
    assert config.id2label == {0: "cup", 1: "pen"}
    assert config.label2id == {"cup": 0, "pen": 1}
    model = PMViTForImageClassification.from_pretrained(tmp_path, config=config)
    found = model.explain(Image.new("RGB", (8, 8)), ["pen", 0], image_processor=make_processor())
    assert found["labels"] == ["pen", "cup"]


# --- explain ---


@pytest.fixture
def bright_model(make_model):
    """A model whose class 0 is at the bright patches."""
    model = make_model(hidden_size=4, num_attention_heads=1, num_hidden_layers=0, id2label={0: "bright", 1: "dark"})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.vit.layernorm.weight.fill_(1)
        projection = model.vit.embeddings.patch_embeddings.projection
        projection.weight[0], projection.bias[1] = 1 / 192, 0.5
        model.classifier.weight[0] = torch.tensor([6.0, -6.0, 0.0, 0.0])
    return model


PLAIN = {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}


@pytest.mark.parametrize("spot", [(0, 0), (1, 3), (3, 0), (2, 2)])
@pytest.mark.parametrize("size", [(80, 40), (100, 164)])
def test_heatmap_is_at_the_object(bright_model, make_processor, spot, size):
    """Not shifted by a patch, not mirrored, not transposed, on an image that is not square."""
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    rows = slice(spot[0] * height // 4, (spot[0] + 1) * height // 4)
    columns = slice(spot[1] * width // 4, (spot[1] + 1) * width // 4)
    image[rows, columns] = 255
    explained = bright_model.explain(Image.fromarray(image), ["bright"], image_processor=make_processor(**PLAIN))
    heatmap = explained["heatmaps"][0].numpy()
    assert heatmap.shape == (height, width)
    weight = heatmap / heatmap.sum()
    centre = (weight.sum(1) @ np.arange(height), weight.sum(0) @ np.arange(width))
    middle = ((rows.start + rows.stop - 1) / 2, (columns.start + columns.stop - 1) / 2)
    assert centre == pytest.approx(middle, abs=0.05 * max(size))
    box = explained["boxes"][0]
    expected = [columns.start, rows.start, columns.stop, rows.stop]
    assert box == pytest.approx(expected, abs=0.05 * max(size))


def test_explain_one_or_several_images_by_name_index_or_number(bright_model, make_processor, tmp_path):
    processor = make_processor(**PLAIN)
    image = Image.new("RGB", (30, 20), "white")
    image.save(tmp_path / "white.png")
    one = bright_model.explain(tmp_path / "white.png", top_k=2, image_processor=processor)
    assert set(one) == {"label_ids", "labels", "scores", "heatmaps", "masks", "boxes", "confidence", "doubt"}
    assert one["labels"][one["scores"].argmax()] in ("bright", "dark")
    assert one["scores"].sum().item() == pytest.approx(1)
    many = bright_model.explain([image, np.zeros((8, 8, 3), np.uint8)], ["dark", 0], image_processor=processor)
    assert [explanation["labels"] for explanation in many] == [["dark", "bright"]] * 2
    assert [tuple(explanation["heatmaps"].shape) for explanation in many] == [(2, 20, 30), (2, 8, 8)]
    assert torch.equal(bright_model.explain(image, "dark", image_processor=processor)["label_ids"], torch.tensor([1]))
    with pytest.raises(ValueError, match=r"no class 'dim'.*bright"):
        bright_model.explain(image, "dim", image_processor=processor)


def test_a_small_object_of_a_panorama_is_found_at_the_proportions_of_the_image(bright_model, make_processor, tmp_path):
    """Squeezed to a square, the object is a part of the patches; the others are photographs of other shapes."""
    processor = make_processor(**PLAIN)
    panorama = np.zeros((60, 600, 3), np.uint8)
    panorama[:, 400:460] = 255
    tall = panorama.transpose(1, 0, 2)
    squeezed = bright_model.explain([panorama, tall], ["bright"], image_processor=processor)
    assert [one["boxes"] for one in squeezed] == [[None], [None]]
    kept = bright_model.explain(
        [panorama, tall, np.full((40, 40, 3), 255, np.uint8)],
        ["bright"],
        image_processor=processor,
        keep_aspect_ratio=True,
    )
    assert [tuple(one["heatmaps"].shape) for one in kept] == [(1, 60, 600), (1, 600, 60), (1, 40, 40)]
    assert kept[0]["boxes"][0] == pytest.approx((400, 0, 460, 60), abs=24)  # half a patch
    assert kept[1]["boxes"][0] == pytest.approx((0, 400, 60, 460), abs=24)
    assert kept[2]["boxes"][0] == (0, 0, 40, 40)


def test_explain_takes_the_patch_size_of_the_model(make_model, make_processor):
    """Stock checkpoints do not state it in their image processor."""
    wrong = make_processor(patch_size=16, size={"shortest_edge": 40})
    image = Image.new("RGB", (90, 50))
    assert make_model().explain(image, image_processor=wrong)["heatmaps"].shape == (1, 50, 90)
    assert wrong.patch_size == 16


def test_another_image_processor_is_refused_by_name(make_model):
    with pytest.raises(ValueError, match=r"must be a PMViTImageProcessor, got ViTImageProcessor: .*from_pretrained"):
        make_model().explain(Image.new("RGB", (8, 8)), image_processor=ViTImageProcessor())


def test_maps_at_the_size_of_the_patches(make_model, make_processor):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 90, 3), np.uint8))
    model, processor = make_model(), make_processor()
    found = model.explain(image, top_k=3, image_processor=processor, map_size="grid")
    prediction = model.predict(processor(image, return_tensors="pt").pixel_values, 3)
    assert torch.allclose(found["heatmaps"], prediction.mask_logits[0].sigmoid(), atol=1e-6)
    assert found["boxes"] == model.explain(image, top_k=3, image_processor=processor)["boxes"]


def test_explain_keeps_the_training_mode(make_model, make_processor):
    model = make_model().train()
    assert model.explain(Image.new("RGB", (8, 8)), image_processor=make_processor())["heatmaps"].requires_grad is False
    assert model.training
    with pytest.raises(ValueError, match="num_labels"):
        model.predict(torch.zeros(1, 3, 32, 32), 9)
    assert model.training


def test_explain_uses_the_processor_of_the_checkpoint(make_model, make_processor, tmp_path):
    make_model().save_pretrained(tmp_path)
    make_processor(size={"height": 16, "width": 24}).save_pretrained(tmp_path)
    model = PMViTForImageClassification.from_pretrained(tmp_path)
    assert model.explain(Image.new("RGB", (9, 7)))["heatmaps"].shape == (1, 7, 9)


def test_a_compiled_model_trains_as_the_model_does(make_model):
    model = make_model()
    batch = {
        "pixel_values": torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)),
        "labels": torch.tensor([1, 2]),
        "mask_labels": torch.full((2, 1, 4, 4), 0.5),
        "explain_labels": torch.tensor([[1], [2]]),
    }
    expected = model(**batch).loss
    torch._dynamo.reset()
    found = torch.compile(model, backend="aot_eager")(**batch).loss
    assert torch.allclose(found, expected, atol=1e-5)
    found.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
