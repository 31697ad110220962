"""Images as people have them: every format and every mode that Pillow reads keeps its colour."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ampbench.bench.plan.image_formats import readable_formats
from ampbench.bench.train.images.image_file import decode_pixels
from tests.bench.plan.test_image_folder import RED, SIZE, red, saved


def colour(file: io.BytesIO | Path, at: tuple[int, int] = (SIZE // 2, SIZE // 2)) -> tuple[int, ...]:
    """The colour of a pixel, after decoding without a change of size."""
    x_CHW = decode_pixels(str(file) if isinstance(file, Path) else file, SIZE)
    assert x_CHW.shape == (3, SIZE, SIZE)
    return tuple(int(v) for v in x_CHW[:, at[1], at[0]])


FORMATS = ("PNG", "GIF", "JPEG", "AVIF", "WEBP", "BMP", "TIFF", "PPM", "TGA", "ICO", "JPEG2000", "PCX", "SGI", "QOI")


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_that_pillow_reads_keeps_its_colour(kind: str) -> None:
    if kind not in readable_formats():
        pytest.skip(f"this Pillow reads no {kind}")
    settings: dict[str, object] = {"sizes": [(SIZE, SIZE)]} if kind == "ICO" else {}
    assert np.abs(np.subtract(colour(saved(red(), kind, **settings)), RED)).max() <= 12


def test_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (SIZE, SIZE))
    image.paste((255, 255, 255), (0, 0, SIZE, SIZE // 2))  # light above, dark below
    exif = Image.Exif()
    exif[0x0112] = 6  # is to be turned by 90 degrees: light comes to the right
    turned = saved(image, "JPEG", exif=exif, quality=95)
    assert colour(turned, (SIZE - 2, SIZE // 2))[0] > 200
    turned.seek(0)
    assert colour(turned, (1, SIZE // 2))[0] < 50
    damaged = saved(image, "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff", quality=95)
    assert colour(damaged, (SIZE // 2, 1))[0] > 200, "a damaged EXIF turns nothing"


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("CMYK", "TIFF"), ("CMYK", "JPEG"), ("RGBA", "PNG"), ("P", "PNG"), ("YCbCr", "JPEG")],
)
def test_every_mode_keeps_its_colour(mode: str, kind: str) -> None:
    assert np.abs(np.subtract(colour(saved(red(mode), kind)), RED)).max() <= 6


def test_palettes_with_transparency_keep_what_is_seen(recwarn: pytest.WarningsRecorder) -> None:
    palette = red("P")
    index = palette.getpixel((0, 0))
    assert isinstance(index, int)
    other = bytes([0 if i != index else 255 for i in range(256)])  # transparency in bytes, all but red
    for transparency in (other, (index + 1) % 256):
        assert colour(saved(palette, "PNG", transparency=transparency)) == RED
    assert not recwarn.list


def test_grey_with_alpha_and_one_bit_stay_grey() -> None:
    assert colour(saved(Image.new("LA", (SIZE, SIZE), (77, 255)), "PNG")) == (77, 77, 77)
    assert colour(saved(Image.new("1", (SIZE, SIZE), 1), "PNG")) == (255, 255, 255)


@pytest.mark.parametrize(("kind", "settings"), [("PNG", {}), ("TIFF", {}), ("PPM", {})])
def test_sixteen_bits_keep_their_upper_half(kind: str, settings: dict[str, object]) -> None:
    deep = Image.fromarray(np.full((SIZE, SIZE), 0x4021, np.uint16))
    assert colour(saved(deep, kind, **settings)) == (0x40, 0x40, 0x40)


def test_of_an_animation_the_first_frame_is_taken() -> None:
    for kind in ("GIF", "PNG", "WEBP"):
        frames = [Image.new("RGB", (SIZE, SIZE), c) for c in (RED, (0, 0, 255))]
        file = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        assert np.abs(np.subtract(colour(file), RED)).max() <= 12, kind
