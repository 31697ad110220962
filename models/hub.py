"""Find the folder of a pretrained model: a path, or a download of Hugging Face's own tools.

Nothing is downloaded here: otherwise an experiment would depend on what a server sends on that day.
"""

from __future__ import annotations

import os
import re
from pathlib import Path


def folder_of(what: str) -> Path:
    """Return the folder that `hf:WHAT` names.

    A path is returned as it is. For a name OWNER/NAME that is not a folder here, it is the newest snapshot in Hugging
    Face's cache (`$HF_HUB_CACHE`, `$HF_HOME/hub` or `~/.cache/huggingface/hub`), or the path if there is no snapshot.
    """
    path = Path(what).expanduser()
    if not is_hub_name(what) or os.path.isdir(path):  # noqa: PTH112  (Path's own raises on a name that is too long)
        return path
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    snapshots = (cache / f"models--{what.replace('/', '--')}" / "snapshots").glob("*/config.json")
    return max(snapshots, key=lambda config: config.stat().st_mtime_ns, default=path / "config.json").parent


def is_hub_name(what: str) -> bool:
    """Whether a text has the form OWNER/NAME."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", what) is not None
