import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from modeling_pm_vit.data.augmentation.mixing import Annotation, MixingSettings, carry_out, plan_batch, random_box
from modeling_pm_vit.utils.errors import InputError
from modeling_pm_vit.weak_loss_pm_vit import POSSIBLE

GRID, PATCH = (4, 8), 4
LEFT = torch.tensor([[1.0] * 4 + [0.0] * 4] * 4)


class Images:
    """
    Plain images, each of one value; the class of those with a mask fills the left half. With `weak` that of the others
    is possible.
    """

    def __init__(self, labels, masked, unknown=(), weak=False):
        self.annotations, planes, rows = [], [], []
        for row, label in enumerate(labels):
            shown = (label,) if masked[row] or (weak and label is not None) else ()
            of_image = () if label is None else (label,)
            self.annotations.append(Annotation(of_image, dict.fromkeys(shown, len(planes)), label is not None))
            if shown:
                planes.append(LEFT.clone() if masked[row] else torch.full(GRID, float(POSSIBLE)))
                rows.append(row)
                if row in unknown:
                    planes[-1][0, 0] = -100
        self.values = torch.arange(1, len(labels) + 1) / 16
        self.pixels = self.values.reshape(-1, 1, 1, 1).expand(-1, 3, GRID[0] * PATCH, GRID[1] * PATCH)
        self.planes = torch.stack(planes) if planes else torch.zeros(0, *GRID)
        self.rows = torch.tensor(rows, dtype=torch.long)

    def mixed(self, seed=0, **settings):
        plan = plan_batch(self.annotations, MixingSettings(**settings), GRID, np.random.default_rng(seed))
        pixels, masks = carry_out(plan, self.pixels, self.planes, self.rows)
        without = [row for row in range(len(masks)) if row not in plan.mask_rows.tolist()]
        assert (masks[without] == -100).all()
        return plan, pixels, masks


def test_without_mixing_a_batch_is_its_images():
    images = Images([4, 2, None], [True, False, False], unknown=[0])
    plan, pixels, masks = images.mixed()
    assert plan.explain_labels.tolist() == [[4], [2], [-100]]
    assert torch.equal(pixels, images.pixels)
    assert torch.equal(masks[0, 0], images.planes[0])
    assert (masks[1:] == -100).all()


def test_an_image_with_several_masks_keeps_them_after_its_label():
    annotation = Annotation((7,), {7: -1, 3: 0, 9: 1})
    planes = torch.stack([LEFT, 1 - LEFT])
    plan = plan_batch([annotation], MixingSettings(), GRID, np.random.default_rng(0))
    _, masks = carry_out(plan, torch.zeros(1, 3, 16, 32), planes, torch.zeros(2, dtype=torch.long))
    assert plan.explain_labels.tolist() == [[7, 3, 9]]
    assert (masks[0, 0] == -100).all()  # the label has no mask
    assert torch.equal(masks[0, 1:], planes)


def test_mixup_weights_masks_like_pixels():
    images = Images([4, 2], [True, True])
    for seed in range(8):
        plan, pixels, masks = images.mixed(seed, mixup=1.0)
        for row, (first, second) in enumerate(zip(plan.rows, plan.partners, strict=True)):
            expected = plan.share * images.values[first] + (1 - plan.share) * images.values[second]
            assert torch.allclose(pixels[row], expected)
            if first != second:
                classes = plan.classes[row]
                assert classes == [[4, 2], [2, 4]][first]
                assert torch.allclose(masks[row, 0], plan.share * LEFT)
                assert torch.allclose(masks[row, 1], (1 - plan.share) * LEFT)


@pytest.mark.parametrize("masked", [(True, False), (False, True), (False, False)])
def test_mixup_with_an_image_without_a_mask_has_no_mask(masked):
    images = Images([4, 2], masked)
    for seed in range(8):
        plan, _, masks = images.mixed(seed, mixup=1.0)
        for row, (first, second) in enumerate(zip(plan.rows, plan.partners, strict=True)):
            if first != second:
                assert (masks[row] == -100).all()


