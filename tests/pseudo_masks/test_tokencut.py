import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from modeling_pm_vit.maps_pm_vit import largest_box
from modeling_pm_vit.pseudo_masks.features import patch_features
from modeling_pm_vit.pseudo_masks.method import is_plausible_object
from modeling_pm_vit.pseudo_masks.refinement import guided_filter
from modeling_pm_vit.pseudo_masks.tokencut import TokenCut, connected_part, cut_values, foreground, normalised_cut, otsu

GRID = (8, 9)


def features_of(masks: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Features `(batch, 12, h, w)` that point one way inside the masks and another outside, with some noise."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.linalg.qr(torch.randn(12, 12, generator=generator)).Q
    clean = torch.where(masks[:, None], directions[0][:, None, None], directions[1][:, None, None])
    return clean + 0.05 * torch.randn(clean.shape, generator=generator)


def block(rows: slice, columns: slice, size: tuple[int, int] = GRID) -> torch.Tensor:
    mask = torch.zeros(size, dtype=torch.bool)
    mask[rows, columns] = True
    return mask


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 4), st.integers(0, 5), st.integers(2, 4), st.integers(2, 4), st.sampled_from([None, 0.2, 0.5]))
def test_an_object_on_a_uniform_background_is_found_exactly(top, left, height, width, tau):
    mask = block(slice(top, top + height), slice(left, left + width))
    other = block(slice(5, 8), slice(0, 2))
    cut = normalised_cut(features_of(torch.stack([mask, other])), tau)
    assert torch.equal(foreground(cut.vector), torch.stack([mask, other]))


def test_the_vector_solves_the_generalised_problem():
    torch.manual_seed(0)
    cut = normalised_cut(torch.randn(2, 4, *GRID), 0.1)
    for vector, affinity in zip(cut.vector.flatten(1).numpy(), cut.affinity.numpy(), strict=True):
        degrees = np.diag(affinity.sum(1))
        expected = scipy.linalg.eigh(degrees - affinity, degrees)[1][:, 1]
        cosine = vector @ expected / np.linalg.norm(vector) / np.linalg.norm(expected)
        assert abs(cosine) == pytest.approx(1, abs=1e-6)


def test_only_the_part_around_the_seed_is_kept():
    vector = torch.full(GRID, -0.1)
    vector[1:3, 1:3] = 1.0
    vector[3, 3] = 0.9  # touches at a corner
    vector[6:8, 6:8] = 0.95
    expected = block(slice(1, 3), slice(1, 3))
    expected[3, 3] = True
    assert torch.equal(foreground(vector[None])[0], expected)
    assert torch.equal(foreground(-vector[None])[0], expected)  # the sign means nothing


def test_connected_parts_may_bend():
    snake = torch.tensor([[1, 1, 1, 0], [0, 0, 1, 0], [1, 0, 1, 1], [1, 0, 0, 1]], dtype=torch.bool)
    seeds = block(slice(0, 1), slice(0, 1), (4, 4))
    part = connected_part(snake[None], seeds[None])[0]
    assert part.tolist() == (snake & ~block(slice(2, 4), slice(0, 1), (4, 4))).tolist()


def test_cut_values_follow_their_definition():
    torch.manual_seed(0)
    affinity = torch.rand(3, 12, 12, dtype=torch.float64)
    affinity = affinity + affinity.transpose(1, 2)
    masks = torch.rand(3, 3, 4) > 0.5
    for value, w, mask in zip(cut_values(affinity, masks), affinity, masks.flatten(1), strict=True):
        cut = w[mask][:, ~mask].sum()
        assert value == pytest.approx(float(cut / w[mask].sum() + cut / w[~mask].sum()))


def test_every_cut_is_1_if_all_patches_are_equal():
    affinity = torch.ones(1, 72, 72, dtype=torch.float64)
    for mask in (block(slice(0, 2), slice(0, 2)), block(slice(0, 8), slice(0, 5))):
        assert cut_values(affinity, mask[None]) == pytest.approx(1)


