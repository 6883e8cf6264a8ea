"""Reading photographs: every source, mode, depth and limit, by one set of rules."""

import base64
import functools
import http.server
import io
import struct
import threading
import time
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from modeling_pm_vit import PMViTImageProcessor, load_image
from modeling_pm_vit import image_loading_pm_vit as module
from modeling_pm_vit.image_loading_pm_vit import load_images, open_image, to_levels

GRADIENT = np.stack(np.broadcast_arrays(*np.ogrid[0:240:12j, 0:240:20j], 100), -1).astype(np.uint8)  # (12, 20, 3)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, bits: int, colour: int, rows: list[bytes], *more: tuple[bytes, bytes]) -> bytes:
    """A PNG from its raw rows; Pillow writes neither colours of 16 bits nor wrong headers."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = [(b"IHDR", header), *more, (b"IDAT", content), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


# --- the same pixels by every way ---


def oriented(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def tags(values: dict[int, int]) -> ImageFileDirectory_v2:
    directory = ImageFileDirectory_v2()
    for tag, value in values.items():
        directory[tag] = value
    return directory


DEEP = np.linspace(0, 4095, 240).astype(np.uint16).reshape(12, 20)
PALETTE = Image.fromarray(GRADIENT).convert("RGBA")
PALETTE.putalpha(Image.fromarray(GRADIENT[..., 0]))
FILES = {
    "turned.jpg": encoded(Image.fromarray(GRADIENT), "JPEG", exif=oriented(6)),
    "mirrored.png": encoded(Image.fromarray(GRADIENT), "PNG", exif=oriented(7)),
    "turned-grey.tif": encoded(Image.fromarray(GRADIENT[..., 0]), "TIFF", tiffinfo=tags({274: 6})),
    "turned-deep.tif": encoded(Image.fromarray(DEEP), "TIFF", tiffinfo=tags({274: 8})),
    "deep.png": encoded(Image.fromarray(DEEP), "PNG"),
    "float.tif": encoded(Image.fromarray(DEEP.astype(np.float32) / 4095), "TIFF"),
    "transparent.png": encoded(PALETTE, "PNG"),
    "palette.gif": encoded(PALETTE.quantize(16), "GIF", transparency=3),
    "cmyk.jpg": encoded(Image.fromarray(GRADIENT).convert("CMYK"), "JPEG"),
    "frames.gif": encoded(
        Image.fromarray(GRADIENT), "GIF", save_all=True, append_images=[Image.fromarray(255 - GRADIENT)]
    ),
    "frames.webp": encoded(
        Image.fromarray(GRADIENT), "WEBP", save_all=True, append_images=[Image.fromarray(255 - GRADIENT)], lossless=True
    ),
    "frames.png": encoded(
        Image.fromarray(GRADIENT), "PNG", save_all=True, append_images=[Image.fromarray(255 - GRADIENT)]
    ),
    "pages.tif": encoded(
        Image.fromarray(GRADIENT), "TIFF", save_all=True, append_images=[Image.fromarray(255 - GRADIENT)]
    ),
}
EXPECTED = {  # of those that are stored without loss
    "mirrored.png": np.transpose(GRADIENT[::-1, ::-1], (1, 0, 2)),
    "turned-grey.tif": np.repeat(np.rot90(GRADIENT[..., :1], -1), 3, -1),
    "frames.webp": GRADIENT,
    "frames.png": GRADIENT,
    "pages.tif": GRADIENT,
    **dict.fromkeys(("deep.png", "float.tif"), np.repeat((DEEP / 4095 * 255).round()[..., None], 3, -1)),
    "turned-deep.tif": np.repeat(np.rot90((DEEP / 4095 * 255).round()[..., None]), 3, -1),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A web server on the loopback with all files, and with addresses that misbehave."""
    folder = tmp_path_factory.mktemp("served")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (folder / "a photograph é.png").write_bytes(FILES["deep.png"])
    (folder / "text.png").write_bytes(b"this is not an image")
    (folder / "huge.png").write_bytes(png(60_000, 60_000, 8, 0, []))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            kind, _, rest = self.path[1:].partition("/")
            if kind == "redirect":
                self.send_response(302)
                self.send_header("Location", rest)
                self.end_headers()
            elif kind == "loop":
                self.send_response(301)
                self.send_header("Location", f"/loop/{rest}x")
                self.end_headers()
            elif kind == "drip":  # headers without an end
                self.serve("slow")
            elif kind in ("endless", "slow", "silent", "short"):
                self.send_response(200)
                if kind == "short":
                    self.send_header("Content-Length", "1000000")
                self.end_headers()
                self.serve(kind)
            else:
                super().do_GET()

        def serve(self, kind):
            try:
                while kind != "silent" and kind != "short":
                    self.wfile.write(b"x" * (2**16 if kind == "endless" else 1))
                    time.sleep(0.01 if kind == "slow" else 0)
                if kind == "silent":
                    time.sleep(2)
            except OSError:
                pass  # the client has gone away

        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


