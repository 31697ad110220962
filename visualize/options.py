"""What several commands ask for, each in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Results of one experiment, as in results/demo.")]
Only = Annotated[
    list[str] | None,
    typer.Option(help="Take only cells with this value, as in batch_size=256,128. Repeat to narrow."),
]
Mixed = Annotated[bool, typer.Option("--mixed", help="Also read recipes that ran on different machines or versions.")]
