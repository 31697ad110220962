"""Whatever is in a file of an image folder: its pixels come out, or it is named in one line."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, seed
from hypothesis import strategies as st
from PIL import Image

from ampbench.bench.plan.image_formats import readable_formats
from ampbench.bench.train.images.image_file import decode_image, decode_pixels
from tests.fuzz.conftest import SEED, drawn

SIZE = 16
KINDS = [
    kind
    for kind in (
        "PNG",
        "JPEG",
        "GIF",
        "BMP",
        "TIFF",
        "WEBP",
        "PPM",
        "TGA",
        "ICO",
        "JPEG2000",
        "PCX",
        "SGI",
        "AVIF",
        "QOI",
    )
    if kind in readable_formats()
]


def whole_file(kind: str) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(file, kind, **({"exif": exif} if kind in ("PNG", "JPEG", "WEBP", "TIFF") else {}))
    return file.getvalue()


WHOLE = {kind: whole_file(kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_decoded(kind: str) -> None:
    assert decode_pixels(io.BytesIO(WHOLE[kind]), SIZE).shape == (3, SIZE, SIZE)


@seed(SEED)
@drawn(500, 60)
@given(data=st.data())
def test_a_damaged_file_is_decoded_or_named_in_one_line(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(WHOLE[data.draw(st.sampled_from(KINDS))])
    for _ in range(data.draw(st.integers(0, 8))):
        at = data.draw(st.integers(0, min(len(content) - 1, 200)) | st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    path: Path = tmp_path_factory.getbasetemp() / data.draw(st.sampled_from(["a.png", "a.jpg", "a", "\udcff.gif"]))
    path.write_bytes(bytes(content))
    said = ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            pixels = decode_image(path, SIZE)
        except ValueError as e:
            said = str(e)
    if said:
        assert len(said.splitlines()) == 1
        assert said.endswith("); mend or remove it")
        said.encode()
    else:
        assert (pixels.shape, pixels.dtype) == ((3, SIZE, SIZE), np.uint8)