WAYS = {
    "path": lambda path, address: path,
    "text": lambda path, address: str(path),
    "bytes": lambda path, address: path.read_bytes(),
    "memory": lambda path, address: memoryview(path.read_bytes()),
    "buffer": lambda path, address: io.BytesIO(path.read_bytes()),
    "data": lambda path, address: "data:image/x;base64," + base64.b64encode(path.read_bytes()).decode(),
    "percent": lambda path, address: "DATA:," + "".join(f"%{byte:02x}" for byte in path.read_bytes()),
    "url": lambda path, address: f"{address}/{path.name}",
    "redirected": lambda path, address: f"{address}/redirect//{path.name}",
    "pillow": lambda path, address: Image.open(path),
    "pillow, loaded": lambda path, address: Image.open(io.BytesIO(path.read_bytes())),
}


@pytest.mark.parametrize("name", FILES)
def test_every_way_to_a_file_gives_the_same_pixels(name, server, tmp_path):
    path = tmp_path / name
    path.write_bytes(FILES[name])
    with open(path, "rb") as file:
        expected = np.asarray(load_image(file))
        assert not file.closed
    for way, source in WAYS.items():
        image = load_image(source(path, server))
        assert image.mode == "RGB"
        assert np.array_equal(np.asarray(image), expected), way
    if name in EXPECTED:
        assert np.array_equal(expected, EXPECTED[name])


def test_a_pil_image_is_not_changed(tmp_path):
    (tmp_path / "a.tif").write_bytes(FILES["turned-deep.tif"])
    for given in (Image.open(tmp_path / "a.tif"), PALETTE, Image.fromarray(GRADIENT)):
        before = given.mode, given.size, getattr(given, "filename", None)
        load_image(given)
        assert (given.mode, given.size, getattr(given, "filename", None)) == before
    assert load_image(given) is given  # upright and in RGB: not copied


