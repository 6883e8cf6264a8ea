import pytest
import torch
from safetensors.torch import load_file
from torch.nn.modules.module import register_module_forward_hook
from transformers.models.vit.modeling_vit import ViTMLP

from modeling_pm_vit import PMViTConfig, PMViTForImageClassification
from modeling_pm_vit.training.cached_features import FrozenLayers

KEEP = ("--frozen_layers", "1", "--num_hidden_layers", "3", "--max_steps", "-1", "--num_train_epochs", "4")


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = PMViTConfig(
        image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, num_labels=4
    )
    return PMViTForImageClassification(config).eval()


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("bf16", [False, True])
def test_frozen_and_trainable_part_together_equal_the_whole_model(model, count, bf16):
    pixel_values, labels = torch.randn(3, 3, 32, 48), torch.tensor([0, 3, 1])
    frozen = FrozenLayers(model, count, bf16)
    with torch.no_grad():
        expected = model(pixel_values, labels=labels, interpolate_pos_encoding=True)
        tokens = frozen.tokens(pixel_values)
        found = frozen.finish(tokens, (4, 6), labels=labels)
    assert tokens.dtype == torch.float16
    tolerance = {"rtol": 0, "atol": 2e-2 if bf16 else 2e-3}
    for name in ("logits", "mask_logits", "loss"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), **tolerance)


@pytest.mark.parametrize("count", [0, 4])
def test_the_number_of_frozen_layers_must_be_in_range(model, count):
    with pytest.raises(ValueError, match=rf"1 \.\.\. 3, got {count}"):
        FrozenLayers(model, count)


def test_features_outside_the_range_of_half_precision_are_refused(model):
    model.vit.embeddings.position_embeddings.data += 1e6
    with pytest.raises(ValueError, match="half precision"):
        FrozenLayers(model, 1).tokens(torch.randn(1, 3, 32, 32))


def test_the_fingerprint_depends_on_frozen_weights_and_settings(model):
    frozen = FrozenLayers(model, 2)
    first = frozen.fingerprint({"seed": 0})
    model.vit.layers[2].mlp.fc1.weight.data += 1  # learns: no part of it
    assert frozen.fingerprint({"seed": 0}) == first
    assert frozen.fingerprint({"seed": 1}) != first
    model.vit.layers[1].mlp.fc1.weight.data += 1
    assert frozen.fingerprint({"seed": 0}) != first


@pytest.mark.slow
def test_training_with_cached_features_gives_the_same_weights(run, flags, tmp_path):
    weights = {}
    for epochs in (0, 4):
        output = tmp_path / str(epochs)
        run(flags, *KEEP, "--mosaics", 0.5, "--feature_epochs", epochs, "--output_dir", output)
        weights[epochs] = load_file(output / "model.safetensors")
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[4][name], weight, rtol=0, atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [0, 4])
@pytest.mark.parametrize(("precision", "dtype"), [((), torch.float32), (("--bf16",), torch.bfloat16)])
def test_trainable_layers_compute_in_the_requested_precision(epochs, precision, dtype, run, flags, tmp_path):
    seen = set()

    def note(module, inputs, outputs):
        if isinstance(module, ViTMLP) and module.training:
            seen.add(outputs.dtype)

    hook = register_module_forward_hook(note)
    try:
        run(flags, *KEEP, "--feature_epochs", epochs, *precision, "--output_dir", tmp_path)
    finally:
        hook.remove()
    assert seen == {dtype}


@pytest.mark.slow
def test_cached_features_are_reused_in_later_epochs_and_by_other_runs(run, flags, tmp_path):
    """With half as many cached epochs as epochs, and another loss in the other run."""
    folder = tmp_path / "features"
    shared = (*KEEP, "--feature_epochs", 2, "--feature_folder", folder)
    run(flags, *shared, "--output_dir", tmp_path / "a")
    files = {file: file.stat().st_mtime_ns for file in folder.rglob("*.safetensors")}
    assert len(files) == 2 * 3  # epochs, batches
    run(flags, *shared, "--output_dir", tmp_path / "b", "--mask_loss_type", "softmax", "--class_weights", "balanced")
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()} == files
    run(flags, *shared, "--output_dir", tmp_path / "c", "--seed", 1)
    assert len(list(folder.rglob("*.safetensors"))) == 12


@pytest.mark.slow
def test_a_run_with_cached_features_resumes_exactly(run, flags, tmp_path):
    settings = (*KEEP, "--feature_epochs", 2, "--save_strategy", "steps", "--save_steps", 5)
    run(flags, *settings, "--output_dir", tmp_path / "whole", "--save_total_limit", 9)
    checkpoint = tmp_path / "whole" / "checkpoint-5"
    run(flags, *settings, "--output_dir", tmp_path / "resumed", "--resume_from_checkpoint", checkpoint)
    whole, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "resumed"))
    assert all(torch.equal(weight, resumed[name]) for name, weight in whole.items())
