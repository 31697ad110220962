"""A waterfall for a terminal of any width, in plain characters: = a total, - what B saves, + what B adds."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

from ampbench.visualize.findings.explanation import Bar, Waterfall, amount, signed

WIDE = 84
"""Columns from which the values of both recipes are written beside the change."""
NUMBER = 9
"""Columns of a number."""
LONGEST_LABEL = 32
NARROWEST_BAR = 10


def waterfall_text(found: Waterfall, width: int) -> str:
    """Return the lines of a waterfall; each is at most `width` columns wide, from 60 on."""
    heads = [found.a, found.b, "change"] if width >= WIDE or not found.sums else ["change"]
    numbers = [max(NUMBER, *(cell_len(head) + 2 for head in heads))] * len(heads)
    labels = [bar.label for bar in found.bars] + [found.a, found.b]
    label_width = min(LONGEST_LABEL, max(map(cell_len, labels)), max(8, width - sum(numbers) - 2))
    room = width - label_width - sum(numbers) - 2
    lines = [f"{found.title} ({found.unit})"]
    lines.append(_line("", heads, "", label_width, numbers))
    scale = max(_ends(found), default=0.0)
    level = 0.0
    if found.sums:
        lines.append(_total(found.a, found.total_a, len(heads), found.total_a, scale, room, label_width, numbers))
        level = found.total_a
    for bar in found.bars:
        values = [amount(bar.a), amount(bar.b), signed(bar.change)][-len(heads) :]
        if found.sums:
            drawn = _floating(level, bar, scale, room)
            level += bar.change
        else:
            drawn = "=" * round(max(0, room) * bar.b / scale) if scale and room >= NARROWEST_BAR else ""
        lines.append(_line(bar.label, values, drawn, label_width, numbers))
    if found.sums:
        lines.append(_total(found.b, found.total_b, len(heads), found.total_b, scale, room, label_width, numbers))
    return "\n".join(lines) + "\n"


def _ends(found: Waterfall) -> list[float]:
    """Return every value at which a bar begins or ends."""
    if not found.sums:
        return [max(bar.a, bar.b) for bar in found.bars]
    level, ends = found.total_a, [found.total_a]
    for bar in found.bars:
        level += bar.change
        ends.append(level)
    return ends


def _floating(level: float, bar: Bar, scale: float, room: int) -> str:
    if room < NARROWEST_BAR or not scale:
        return ""
    low, high = sorted((level, level + bar.change))
    begin, end = round(room * low / scale), round(room * high / scale)
    return " " * begin + ("+" if bar.change > 0 else "-") * (end - begin)


def _total(
    label: str,
    value: float,
    num_values: int,
    total: float,
    scale: float,
    room: int,
    label_width: int,
    numbers: list[int],
) -> str:
    drawn = "=" * round(room * total / scale) if scale and room >= NARROWEST_BAR else ""
    values = [""] * num_values
    values[-1] = amount(value)
    return _line(label, values, drawn, label_width, numbers)


def _line(label: str, values: list[str], drawn: str, label_width: int, numbers: list[int]) -> str:
    if cell_len(label) > label_width:  # the name of a layer: its end says more than its beginning
        label = "…" + label[-(label_width - 1) :]
    words = "".join(f"{value:>{n}}" for value, n in zip(values, numbers, strict=True))
    return f"{set_cell_size(label, label_width)}{words}  {drawn}".rstrip()
