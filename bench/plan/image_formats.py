"""Which files are images: all that Pillow reads here, by suffix or, where a name has none that says so, by content."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import suppress

OUTSIDE = frozenset({"EPS", "MPEG"})
"""Pillow would start another program for the first, and reads no picture of the second."""
OPTIONAL = {"AVIF": "avif", "WEBP": "webp", "JPEG2000": "jpg_2000"}
"""Formats that a build of Pillow may lack -> how it calls the feature."""
ADVICE = {
    ".heic": "pip install pillow-heif",
    ".heif": "pip install pillow-heif",
    ".jxl": "save them as PNG",
    ".svg": "save them as PNG",
    ".avif": "pip install --upgrade pillow",
    ".webp": "pip install --upgrade pillow",
}
"""Suffixes of images that Pillow may not read -> the next move."""
LONGEST_MARK = 32
"""Bytes at a file's start by which Pillow knows a format."""


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """Return the formats that Pillow reads here, in the order in which it tries them; HEIC too, with pillow-heif."""
    from PIL import Image, ImageFile, features

    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    Image.init()

    def is_read(name: str) -> bool:
        if name in OUTSIDE or (name in OPTIONAL and not features.check(OPTIONAL[name])):
            return False
        reader = Image.OPEN[name][0]
        return not (isinstance(reader, type) and issubclass(reader, ImageFile.StubImageFile))

    return tuple(name for name in Image.ID if is_read(name))


@functools.cache
def readable_suffixes() -> frozenset[str]:
    """Return the suffixes of those formats, in lower case, each with its dot."""
    from PIL import Image

    formats = set(readable_formats())
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats)


def has_mark(path: str) -> bool:
    """Whether a file begins as an image does; a file that cannot be opened does not.

    Formats without such a mark (TGA, PCD) are known by their suffix only.
    """
    from PIL import Image

    try:
        with open(path, "rb") as file:
            start = file.read(LONGEST_MARK)
    except OSError:
        return False
    return any(_accepts(Image.OPEN[name][1], start) for name in readable_formats())


def _accepts(test: Callable[[bytes], bool | str] | None, start: bytes) -> bool:
    """Ask a format's own test; one that answers in words knows the format and cannot read it."""
    if test is None:
        return False
    with suppress(Exception):  # some tests index beyond the end of a short file
        answer = test(start)
        return bool(answer) and not isinstance(answer, str)
    return False
