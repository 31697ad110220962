"""results/README.md: the reference of every column, generated from the code."""

from __future__ import annotations

from ampbench.bench.store.tables import TABLES, arrow_type
from ampbench.path import ROOT
from ampbench.schema.files import table_file

HEAD = """# Results

`results/<experiment>/` is written by `bench/run_matrix.py`: `plan.json`, a folder a run below `runs/`, and the
runs joined in the tables below, keyed by `cell_id`. Git ignores all of it except `demo/` and small results
of named machines. A missing measurement is null, never 0. Unit, label and meaning also travel in the
metadata of each Parquet field.

This page is generated from `ampbench/schema/` by `make reference`.
"""


def reference() -> str:
    """Return the column reference as Markdown: results/README.md."""
    lines = [HEAD]
    for table, columns in TABLES.items():
        lines += [f"## {table_file(table)}", "", "| column | type | unit | meaning |", "|---|---|---|---|"]
        lines += [f"| `{c.name}` | {arrow_type(c)} | {c.unit} | {c.meaning} |" for c in columns]
        lines.append("")
    return "\n".join(lines)


def write() -> None:
    """Write results/README.md."""
    (ROOT / "results" / "README.md").write_text(reference())


if __name__ == "__main__":
    write()