def test_cutmix_takes_pixels_and_masks_from_the_same_box():
    images = Images([4, 2], [True, True])
    seen = 0
    for seed in range(20):
        plan, pixels, masks = images.mixed(seed, cutmix=1.0)
        top, left, bottom, right = plan.box
        inside = torch.zeros(GRID, dtype=torch.bool)
        inside[top:bottom, left:right] = True
        assert plan.share == pytest.approx(1 - inside.float().mean())
        for row, (first, second) in enumerate(zip(plan.rows, plan.partners, strict=True)):
            expected = torch.where(inside, images.values[second], images.values[first])
            assert torch.equal(pixels[row, 0, ::PATCH, ::PATCH], expected)
            if first != second:
                seen += 1
                assert torch.equal(masks[row, 0], torch.where(inside, 0.0, LEFT))
                assert torch.equal(masks[row, 1], torch.where(inside, LEFT, 0.0))
    assert seen > 5


@pytest.mark.parametrize("masked", [(True, False), (False, True)])
def test_cutmix_marks_the_part_of_an_image_without_a_mask_as_unknown_and_each_class_absent_from_the_other(masked):
    images = Images([4, 2], masked)
    for seed in range(20):
        plan, _, masks = images.mixed(seed, cutmix=1.0)
        top, left, bottom, right = plan.box
        inside = torch.zeros(GRID, dtype=torch.bool)
        inside[top:bottom, left:right] = True
        for row, (first, second) in enumerate(zip(plan.rows, plan.partners, strict=True)):
            if first != second:
                known = inside if masked[second] else ~inside
                for slot in range(len(plan.classes[row])):
                    assert torch.equal(masks[row, slot] != -100, known)


def test_unknown_patches_stay_unknown_for_every_class():
    images = Images([4, 2], [True, True], unknown=[0])
    for seed in range(10):
        plan, _, masks = images.mixed(seed, mixup=1.0)
        for row, pair in enumerate(zip(plan.rows, plan.partners, strict=True)):
            assert (masks[row, : len(plan.classes[row]), 0, 0] == -100).all() == (0 in pair)


def test_each_part_of_a_mosaic_has_its_own_mask():
    images = Images([5, 2, 7, 1], [True, True, True, False])
    for seed in range(5):
        plan, pixels, masks = images.mixed(seed, mosaics=1.0)
        assert len(plan.mosaics) == 3
        for place, four in enumerate(plan.mosaics, start=4):
            quarters = pixels[place, 0, 4::8, 8::16].flatten()
            assert torch.allclose(quarters, images.values[four])
            assert 3 not in four  # it has no mask
            labels = [images.annotations[row].labels[0] for row in four]
            assert plan.classes[place] == sorted(set(labels))
            for slot, label in enumerate(plan.classes[place]):
                halves = [LEFT[:2, ::2] if other == label else torch.zeros(2, 4) for other in labels]
                expected = torch.cat((torch.cat(halves[:2], -1), torch.cat(halves[2:], -1)))
                assert torch.equal(masks[place, slot], expected)


