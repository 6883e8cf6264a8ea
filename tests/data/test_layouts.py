"""Folders as their authors publish them, whose contents show a shift, a mirror image or a transposition."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from modeling_pm_vit import PMViTImageProcessor
from modeling_pm_vit.data.layouts import LAYOUTS, load_layout
from modeling_pm_vit.evaluation.batch import read_batch

WNIDS = ["n01440764", "n01443537"]
SIZE = (40, 60)
OBJECTS = [(slice(4, 20), slice(2, 16)), (slice(30, 40), slice(28, 60))]  # rows, columns
BOXES = [[2, 4, 16, 20], [28, 30, 60, 40]]
IGNORED = (slice(16, 24), slice(10, 24))  # meets the first object
SPLITS = {"imagenet-1k": "val", "imagenet-s": "validation"}


def draw(where, value, shape=SIZE) -> np.ndarray:
    pixels = np.zeros(shape, np.uint8)
    pixels[where] = value
    return pixels


def photograph(where) -> np.ndarray:
    """Blue, with red where the object is."""
    pixels = np.full((*SIZE, 3), (0, 0, 255), np.uint8)
    pixels[where] = (255, 0, 0)
    return pixels


def save(path: Path, pixels: np.ndarray) -> str:
    """Without loss, whatever the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "PNG")
    return str(path)


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def imagenet_folders(root):
    for wnid, where in zip(WNIDS, OBJECTS, strict=True):
        save(root / "val" / wnid / f"ILSVRC2012_val_{wnid}.JPEG", photograph(where))


def imagenet_kaggle(root):
    found = [f"{wnid} {' '.join(map(str, box))} " for wnid, box in zip(WNIDS, BOXES, strict=True)]
    for number, where in enumerate(OBJECTS):
        save(root / f"ILSVRC/Data/CLS-LOC/val/val_{number}.JPEG", photograph(where))
    other = "n09999999 1 1 5 5 "  # another class in the picture, whose box is not the image's own
    write(root / "LOC_val_solution.csv", "ImageId,PredictionString", f"val_1,{found[1]}{other}", f"val_0,{found[0]}")
    write(root / "LOC_synset_mapping.txt", f"{WNIDS[1]} goldfish, Carassius auratus", f"{WNIDS[0]} tench, Tinca tinca")


