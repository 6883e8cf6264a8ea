"""Photographs of requests, sound and unsound."""

import base64
import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(width=30, height=20, kind="PNG", **settings) -> bytes:
    image = Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def bomb(width: int, height: int | None = None) -> bytes:
    """A PNG of a few bytes whose header declares this size."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height or width, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


def header(width: int, height: int) -> bytes:
    """The beginning of a PNG, as far as a size is read from it."""
    return bomb(width, height)[:60]


def deep(depth: int = 10**5) -> list:
    nested: list = []
    for _ in range(depth):
        nested = [nested]
    return nested


def text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
