"""Real pipelines on tiny models with random weights, and one on a stand-in whose segments are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    SamConfig,
    SamImageProcessor,
    SamModel,
    SamProcessor,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessor,
    pipeline,
)

from modeling_pm_vit.pseudo_masks.arguments import PseudoMaskArguments
from modeling_pm_vit.pseudo_masks.run import make_pseudo_masks
from modeling_pm_vit.pseudo_masks.segmenter import Segmenter
from modeling_pm_vit.utils.errors import InputError

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))


@pytest.fixture(scope="module")
def segformer(tmp_path_factory):
    """A folder with a semantic segmenter of the classes 'background', 'bird' and 'Coffee-mug'."""
    torch.manual_seed(0)
    config = SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[3, 3],
        strides=[2, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        id2label={0: "background", 1: "bird", 2: "Coffee-mug"},
    )
    folder = tmp_path_factory.mktemp("segformer")
    SegformerForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return pipeline("image-segmentation", model=str(folder))


def test_a_backbone_without_its_head_is_refused(segformer, tmp_path):
    segformer.model.segformer.save_pretrained(tmp_path)
    segformer.image_processor.save_pretrained(tmp_path)
    settings = {"data": "synthetic", "model": str(tmp_path), "output_dir": tmp_path / "out", "max_samples": 4}
    with pytest.raises(InputError, match="lacks weights of a SegformerForSemanticSegmentation, which would be random"):
        make_pseudo_masks(PseudoMaskArguments(**settings, method="image-segmentation", device="cpu"))


@pytest.fixture(scope="module")
def sam(tmp_path_factory):
    """A folder with a segmenter that thinks all its masks good."""
    torch.manual_seed(0)
    config = SamConfig(
        vision_config={
            **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 16, "image_size": 32},
            **{"patch_size": 8, "output_channels": 8, "window_size": 2, "global_attn_indexes": [0], "num_pos_feats": 4},
        },
        prompt_encoder_config={"hidden_size": 8, "image_size": 32, "patch_size": 8, "mask_input_channels": 4},
        mask_decoder_config={
            **{"hidden_size": 8, "mlp_dim": 16, "num_attention_heads": 2, "num_hidden_layers": 1},
            **{"iou_head_hidden_dim": 8, "iou_head_depth": 1},
        },
    )
    model = SamModel(config)
    with torch.no_grad():
        for mlp in model.mask_decoder.output_hypernetworks_mlps:
            mlp.proj_in.weight *= 100
            mlp.proj_out.weight *= 1e9  # so that masks do not change with the threshold: they count as stable
        head = model.mask_decoder.iou_prediction_head
        head.proj_out.weight.zero_()
        head.proj_out.bias.fill_(0.97)
    folder = tmp_path_factory.mktemp("sam")
    model.save_pretrained(folder)
    processor = SamImageProcessor(size={"longest_edge": 32}, pad_size={"height": 32, "width": 32})
    SamProcessor(processor).save_pretrained(folder)
    return pipeline("mask-generation", model=str(folder), points_per_crop=4)


@pytest.mark.parametrize(
    ("name", "wanted", "label"),
    [("Bird", (), "bird"), ("coffee_mug", (), "Coffee-mug"), ("005.Crow", ("bird",), "bird")],
)
def test_segments_are_united_by_name(segformer, name, wanted, label):
    segments = {segment["label"]: np.asarray(segment["mask"]) > 0 for segment in segformer(IMAGE)}
    mask = Segmenter(segformer, ["other", name], wanted)([IMAGE], [1])[0]
    if label in segments:
        assert np.array_equal(mask.mask, segments[label])
        assert mask.score == 1
    else:
        assert mask is None


def test_without_a_name_or_a_score_there_is_no_mask(segformer):
    assert Segmenter(segformer, ["crow"])([IMAGE], [0]) == [None]


def test_a_label_that_the_model_does_not_have_is_named(segformer):
    with pytest.raises(ValueError, match="no label 'birds'; its first labels are background, bird, coffee mug"):
        Segmenter(segformer, ["crow"], ["birds"])


def test_mask_generation(sam):
    found = sam(IMAGE)
    assert len(found["masks"])
    mask = Segmenter(sam, ["crow"])([IMAGE], [0])[0]
    assert mask.mask.shape == (40, 50)
    assert mask.score == pytest.approx(0.97)
    assert any(np.array_equal(mask.mask, np.asarray(m, bool)) for m in found["masks"])


def block(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((40, 50), bool)
    mask[rows, columns] = True
    return mask


LEFT, RIGHT, GROUND = (
    block(slice(5, 20), slice(5, 20)),
    block(slice(10, 30), slice(30, 45)),
    block(slice(0, 40), slice(0, 49)),
)


def stand_in(task: str, answer):
    known = SimpleNamespace(config=SimpleNamespace(id2label={0: "bird", 1: "sky"}))

    def run(image):
        return answer

    run.task, run.model = task, known
    return run


def segment(label: str, mask: np.ndarray, score: float | None) -> dict:
    return {"label": label, "mask": Image.fromarray(mask.astype(np.uint8) * 255), "score": score}


def test_two_segments_of_the_class_are_one_mask_with_the_higher_score():
    found = [segment("bird", LEFT, 0.6), segment("bird", RIGHT, 0.8), segment("sky", GROUND, 0.9)]
    mask = Segmenter(stand_in("image-segmentation", found), ["bird"])([IMAGE], [0])[0]
    assert np.array_equal(mask.mask, LEFT | RIGHT)
    assert mask.score == 0.8


def test_without_a_segment_of_the_class_the_best_plausible_object_is_taken():
    found = [segment("bird", LEFT, 0.6), segment("sky", GROUND, 0.9)]
    mask = Segmenter(stand_in("image-segmentation", found), ["crow"])([IMAGE], [0])[0]
    assert (np.array_equal(mask.mask, LEFT), mask.score) == (True, 0.6)


@pytest.mark.parametrize(("scores", "best"), [((0.5, 0.7, 0.9), RIGHT), ((0.8, 0.7, 0.9), LEFT)])
def test_the_best_plausible_object_of_unlabelled_masks_is_taken(scores, best):
    found = {"masks": [LEFT, RIGHT, GROUND], "scores": torch.tensor(scores)}
    mask = Segmenter(stand_in("mask-generation", found), ["crow"])([IMAGE], [0])[0]
    assert np.array_equal(mask.mask, best)


def test_without_segments_there_is_no_mask():
    assert Segmenter(stand_in("mask-generation", {"masks": [], "scores": []}), ["crow"])([IMAGE], [0]) == [None]
    assert Segmenter(stand_in("image-segmentation", []), ["crow"])([IMAGE], [0]) == [None]
