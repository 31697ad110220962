"""Reads what wandb and SwanLab write: LevelDB's log format, in blocks of 32 KiB, after a header of 7 bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def read_records(path: Path, message: Any) -> dict[str, list[Any]]:
    """Return the records of a file by kind, the field of `message`'s only oneof."""
    records: dict[str, list[Any]] = {}
    data, partial, at = path.read_bytes(), b"", 7
    while at + 7 <= len(data):
        if (room := 32768 - at % 32768) < 7:  # too little for the header of a chunk: padding
            at += room
            continue
        size, part = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        partial += data[at + 7 : at + 7 + size]
        at += 7 + size
        if part in (1, 4):  # full, last
            record = message.FromString(partial)
            [oneof] = [each.name for each in message.DESCRIPTOR.oneofs if not each.name.startswith("_")][:1]
            name, partial = record.WhichOneof(oneof), b""
            records.setdefault(name, []).append(getattr(record, name))
    return records
