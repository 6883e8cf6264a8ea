"""DICOM files, and windows of grey images."""

import io
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from modeling_pm_vit import load_image
from modeling_pm_vit.dicom_pm_vit import windowed

RAMP = np.arange(0, 1200, 5, dtype=np.int16).reshape(12, 20)


def dicom(pixels: np.ndarray = RAMP, **settings) -> bytes:
    """A file of one or more frames, as a scanner writes it."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    colour = pixels.shape[-1] == 3
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    if colour:
        dataset.PlanarConfiguration = 0
    frames, (dataset.Rows, dataset.Columns) = pixels.shape[: pixels.ndim - 2 - colour], pixels.shape[-2 - colour :][:2]
    if frames:
        dataset.NumberOfFrames = frames[0]
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    dataset.PatientName = "Doe^Jane"
    for name, value in settings.items():
        setattr(dataset, name, value)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def levels(values, low, high):
    return np.clip(np.round((values.astype(float) - low) * 255 / (high - low)), 0, 255).astype(np.uint8)


HOUNSFIELD = {"RescaleSlope": 2, "RescaleIntercept": -1024}


@pytest.mark.parametrize(
    "settings, window, expected",
    [
        ({}, None, levels(RAMP, 0, 1195)),
        ({}, (100, 500), levels(RAMP, 100, 500)),
        (HOUNSFIELD, (-160, 240), levels(RAMP * 2 - 1024, -160, 240)),
        # PS3.3 C.11.2.1.2: x <= c - 0.5 - (w - 1) / 2 is black, x > c - 0.5 + (w - 1) / 2 is white
        ({"WindowCenter": 300, "WindowWidth": 101}, None, levels(RAMP, 249.5, 349.5)),
        ({"WindowCenter": [300, 9], "WindowWidth": [101, 3]}, None, levels(RAMP, 249.5, 349.5)),
        ({"WindowCenter": 300, "WindowWidth": 100, "VOILUTFunction": "LINEAR_EXACT"}, None, levels(RAMP, 250, 350)),
        ({**HOUNSFIELD, "WindowCenter": 40, "WindowWidth": 401}, None, levels(RAMP * 2 - 1024, -160.5, 239.5)),
        ({"WindowCenter": 300, "WindowWidth": 101}, (0, 1195), levels(RAMP, 0, 1195)),
        ({"PhotometricInterpretation": "MONOCHROME1"}, (100, 500), 255 - levels(RAMP, 100, 500)),
    ],
)
def test_values_become_levels_by_a_window(settings, window, expected):
    image = load_image(dicom(**settings), window=window)
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), np.repeat(expected[..., None], 3, -1))


def test_a_sigmoid_window_is_half_in_its_centre():
    found = np.asarray(load_image(dicom(WindowCenter=600, WindowWidth=400, VOILUTFunction="SIGMOID")))[..., 0].ravel()
    values = RAMP.ravel()
    assert abs(int(found[values == 600][0]) - 128) <= 1
    assert (np.diff(found.astype(int)) >= 0).all()
    assert found[values == 1000][0] == round(255 / (1 + np.exp(-4)))


def test_frames_and_colours():
    frames = np.stack([RAMP, RAMP[::-1]])
    assert np.array_equal(np.asarray(load_image(dicom(frames)))[..., 0], levels(RAMP, 0, 1195))
    colours = np.random.default_rng(0).integers(0, 255, (12, 20, 3), np.uint8)
    assert np.array_equal(np.asarray(load_image(dicom(colours))), colours)
    with pytest.raises(ValueError, match="grey images"):
        load_image(dicom(colours), window=(0, 9))


def test_files_by_path_and_as_file_objects(tmp_path):
    (tmp_path / "scan").write_bytes(dicom())
    by_path = np.asarray(load_image(tmp_path / "scan"))
    assert np.array_equal(by_path, np.asarray(load_image(io.BytesIO(dicom()))))


def test_what_cannot_be_read_is_named(monkeypatch, tmp_path):
    path = tmp_path / "scan.dcm"
    path.write_bytes(dicom()[:500])
    with pytest.raises(ValueError, match=r"scan\.dcm cannot be read as DICOM"):
        load_image(path)
    path.write_bytes(dicom())
    with pytest.raises(ValueError, match="the limit is 200"):
        load_image(path, max_pixels=200)
    with pytest.raises(ValueError, match="not an image"):  # DICOM is not among the formats
        load_image(path, formats=["JPEG", "PNG"])
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ValueError, match=r"scan\.dcm is a DICOM file: to read it, `pip install pydicom`"):
        load_image(path)


@given(st.integers(0, 60000), st.integers(1, 5000), st.sampled_from(["PNG", "TIFF"]))
def test_a_window_is_the_same_in_all_files(low, width, kind):
    """Whatever the largest value of a file, and however it was stored."""
    values = np.linspace(0, 65535, 240).astype(np.uint16).reshape(12, 20)
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    expected = levels(values, low, low + width)
    for image in (file.getvalue(), values, Image.fromarray(values), values[None], values.astype(np.float32)):
        assert np.array_equal(np.asarray(load_image(image, window=(low, low + width)))[..., 0], expected)
    assert np.array_equal(windowed(values[:2], (low, low + width)), expected[:2])


@pytest.mark.parametrize("window", [(5, 5), (9, 1), (0, float("inf")), (True, 2), ("a", 2), [1], 7])
def test_windows_that_are_none(window):
    with pytest.raises(ValueError, match="window must be two numbers"):
        load_image(np.zeros((4, 4)), window=window)


def test_an_image_in_colour_has_no_window():
    for image in (Image.new("RGB", (4, 4)), np.zeros((4, 4, 3))):
        with pytest.raises(ValueError, match="grey images"):
            load_image(image, window=(0, 1))


def test_grey_tiffs_in_which_white_is_zero():
    values = np.arange(240, dtype=np.uint8).reshape(12, 20)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF", tiffinfo={262: 0})
    plain = np.asarray(load_image(file.getvalue()))
    assert np.array_equal(plain, np.asarray(load_image(file.getvalue(), window=(0, 255))))