# --- modes ---


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_upright(tmp_path, orientation):
    """Stored like a camera does: transposed by the inverse of the EXIF tag."""
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # numbers of PIL's transpositions
    upright = Image.fromarray(GRADIENT)
    stored = upright
    if orientation > 1:
        stored = upright.transpose(Image.Transpose(inverse[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.png", exif=exif)
    assert np.array_equal(load_image(tmp_path / "photo.png"), GRADIENT)
    assert np.array_equal(load_image(Image.open(tmp_path / "photo.png")), GRADIENT)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "P", "YCbCr", "HSV"])
def test_colour_modes(mode):
    image = Image.fromarray(GRADIENT).convert(mode)
    difference = np.abs(np.asarray(load_image(image), int) - GRADIENT)
    assert np.median(difference) <= (25 if mode == "P" else 6)  # a palette has few colours


@pytest.mark.parametrize("mode", ["L", "LA", "1", "I", "I;16", "F"])
def test_grey_modes(mode):
    grey = np.tile(np.array([0, 255], np.uint8), (4, 3))
    if mode == "I;16":
        image = Image.fromarray(grey.astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(grey.astype(np.float32))
    else:
        image = Image.fromarray(grey).convert(mode)
    assert np.array_equal(load_image(image), np.repeat(grey[..., None], 3, -1))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_white(mode):
    image = Image.new("RGBA", (4, 2), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 2, 2))
    if mode == "P":
        palette = Image.new("P", (4, 2), 1)
        palette.paste(0, (0, 0, 2, 2))
        palette.putpalette([0, 0, 0, 10, 20, 30])
        palette.info["transparency"] = 1
        image = palette
    out = np.asarray(load_image(image.convert(mode)))
    assert (out[:, :2] == 0).all()
    assert (out[:, 2:] == 255).all()


@pytest.mark.parametrize("layout", ["HWC", "CHW", "HW", "HW1", "float", "tensor"])
def test_arrays(layout):
    array, expected = GRADIENT, GRADIENT
    if layout == "CHW":
        array = GRADIENT.transpose(2, 0, 1)
    elif layout.startswith("HW") and layout != "HWC":
        array = GRADIENT[..., 0] if layout == "HW" else GRADIENT[..., :1]
        expected = np.repeat(GRADIENT[..., :1], 3, -1)
    elif layout == "float":
        array = GRADIENT / 255
    elif layout == "tensor":
        array = torch.from_numpy(GRADIENT.transpose(2, 0, 1).copy())
    assert np.array_equal(load_image(array), expected)


# --- depth of the values ---


def as_file(values: np.ndarray, kind: str, **options) -> bytes:
    return encoded(Image.fromarray(values), kind, **options)


RAMP = np.linspace(0, 1, 240).reshape(12, 20)
LEVELS = (RAMP * 255).round()


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32", "int64", "uint32", "float64"])
def test_whole_numbers_are_scaled_from_the_depth_that_holds_them(bits, dtype):
    values = (RAMP * (2**bits - 1)).round()
    values = values.astype(dtype)
    found = [load_image(values), load_image(values[..., None]), load_image(np.repeat(values[..., None], 3, -1))]
    if dtype in ("uint16", "int32", "float32"):
        found += [load_image(as_file(values, "TIFF")), load_image(Image.fromarray(values))]
    if dtype == "uint16":
        found += [load_image(as_file(values, "PNG")), load_image(torch.from_numpy(values.astype("int32")))]
    for image in found:
        assert np.abs(np.asarray(image) - LEVELS[..., None]).max() <= 1
        assert np.asarray(image).max() == 255


def test_floats_up_to_one_are_multiplied_by_255():
    dim = (RAMP * 0.25).astype(np.float32)  # not stretched
    for image in (load_image(dim), load_image(as_file(dim, "TIFF")), load_image(torch.from_numpy(dim))):
        assert np.abs(np.asarray(image) - (255 * dim)[..., None]).max() <= 0.5


@pytest.mark.parametrize(
    "values",
    [
        (RAMP * 4095 - 1024).round().astype(np.int16),  # Hounsfield units
        (RAMP * 3e9).astype(np.uint32),
        (RAMP * 3e9 - 1e9).astype(np.int64),
        (RAMP * 1.5).astype(np.float32),
        (RAMP * 70_000).astype(np.float32),
        (RAMP - 0.5).astype(np.float64),
        (RAMP - 0.5).astype(np.float16),
    ],
    ids=lambda values: f"{values.dtype} {values.min():g} to {values.max():g}",
)
def test_other_values_are_stretched_with_a_warning(values, tmp_path):
    given = [values]
    if values.dtype in ("int32", "float32"):
        (tmp_path / "scan.tif").write_bytes(as_file(values, "TIFF"))
        given.append(tmp_path / "scan.tif")
    for image in given:
        with pytest.warns(UserWarning, match="stretched from black to white") as caught:
            levels = np.asarray(load_image(image))
        assert np.abs(levels - LEVELS[..., None]).max() <= 1
        assert ("scan.tif" if image is not values else "the array") in str(caught[0].message)


def test_the_stated_bits_of_a_tiff_count(monkeypatch):
    """A dark image of 12 bits: its largest value alone would be taken for one of 8 bits."""
    dark = (RAMP * 200).round().astype(np.uint16)
    image = Image.open(io.BytesIO(as_file(dark, "TIFF")))
    image.tag_v2[258] = (12,)
    assert np.asarray(load_image(image)).max() == round(200 / 4095 * 255)
    assert np.asarray(load_image(as_file(dark, "TIFF"))).max() == 200


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_white_is_zero(dtype):
    """TIFFs of scanners and X-rays; Pillow turns the values round up to 8 bits, when reading and when writing."""
    values = (RAMP * {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]).astype(dtype)
    content = as_file(values, "TIFF", tiffinfo=tags({262: 0}))
    expected = LEVELS if dtype == "uint8" else 255 - LEVELS
    assert np.abs(np.asarray(load_image(content)) - expected[..., None]).max() <= 1


def test_a_transparent_grey_of_16_bits_is_white():
    rows = [row.astype(">u2").tobytes() for row in DEEP]
    levels = np.asarray(load_image(png(20, 12, 16, 0, rows, (b"tRNS", struct.pack(">H", int(DEEP[3, 4]))))))
    assert (levels[3, 4] == 255).all()
    assert (np.delete(levels[..., 0].ravel(), 64) != 255).sum() == 238  # and the largest value itself


@pytest.mark.parametrize("colour, channels", [(2, 3), (4, 2), (6, 4)])
def test_colours_of_16_bits_that_come_out_black_are_warned_of(colour, channels):
    for values, dark in ((DEEP, True), (DEEP * 16, False)):
        rows = [np.repeat(row[:, None], channels, 1).astype(">u2") for row in values]
        if channels != 3:
            for row in rows:
                row[:, -1] = 65535
        content = png(20, 12, 16, colour, [row.tobytes() for row in rows])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            load_image(content)
        assert ["nearly black" in str(one.message) for one in caught] == [True] * dark


def test_levels_of_odd_arrays():
    assert to_levels(np.array([[True, False]])).tolist() == [[255, 0]]
    assert to_levels(np.zeros((0, 3), np.float32)).shape == (0, 3)
    with pytest.warns(UserWarning):
        assert to_levels(np.full((2, 2), -7)).tolist() == [[0, 0]] * 2  # one value: no range to stretch
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match="the array has values that are NaN or infinite"):
            load_image(np.array([[0.5, wrong]]))


