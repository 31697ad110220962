"""Images that Parquet files hold as the bytes of image files, decoded row by row."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ampbench.bench.plan.data_place import cache_folder
from ampbench.bench.plan.image_parquet import Shards
from ampbench.bench.train.images.growing import OnProgress
from ampbench.bench.train.images.image_file import decode_pixels
from ampbench.bench.train.images.image_store import Decoded, check_room

LABELS = ("label", "labels", "fine_label", "target", "class", "coarse_label")
"""Names of a column of labels, the best first."""
MOST_NAMED = 10
MOST_CLASSES = 100_000
"""A label beyond is a number of something else: ImageNet-21k has 21,841 classes."""
ROWS = 256
"""Read at a time."""


def decode_shards(shards: Shards, size: int, on_progress: OnProgress) -> Decoded:
    """Decode all images to size x size.

    Raises:
        ValueError: a file is damaged, or holds no images or labels, or images cannot be read; says which.
    """
    files = [*shards.train, *shards.test]
    rows = [_num_rows(path) for path in files]
    image, label = _columns(files[0])
    num_train, total, done = sum(rows[: len(shards.train)]), sum(rows), 0
    if num_train in (0, total):
        raise ValueError(f"{shards.folder}: the files of the {'test' if num_train else 'training'} set hold no rows")
    check_room(total, size, cache_folder())
    pixels, labels = np.empty((total, 3, size, size), np.uint8), np.empty(total, np.int64)
    unreadable: list[str] = []
    for path in files:
        for row, (content, number) in enumerate(_rows(path, image, label)):
            labels[done] = -1 if number is None else min(number, MOST_CLASSES)
            try:
                pixels[done] = decode_pixels(io.BytesIO(content or b""), size)
            except ValueError as e:
                unreadable.append(f"row {row} of {path} ({e})")
            done += 1
            if done % ROWS == 0:
                on_progress(done, total)
    if unreadable:
        more = f" and {len(unreadable) - MOST_NAMED:,} more" if len(unreadable) > MOST_NAMED else ""
        raise ValueError(f"no readable image in {', '.join(unreadable[:MOST_NAMED])}{more}; mend or remove these rows")
    if labels.min() < 0:
        raise ValueError(f"{shards.folder}: column {label} holds rows without a label; a test set needs labels too")
    if labels.max() >= MOST_CLASSES:
        raise ValueError(
            f"{shards.folder}: column {label} holds numbers of {MOST_CLASSES:,} and more; labels are 0, 1, 2 ..."
        )
    classes = _classes(files[0], label) or [str(i) for i in range(int(labels.max()) + 1)]
    if len(classes) < 2:
        raise ValueError(f"{shards.folder}: column {label} holds a single class, which cannot be learnt")
    if labels.max() >= len(classes):
        raise ValueError(f"{shards.folder}: column {label} holds {labels.max()}, and {len(classes)} classes are named")
    return pixels[:num_train], labels[:num_train], pixels[num_train:], labels[num_train:], classes


def _num_rows(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowException, OSError) as e:
        raise ValueError(f"{path}: is damaged or no Parquet file ({str(e).splitlines()[0]}); copy it again") from None


def _columns(path: Path) -> tuple[str, str]:
    """Return the names of the columns of images and of labels."""
    schema = pq.read_schema(path)
    images = [f.name for f in schema if pa.types.is_struct(f.type) and f.type.get_field_index("bytes") >= 0]
    images += [f.name for f in schema if pa.types.is_binary(f.type) or pa.types.is_large_binary(f.type)]
    whole = [f.name for f in schema if pa.types.is_integer(f.type)]
    labels = [name for name in LABELS if name in whole] or whole[:1]
    if not images or not labels:
        there = ", ".join(f"{f.name} ({f.type})" for f in schema)
        raise ValueError(
            f"{path}: needs a column of images as bytes (img.bytes, image.bytes) and one of whole numbers (label); it "
            f"holds {there}"
        )
    return images[0], labels[0]


def _rows(path: Path, image: str, label: str) -> Iterator[tuple[bytes | None, int | None]]:
    try:
        for batch in pq.ParquetFile(path).iter_batches(ROWS, columns=[image, label]):
            contents = batch.column(image)
            if pa.types.is_struct(contents.type):
                contents = contents.field("bytes")
            yield from zip(contents.to_pylist(), batch.column(label).to_pylist(), strict=True)
    except (pa.ArrowException, OSError, KeyError, ValueError) as e:
        raise ValueError(f"{path}: cannot be read to its end ({str(e).splitlines()[0]}); copy it again") from None


def _classes(path: Path, label: str) -> Sequence[str] | None:
    """Return the names that Hugging Face's metadata give the labels."""
    try:
        said = json.loads((pq.read_schema(path).metadata or {})[b"huggingface"])
        return [str(name) for name in said["info"]["features"][label]["names"]]
    except (KeyError, TypeError, ValueError):
        return None