def imagenet_s(root):
    for label, (wnid, where) in enumerate(zip(WNIDS, OBJECTS, strict=True)):
        save(root / "validation" / wnid / "a.JPEG", photograph(where))
        ids = draw(IGNORED, (1000 % 256, 1000 // 256, 0), (*SIZE, 3))
        ids[where] = (label + 1, 0, 0)
        save(root / "validation-segmentation" / wnid / "a.png", ids)


def imagenet_segmentation(root):
    h5py = pytest.importorskip("h5py")
    with h5py.File(root / "gtsegs_ijcv.mat", "w") as file:

        def refer(name, array):
            file[f"#refs#/{name}"] = array
            return file[f"#refs#/{name}"].ref

        columns = {"img": [], "gt": [], "target": []}
        for number, (wnid, where) in enumerate(zip(WNIDS, OBJECTS, strict=True)):
            masks = [refer(f"mask{number}", draw(where, 1).T), refer(f"further{number}", draw(IGNORED, 1).T)]
            columns["img"].append([refer(f"img{number}", photograph(where).transpose(2, 1, 0))])
            columns["gt"].append([refer(f"gt{number}", np.array([[mask] for mask in masks], h5py.ref_dtype))])
            columns["target"].append([refer(f"target{number}", np.array([[ord(c)] for c in wnid], np.uint16))])
        for name, references in columns.items():
            file[f"value/{name}"] = np.array(references, h5py.ref_dtype)


def cub(root):
    for number, (name, where) in enumerate(zip(WNIDS, OBJECTS, strict=True)):
        save(root / "images" / name / "a.jpg", photograph(where))
        votes = draw(IGNORED, 102)  # two of five
        votes[where] = 153 + 51 * number
        save(root / "segmentations" / name / "a.png", votes)
    write(root / "classes.txt", *(f"{number} {name}" for number, name in enumerate(WNIDS, 1)))
    write(root / "images.txt", f"7 {WNIDS[0]}/a.jpg", f"8 {WNIDS[1]}/a.jpg", f"9 {WNIDS[1]}/not_there.jpg")
    write(root / "image_class_labels.txt", "7 1", "8 2", "9 2")
    write(root / "train_test_split.txt", "7 0", "8 0", "9 1")
    sizes = [f"{x0}.0 {y0}.0 {x1 - x0}.0 {y1 - y0}.0" for x0, y0, x1, y1 in BOXES]
    write(root / "bounding_boxes.txt", f"7 {sizes[0]}", f"8 {sizes[1]}", f"9 {sizes[1]}")


def cub_with_masks_beside(root):
    cub(root)
    (root / "segmentations").rename(root.parent / "segmentations")


def wsol_boxes(root, name: str, split: str = "test"):
    """Choe et al.'s files; classes are numbers there."""
    files = [f"{split}/{wnid}/a.jpg" for wnid in WNIDS]
    for file, where in zip(files, OBJECTS, strict=True):
        save(root / "dataset" / name / file, photograph(where))
    metadata = root / "metadata" / name / split
    write(metadata / "image_ids.txt", *files)
    write(metadata / "class_labels.txt", *(f"{file},{label}" for label, file in reversed([*enumerate(files)])))
    lines = [f"{file},{','.join(map(str, box))}" for file, box in zip(files, BOXES, strict=True)]
    write(metadata / "localization.txt", *reversed(lines))


def imagenet_wsol(root):
    wsol_boxes(root, "ILSVRC")


def cub_wsol(root):
    wsol_boxes(root, "CUB")


def openimages(root):
    names, labels, masks = [], [], []
    for label, (name, (rows, columns)) in enumerate(zip(WNIDS, OBJECTS, strict=True)):
        folder, image = root / "dataset/OpenImages", f"test/{name}/a.jpg"
        save(folder / image, photograph((rows, columns)))
        # twice the image's size: masks need not be of it
        parts = [slice(2 * columns.start, 2 * columns.start + 6), slice(2 * columns.start + 6, 2 * columns.stop)]
        for part, across in enumerate(parts):
            save(
                folder / f"test/{name}/a_{part}.png", draw((slice(2 * rows.start, 2 * rows.stop), across), 1, (80, 120))
            )
        save(folder / f"test/{name}/a_ignore.png", draw(IGNORED, 255))
        names.append(image)
        labels.append(f"{image},{label}")
        masks += [f"{image},test/{name}/a_0.png,test/{name}/a_ignore.png", f"{image},test/{name}/a_1.png,"]
    write(root / "metadata/OpenImages/test/image_ids.txt", *names)
    write(root / "metadata/OpenImages/test/class_labels.txt", *reversed(labels))
    write(root / "metadata/OpenImages/test/localization.txt", *masks)


CASES = [
    ("imagenet-1k", imagenet_folders),
    ("imagenet-1k", imagenet_kaggle),
    ("imagenet-s", imagenet_s),
    ("imagenet-segmentation", imagenet_segmentation),
    ("cub-200-2011", cub),
    ("cub-200-2011", cub_with_masks_beside),
    ("openimages-wsol", openimages),
    ("imagenet-wsol", imagenet_wsol),
    ("cub-wsol", cub_wsol),
]


@pytest.fixture
def root(tmp_path):
    (tmp_path / "published").mkdir()
    return tmp_path / "published"


@pytest.mark.parametrize(("name", "make"), CASES, ids=[make.__name__ for _, make in CASES])
def test_masks_and_boxes_lie_on_the_objects(name, make, root):
    make(root)
    dataset, encoding, columns = load_layout(name, root, SPLITS.get(name, "test"))
    numbered = make in (imagenet_wsol, cub_wsol)
    assert dataset.features[columns.label].names == (["0", "1"] if numbered else WNIDS)
    assert dataset[columns.label][:] == [0, 1]
    processor = PMViTImageProcessor(
        size={"height": SIZE[0], "width": SIZE[1]}, patch_size=10, image_mean=[0.0] * 3, image_std=[1.0] * 3
    )
    batch = read_batch(dataset[:], processor, encoding, columns)
    for label, where in enumerate(OBJECTS):
        inside = draw(where, 1) > 0
        assert np.array_equal(np.asarray(batch.images[label]), photograph(where))
        if columns.mask:
            assert np.array_equal(batch.masks[label], inside)
        if encoding in ("imagenet_s", "class_id"):
            assert np.array_equal(batch.ignore[label], (draw(IGNORED, 1) > 0) & ~inside)
        if columns.boxes:
            limit = np.array([59, 39, 59, 39])
            assert batch.boxes[label].tolist() == [np.minimum(BOXES[label], limit).tolist()]
    assert batch.has_mask.tolist() == [columns.mask is not None] * 2
    assert batch.has_region.tolist() == [make is not imagenet_folders] * 2


def test_a_box_is_none_where_the_table_has_none(root):
    imagenet_folders(root)
    write(root / "LOC_val_solution.csv", "ImageId,PredictionString", f"ILSVRC2012_val_{WNIDS[1]},{WNIDS[1]} 1 2 3 4")
    dataset, _, columns = load_layout("imagenet-1k", root, "val")
    assert dataset[columns.boxes][:] == [None, [[1, 2, 3, 4]]]


def test_images_that_are_files_are_not_copied(root):
    for make, name in ((imagenet_s, "imagenet-s"), (openimages, "openimages-wsol"), (cub, "cub-200-2011")):
        make(root / name)
        dataset, _, _ = load_layout(name, root / name, SPLITS.get(name, "test"))
        for value in dataset.data.column("image").to_pylist():
            assert value["bytes"] is None
            assert Path(value["path"]).is_relative_to(root / name)


def test_a_changed_mask_is_read_again(root):
    cub(root)
    before, _, _ = load_layout("cub-200-2011", root, "test")
    save(root / "segmentations" / WNIDS[0] / "a.png", draw((slice(0, 3), slice(0, 50)), 255))
    after, _, _ = load_layout("cub-200-2011", root, "test")
    assert np.asarray(before[0]["mask"]).sum() == 16 * 14
    assert np.asarray(after[0]["mask"]).sum() == 3 * 50


def test_cub_without_masks_has_boxes(root):
    cub(root)
    (root / "segmentations").rename(root / "elsewhere")
    dataset, _, columns = load_layout("cub-200-2011", root, "test")
    assert columns.mask is None
    assert dataset["boxes"][:] == [[box] for box in BOXES]


@pytest.mark.parametrize("shape", [(83, 97), (448, 610)])
def test_masks_of_openimages_are_those_of_the_published_evaluation(root, shape):
    """Its `cv2.resize(..., (224, 224), INTER_NEAREST)` takes the pixel at floor(i * side / 224), not the middle one."""
    folder, metadata, name = root / "dataset/OpenImages", root / "metadata/OpenImages/test", f"test/{WNIDS[0]}/a"
    mask = np.where(np.random.default_rng(0).random(shape) < 0.4, 255, 0).astype(np.uint8)
    save(folder / f"{name}.jpg", np.zeros((260, 333, 3), np.uint8))
    save(folder / f"{name}_0.png", mask)
    write(metadata / "image_ids.txt", f"{name}.jpg")
    write(metadata / "class_labels.txt", f"{name}.jpg,0")
    write(metadata / "localization.txt", f"{name}.jpg,{name}_0.png,")
    dataset, encoding, columns = load_layout("openimages-wsol", root, "test")
    batch = read_batch(dataset[:], PMViTImageProcessor(size={"height": 224, "width": 224}), encoding, columns)
    assert np.array_equal(batch.masks[0], cv2.resize(mask, (224, 224), interpolation=cv2.INTER_NEAREST) > 0)
    at = 100  # by hand: row and column 100 of 224
    assert batch.masks[0, at, at] == (mask[at * shape[0] // 224, at * shape[1] // 224] > 0)


def test_training_images_of_openimages_have_no_masks(root):
    save(root / "dataset/OpenImages/train" / WNIDS[1] / "a.jpg", photograph(OBJECTS[0]))
    write(root / "metadata/OpenImages/train/image_ids.txt", f"train/{WNIDS[1]}/a.jpg")
    write(root / "metadata/OpenImages/train/class_labels.txt", f"train/{WNIDS[1]}/a.jpg,1")
    dataset, _, columns = load_layout("openimages-wsol", root, "train")
    assert (dataset["label"][:], columns.mask) == ([1], None)


def test_a_test_image_of_openimages_without_a_mask_is_named(root):
    openimages(root)
    write(root / "metadata/OpenImages/test/localization.txt", f"test/{WNIDS[0]}/a.jpg,test/{WNIDS[0]}/a_0.png,")
    with pytest.raises(ValueError, match=rf"no mask of test/{WNIDS[1]}/a\.jpg"):
        load_layout("openimages-wsol", root, "test")


def test_wsol_splits_with_and_without_boxes(root):
    wsol_boxes(root, "ILSVRC", "val")
    wsol_boxes(root, "ILSVRC", "train")
    metadata = root / "metadata/ILSVRC"
    write(metadata / "val/localization.txt", *(f"val/{wnid}/a.jpg,{i},2,30,40" for i in (1, 5) for wnid in WNIDS))
    (metadata / "train/localization.txt").unlink()
    held_out, _, columns = load_layout("imagenet-wsol", root, "val")
    assert (held_out["boxes"][:], columns.boxes) == ([[[1, 2, 30, 40], [5, 2, 30, 40]]] * 2, "boxes")
    training, _, columns = load_layout("imagenet-wsol", root, "train")
    assert (training["label"][:], columns.boxes) == ([0, 1], None)
    write(metadata / "val/localization.txt", f"val/{WNIDS[0]}/a.jpg,1,2,30,40")
    with pytest.raises(ValueError, match=rf"lists val/{WNIDS[1]}/a.jpg, but its class or its box is missing"):
        load_layout("imagenet-wsol", root, "val")


MISSING = [
    (cub_wsol, "cub-wsol", "metadata/CUB/test/localization.txt"),
    (imagenet_wsol, "imagenet-wsol", f"dataset/ILSVRC/test/{WNIDS[0]}/a.jpg"),
    (imagenet_kaggle, "imagenet-1k", "LOC_val_solution.csv"),
    (imagenet_s, "imagenet-s", "validation-segmentation"),
    (imagenet_s, "imagenet-s", f"validation-segmentation/{WNIDS[1]}/a.png"),
    (cub, "cub-200-2011", "bounding_boxes.txt"),
    (cub, "cub-200-2011", f"images/{WNIDS[0]}/a.jpg"),
    (cub, "cub-200-2011", f"segmentations/{WNIDS[0]}/a.png"),
    (openimages, "openimages-wsol", "metadata/OpenImages/test/localization.txt"),
    (openimages, "openimages-wsol", f"dataset/OpenImages/test/{WNIDS[0]}/a_1.png"),
]


@pytest.mark.parametrize(("make", "name", "file"), MISSING, ids=[f"{name}:{file}" for _, name, file in MISSING])
def test_a_missing_file_is_named(make, name, file, root):
    make(root)
    (root / file).rename(root / "elsewhere")
    with pytest.raises(FileNotFoundError, match=rf"{file}: expected .* https://"):
        load_layout(name, root, SPLITS.get(name, "test"))


@pytest.mark.parametrize("name", LAYOUTS)
def test_an_empty_folder_and_a_wrong_split_are_named(name, root):
    with pytest.raises(FileNotFoundError, match=r"expected .* https?://"):
        load_layout(name, root, SPLITS.get(name, "test"))
    with pytest.raises(ValueError, match=rf"no split 'nowhere'; it has .*{SPLITS.get(name, 'test')}"):
        load_layout(name, root, "nowhere")


def test_an_image_without_a_class_is_named(root):
    imagenet_kaggle(root)
    write(root / "LOC_val_solution.csv", "ImageId,PredictionString", f"val_0,{WNIDS[0]} 1 2 3 4")
    with pytest.raises(ValueError, match=r"has no class for val_1\.JPEG"):
        load_layout("imagenet-1k", root, "val")


def test_another_hdf5_file_and_a_missing_h5py_are_named(root, monkeypatch):
    h5py = pytest.importorskip("h5py")
    h5py.File(root / "gtsegs_ijcv.mat", "w").close()
    with pytest.raises(ValueError, match="has no value/img"):
        load_layout("imagenet-segmentation", root / "gtsegs_ijcv.mat", "test")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"pip install 'pm-vit\[eval\]'"):
        load_layout("imagenet-segmentation", root, "test")