def test_an_unknown_patch_makes_its_part_of_a_mosaic_unknown():
    plan, _, masks = Images([5], [True], unknown=[0]).mixed(mosaics=1.0)
    assert plan.mosaics == [[0] * 4]
    unknown = torch.zeros(GRID, dtype=torch.bool)
    unknown[::2, ::4] = True
    assert torch.equal(masks[1, 0] == -100, unknown)


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 2, None]), st.booleans()), min_size=1, max_size=9),
    st.sampled_from([{}, {"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0, "mixing_rate": 0.5}]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 2**32),
)
def test_a_batch_holds_each_image_once_padding_last_and_masks_within_their_range(rows, mix, mosaics, seed):
    images = Images([label for label, _ in rows], [masked and label is not None for label, masked in rows])
    plan, pixels, masks = images.mixed(seed, mosaics=mosaics, **mix)
    assert sorted(plan.rows) == list(range(len(rows)))
    padding = [rows[row][0] is None for row in plan.rows]
    assert padding == sorted(padding) or not plan.partners
    assert len(pixels) == len(masks) == len(plan.explain_labels) == len(rows) + len(plan.mosaics)
    assert len(plan.mosaics) == round(mosaics * sum(label is not None and masked for label, masked in rows))
    assert (((masks >= 0) & (masks <= 1)) | (masks == -100)).all()
    assert (masks[plan.explain_labels == -100] == -100).all()
    again, pixels_again, masks_again = images.mixed(seed, mosaics=mosaics, **mix)
    assert again == plan
    assert torch.equal(pixels, pixels_again)
    assert torch.equal(masks, masks_again)


@pytest.mark.parametrize("masked", [(True, False), (False, True), (False, False)])
def test_mixup_gives_what_a_label_says_the_weight_of_its_image(masked):
    images = Images([4, 2], masked, weak=True)
    for seed in range(8):
        plan, _, masks = images.mixed(seed, mixup=1.0)
        for row, pair in enumerate(zip(plan.rows, plan.partners, strict=True)):
            if pair[0] != pair[1]:
                shares = (plan.share, 1 - plan.share)
                for slot, (image, share) in enumerate(zip(pair, shares, strict=True)):
                    whole = LEFT if masked[image] else torch.full(GRID, float(POSSIBLE))
                    assert torch.allclose(masks[row, slot], share * whole)


def test_cutmix_and_mosaics_leave_a_class_possible_in_its_own_part_only():
    images = Images([4, 2], (False, True), weak=True)
    for seed in range(10):
        plan, _, masks = images.mixed(seed, cutmix=1.0, mosaics=1.0)
        top, left, bottom, right = plan.box
        inside = torch.zeros(GRID, dtype=torch.bool)
        inside[top:bottom, left:right] = True
        for row, (first, second) in enumerate(zip(plan.rows, plan.partners, strict=True)):
            if first != second:
                own = ~inside if first == 0 else inside
                slot = plan.classes[row].index(4)
                assert torch.equal(masks[row, slot], torch.where(own, float(POSSIBLE), 0.0))
        for row, four in enumerate(plan.mosaics, start=2):
            cells = masks[row].unflatten(-1, (2, -1)).unflatten(-3, (2, -1)).movedim((-4, -2), (0, 1)).flatten(0, 1)
            for image, cell in zip(four, cells, strict=True):  # (K, 2, 4)
                of_own = {4: float(POSSIBLE), 2: None}[images.annotations[image].labels[0]]
                for slot, label in enumerate(plan.classes[row]):
                    if label != images.annotations[image].labels[0]:
                        assert (cell[slot] == 0).all()
                    elif of_own is not None:
                        assert (cell[slot] == of_own).all()


def test_a_class_that_is_possible_in_one_of_two_blended_images_has_no_known_coverage():
    images = Images([4, 4], (True, False), weak=True)
    for seed in range(8):
        plan, _, masks = images.mixed(seed, mixup=1.0)
        for row, pair in enumerate(zip(plan.rows, plan.partners, strict=True)):
            if pair[0] != pair[1]:
                weight = 1 - plan.share if pair[1] == 1 else plan.share
                assert torch.allclose(masks[row, 0], torch.full(GRID, -weight))


def test_only_the_wanted_share_of_the_batches_is_mixed():
    images = Images([4, 2], [True, True])
    mixed = [bool(images.mixed(seed, cutmix=1.0, mixing_rate=0.3)[0].partners) for seed in range(400)]
    assert np.mean(mixed) == pytest.approx(0.3, abs=0.07)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_a_random_box_has_about_the_requested_area(share):
    rng = np.random.default_rng(0)
    for _ in range(20):
        top, left, bottom, right = random_box(share, (14, 14), rng)
        assert 0 <= top <= bottom <= 14
        assert 0 <= left <= right <= 14
        assert (bottom - top) * (right - left) / 196 == pytest.approx(1 - share, abs=0.07)


@pytest.mark.parametrize("grid", [(3, 4), (4, 5)])
def test_mosaics_of_an_odd_number_of_patches_are_refused(grid):
    with pytest.raises(InputError, match=r"--mosaics needs an even number of patches"):
        plan_batch([Annotation((0,), {0: 0})], MixingSettings(mosaics=1), grid, np.random.default_rng(0))


@pytest.mark.parametrize("wrong", [{"mosaics": -1}, {"mixup": -1}, {"cutmix": -0.1}, {"mixing_rate": 1.1}])
def test_settings_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(InputError, match=f"--{next(iter(wrong))} must be at"):
        MixingSettings(**wrong)
