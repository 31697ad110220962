"""`settle.toml`: written by the report, and never again once a person has changed it.

Its first line holds a checksum of the rest: a file whose checksum no longer fits is somebody's work.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

FIRST_LINE = "# Written by the report, which keeps it up to date until you change it ({}).\n"


def text_of(toml: str) -> str:
    """Return the text of the file, its checksum first."""
    return FIRST_LINE.format(hashlib.sha256(toml.encode()).hexdigest()[:12]) + toml


def is_ours(path: Path) -> bool:
    """Return whether a file is as a report left it; also true where there is none."""
    try:
        first, _, rest = path.read_text(encoding="utf-8").partition("\n")
    except FileNotFoundError:
        return True
    except (OSError, UnicodeDecodeError):
        return False
    return text_of(rest) == f"{first}\n{rest}"