def test_otsu_separates_two_groups_of_any_location():
    torch.manual_seed(0)
    low, high = torch.rand(2, 300) * 0.1, torch.rand(2, 200) * 0.1
    values = torch.cat([low + torch.tensor([[-0.5], [0.8]]), high + torch.tensor([[0.1], [0.95]])], 1).double()
    thresholds = otsu(values)
    assert -0.41 < thresholds[0] < 0.11
    assert 0.89 < thresholds[1] < 0.96
    assert torch.isfinite(otsu(torch.ones(1, 5))).all()


@pytest.mark.parametrize(
    ("rows", "columns", "answer"),
    [
        (slice(20, 60), slice(20, 60), True),
        (slice(0, 100), slice(0, 95), False),  # nearly everything
        (slice(40, 45), slice(40, 45), False),  # next to nothing
        (slice(0, 100), slice(0, 60), False),  # the ground
        (slice(60, 100), slice(20, 80), True),  # cut off at the border
    ],
)
def test_plausible_objects(rows, columns, answer):
    assert is_plausible_object(block(rows, columns, (100, 100)).numpy()) is answer


def test_a_filtered_mask_has_the_edges_of_the_image():
    guide = torch.zeros(40, 60)
    guide[:, 33:] = 1.0
    mask = torch.zeros(40, 60)
    mask[:, 31:] = 1.0  # off by two pixels
    filtered = guided_filter(guide, mask, 8)
    assert ((filtered >= 0.5) == (guide > 0)).all()
    assert guided_filter(guide, torch.ones(40, 60), 8).allclose(torch.ones(40, 60))


# --- the method on a model --------------------------------------------------------------------------------------------


def photographs() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (height, width, 3), np.uint8) for height, width in ((40, 50), (32, 32), (30, 64))]
    return [Image.fromarray(image) for image in images]


@pytest.fixture
def parts(make_model, make_processor):
    return make_model(), make_processor(size={"height": 64, "width": 64})  # twice the model's own size


@pytest.mark.parametrize("refine", [False, True])
def test_masks_have_their_images_size_and_do_not_depend_on_other_images(parts, refine):
    method = TokenCut(*parts, refine=refine)
    together = method(photographs(), [0, 1, 2])
    for image, mask in zip(photographs(), together, strict=True):
        alone = method([image], [4])[0]
        assert (mask is None) == (alone is None)
        if mask is not None:
            assert mask.mask.shape == (image.height, image.width)
            assert mask.score == pytest.approx(alone.score, abs=1e-6)
            assert np.array_equal(mask.mask, alone.mask)
    assert any(together)


def test_a_uniform_image_has_no_mask(make_model, make_processor):
    model = make_model()
    with torch.no_grad():
        model.vit.embeddings.position_embeddings.zero_()
    plain = Image.new("RGB", (64, 64), "grey")
    thing = plain.copy()
    thing.paste("red", (32, 16, 48, 32))
    nothing, something = TokenCut(model, make_processor())([plain, thing], [0, 0])
    assert nothing is None
    assert largest_box(something.mask) == (32, 16, 48, 32)


def test_features_equal_those_of_the_layer(make_model, make_processor):
    model = make_model()
    pixel_values = make_processor()(photographs(), return_tensors="pt")["pixel_values"]
    hidden = model.vit(pixel_values, output_hidden_states=True)
    last = patch_features(model, pixel_values, "token")
    assert last.shape == (3, 16, 4, 4)
    assert torch.allclose(last.flatten(2).transpose(1, 2), hidden.last_hidden_state[:, 1:], atol=1e-6)
    before = hidden.hidden_states[1]  # what the second layer is given
    first = patch_features(model, pixel_values, "token", 0)
    assert torch.allclose(first.flatten(2).transpose(1, 2), before[:, 1:], atol=1e-6)
    layer = model.vit.layers[1]
    keys = layer.attention.k_proj(layer.layernorm_before(before))[:, 1:]
    assert torch.allclose(patch_features(model, pixel_values).flatten(2).transpose(1, 2), keys, atol=1e-5)
    with pytest.raises(ValueError, match=r"layer must lie in -2 \.\.\. 1, got 2"):
        patch_features(model, pixel_values, "key", 2)
