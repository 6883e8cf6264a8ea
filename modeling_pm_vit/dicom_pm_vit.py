"""Reads images of DICOM files, with the window of the file or one of your own; needs pydicom."""

from typing import Any, BinaryIO

import numpy as np
from PIL import Image

Window = tuple[float, float]  # the values that become black and white

_MAGIC = b"DICM"  # after a preamble of 128 bytes


def is_dicom(file: BinaryIO) -> bool:
    """Whether a file is DICOM (PS3.10); it is left at its beginning."""
    file.seek(0)
    is_one = file.read(132)[128:] == _MAGIC
    file.seek(0)
    return is_one


def read_dicom(file: BinaryIO, name: str, max_pixels: int, window: Window | None = None) -> Image.Image:
    """
    The first frame of a DICOM file, in RGB. Nothing else of the file is kept.

    Grey values are those of the modality (Hounsfield units, say): the file's rescaling or table is applied to what is
    stored. They become levels by `window`, by default by the first window or table of values of interest in the file
    (PS3.3 C.11.2), or else from their minimum to their maximum. `MONOCHROME1` is inverted.

    Args:
        file, name: the file, and its name for messages.
        max_pixels: an image with more pixels is refused before it is decoded.
        window: the values that become black and white.

    Raises:
        ValueError: if pydicom, or the decoder of a compressed file, is not installed, the file has no image, or is
            corrupt; names the file.
    """
    try:
        import pydicom
        from pydicom import pixels
    except ImportError as error:
        raise ValueError(f"{name} is a DICOM file: to read it, `pip install pydicom`.") from error
    try:
        dataset: Any = pydicom.dcmread(file)
        if "PixelData" not in dataset and "FloatPixelData" not in dataset:
            raise ValueError("it has no image")
        if dataset.Rows * dataset.Columns > max_pixels:
            raise ValueError(f"{dataset.Columns} x {dataset.Rows} pixels are too many, the limit is {max_pixels:,}")
        return _image(dataset, pixels, window)
    except MemoryError:
        raise
    except Exception as error:  # of a damaged file: any
        raise ValueError(f"{name} cannot be read as DICOM: {str(error).rstrip('.')}.") from error


def windowed(values: np.ndarray, window: Window) -> np.ndarray:
    """
    Grey values as levels 0 ... 255: those up to `window[0]` are black, from `window[1]` on white, between linear.

    Raises:
        ValueError: if the window is no pair of rising numbers, or values are NaN.
    """
    low, high = check_window(window)
    if np.isnan(values).any():
        raise ValueError("the image has values that are NaN: replace them first.")
    levels: np.ndarray = ((values.astype(np.float64) - low) * 255 / (high - low)).clip(0, 255).round()
    return levels.astype(np.uint8)


def check_window(window: Any) -> Window:
    """Raises ValueError if a window is no pair of rising numbers."""
    numbers = (int, float, np.number)
    if (
        not isinstance(window, (tuple, list))
        or len(window) != 2
        or not all(isinstance(one, numbers) and not isinstance(one, bool) and np.isfinite(one) for one in window)
        or not window[0] < window[1]
    ):
        raise ValueError(
            f"window must be two numbers, the value that is black and a larger one for white, got {window}."
        )
    return float(window[0]), float(window[1])


def _image(dataset: Any, pixels: Any, window: Window | None) -> Image.Image:
    """`pixels` is a module of pydicom: transformers refuses travelling code that imports it outside of `try`."""
    stored = pixels.pixel_array(dataset, index=0)
    kind = dataset.PhotometricInterpretation
    if kind == "PALETTE COLOR":
        stored = pixels.apply_color_lut(stored, dataset)
    if stored.ndim == 3:  # YBR was converted to RGB
        if window is not None:
            raise ValueError(f"a window is for grey images, and this one is {kind}")
        depth = 16 if kind == "PALETTE COLOR" and stored.max(initial=0) > 255 else dataset.BitsStored
        return Image.fromarray((stored >> max(0, depth - 8)).astype(np.uint8))
    values = pixels.apply_modality_lut(stored, dataset)
    levels = _of_interest(values, dataset, pixels) if window is None else windowed(values, window)
    return Image.fromarray(255 - levels if kind == "MONOCHROME1" else levels).convert("RGB")


def _of_interest(values: np.ndarray, dataset: Any, pixels: Any) -> np.ndarray:
    """Levels by the file's own table or window; from the minimum to the maximum if it has none."""
    if dataset.get("VOILUTSequence"):
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        return windowed(pixels.apply_voi_lut(values, dataset, prefer_lut=True), (0, 2**bits - 1))
    if "WindowCenter" not in dataset or "WindowWidth" not in dataset:
        low, high = float(values.min()), float(values.max())
        return windowed(values, (low, high if high > low else low + 1))
    center, width = (_first(dataset[name].value) for name in ("WindowCenter", "WindowWidth"))
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    if function == "SIGMOID":
        return windowed(1 / (1 + np.exp(-4 * (values.astype(np.float64) - center) / width)), (0, 1))
    if function == "LINEAR":  # PS3.3 C.11.2.1.2.1: half a value, and a width of one, belong to whole numbers
        center, width = center - 0.5, max(width - 1, 1e-9)
    return windowed(values, (center - width / 2, center + width / 2))


def _first(value: Any) -> float:
    return float(value if isinstance(value, (int, float, str)) or not len(value) else value[0])


__all__ = ["Window", "check_window", "is_dicom", "read_dicom", "windowed"]