# --- limits and errors ---


@pytest.mark.parametrize(
    "content",
    {
        "truncated.jpg": encoded(Image.effect_noise((64, 64), 50).convert("RGB"), "JPEG")[:700],
        "text.png": b"this is not an image",
        "empty.jpg": b"",
        "huge.png": png(60_000, 60_000, 8, 0, []),
        "large.png": png(14_000, 14_000, 8, 0, []),
    }.items(),
    ids=lambda item: item[0],
)
def test_error_for_a_bad_file_has_its_name(tmp_path, content):
    name, data = content
    (tmp_path / name).write_bytes(data)
    for read in (load_image, PMViTImageProcessor()):
        with pytest.raises(ValueError, match=name):
            read(str(tmp_path / name))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg"):
        load_image(tmp_path / "nowhere.jpg")


def test_limits_of_a_caller():
    content = FILES["frames.png"]
    assert load_image(content, max_pixels=240, formats=["PNG"]).size == (20, 12)
    with pytest.raises(ValueError, match=r"20 x 12 pixels, the limit is 239\."):
        load_image(content, max_pixels=239)
    with pytest.raises(ValueError, match="cannot identify image file"):
        load_image(content, formats=["JPEG"])


def test_an_image_is_refused_by_its_size_before_it_is_decoded(server):
    content = png(60_000, 60_000, 8, 0, [])
    for source in (content, io.BytesIO(content), f"{server}/huge.png"):
        with pytest.raises(ValueError, match=r"too large to be opened"):
            load_image(source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "the image of 0 bytes is not an image"),
        (io.BytesIO(b"text"), "the file object is not an image"),
        ("data:image/png;base64,@@@", "the data: URL cannot be decoded"),
        ("data:image/png;base64", "the data: URL cannot be decoded: it has no comma"),
        ("data:,text", "the data: URL is not an image"),
        ("ftp://127.0.0.1/a.png", "of URLs only http://, https:// and data: can"),
        ("file:///etc/passwd", "of URLs only http://, https:// and data: can"),
        (None, "got NoneType"),
    ],
)
def test_sources_that_cannot_be_read(source, message):
    with pytest.raises(ValueError, match=message):
        load_image(source)


def test_an_error_in_a_list_names_the_image(tmp_path):
    for wrong in (b"no image", np.zeros((2, 2, 7)), "nowhere.jpg"):
        with pytest.raises((ValueError, FileNotFoundError), match=r"^images\[2\]: "):
            list(load_images([GRADIENT, FILES["deep.png"], wrong]))


def test_decoding_keeps_mode_values_and_place():
    image = open_image(FILES["turned-deep.tif"])
    assert (image.mode, int(np.asarray(image).max())) == ("I;16", 4095)
    assert open_image(FILES["mirrored.png"]).size == (20, 12)


# --- URLs ---


def test_a_name_with_spaces_and_accents(server):
    assert load_image(f"{server}/a photograph é.png").size == (20, 12)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("/nowhere.png", r"^404 File not found: http://127\.0\.0\.1:\d+/nowhere\.png$"),
        ("/text.png", r"/text\.png is not an image"),
        ("/loop/", "redirected more than 5 times"),
        ("/redirect/file:///etc/passwd", r"is redirected to file:///etc/passwd, which is not http:// or https://"),
        ("/redirect/ftp://127.0.0.1/a.png", "is redirected to ftp://"),
        ("/endless", r"has more than 1,000,000 bytes"),
        ("/slow", r"took more than 0\.2 seconds"),
        ("/drip", r"took more than 0\.2 seconds"),
        ("/silent", "cannot be read: (timed out|The read operation timed out)"),
        ("/short", "ended 1,000,000 bytes early"),
    ],
)
def test_urls_that_cannot_be_read(server, address, message, monkeypatch):
    monkeypatch.setattr(module, "MAX_DOWNLOAD", 1_000_000)
    monkeypatch.setattr(module, "MAX_SECONDS", 0.2 if address in ("/slow", "/drip") else 10.0)
    monkeypatch.setattr(module, "MAX_SILENCE", 0.3)
    with pytest.raises(ValueError, match=message):
        load_image(server + address)


def test_a_server_that_is_not_there():
    with pytest.raises(ValueError, match=r"http://127\.0\.0\.1:9/a\.png cannot be read: .*refused"):
        load_image("http://127.0.0.1:9/a.png")
