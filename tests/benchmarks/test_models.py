import pytest
import torch
from transformers import ViTForImageClassification

from benchmarks.models import SIZES, Size, random_pm_vit, timm_baseline


def test_random_weights_are_filled_and_the_same_each_time():
    size = Size(64, 2, 1, 0.0)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        logits = [random_pm_vit(size, 7, 32)(images).logits for _ in range(2)]
    assert logits[0].isfinite().all() and logits[0].std() > 0
    assert torch.equal(*logits)


def test_timm_has_as_many_parameters():
    pytest.importorskip("timm")
    model = random_pm_vit(Size(64, 2, 1, 0.0), 7, 32)
    assert sum(p.numel() for p in timm_baseline(model).parameters()) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("name", "millions"), [("Ti", 5.7), ("S", 22.1), ("B", 86.6), ("L", 304.3)])
def test_the_sizes_are_the_usual_ones(name, millions):
    # Parameters with 1,000 classes at 224 px, as timm lists them.
    size = SIZES[name]
    with torch.device("meta"):
        from transformers import ViTConfig

        model = ViTForImageClassification(
            ViTConfig(
                hidden_size=size.hidden,
                intermediate_size=4 * size.hidden,
                num_hidden_layers=size.layers,
                num_attention_heads=size.heads,
                num_labels=1000,
            )
        )
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)
