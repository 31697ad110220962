"""python -m experiments.gpu.nvml OUT.parquet: every question that NVML is asked, with its raw answer and its time.

Before and after a second of products, since an idle board answers otherwise; then whom it lists beside this process.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ampbench.bench.machine.board_state.questions import PROCESSES, QUESTIONS
from ampbench.bench.machine.discovery import choose_boards, find_boards
from ampbench.bench.machine.nvml import Nvml, Unanswered, Unavailable
from ampbench.bench.plan.packages import advice
from ampbench.bench.store.atomic import replacing

IDLE_S = (0.0, 0.5, 1.0, 2.0)
"""After the products, the clock is read after so long: how soon a board slows down when it waits."""


def ask(nvml: Nvml, handle: Any, when: str) -> list[dict[str, Any]]:
    """Ask everything once."""
    rows = []
    for field, (function, _, constant) in [*QUESTIONS.items(), ("processes", PROCESSES)]:
        begun = time.perf_counter()
        try:
            answer = raw(nvml.ask(function, handle, constant=constant))
        except Unanswered as e:
            answer = f"{type(e.error).__name__}: {e}"
        took_ms = 1e3 * (time.perf_counter() - begun)
        rows.append({"when": when, "field": field, "function": function, "answer": answer, "ms": took_ms})
    return rows


def raw(answer: Any) -> str:
    """Return an answer in words, the fields of a struct by name."""
    if isinstance(answer, list):
        return f"[{', '.join(map(raw, answer))}]"
    fields = [name for name, *_ in getattr(answer, "_fields_", ())] or sorted(getattr(answer, "__dict__", ()))
    return " ".join(f"{name}={getattr(answer, name)}" for name in fields) or str(answer)


def compute() -> str:
    """Multiply for about a second; return what computed, or why nothing did."""
    try:
        import torch

        x = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
        for _ in range(600):
            x @ x
        torch.cuda.synchronize()
    except Exception as e:
        return f"nothing was computed: {type(e).__name__}: {str(e).splitlines()[0]}{advice(e)}"
    return f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"


def write(rows: list[dict[str, Any]], facts: dict[str, str], out: Path) -> None:
    """Write the answers so far."""
    with replacing(out) as partial:
        pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(facts), partial)


def main(out: Path) -> int:
    """Ask the first visible board; return 1 if nothing could be computed on it."""
    board = choose_boards(find_boards(os.environ), None).used[0]
    facts = {"board": str(board.name), "driver": str(board.driver), "pid": str(os.getpid())}
    with Nvml() as nvml:
        handle = nvml.handle_of(board.board_id)
        rows = ask(nvml, handle, "idle")
        write(rows, facts, out)  # torch's first import may take longer than the time there is
        by = compute()
        for idle_s in IDLE_S:
            time.sleep(idle_s)
            rows += ask(nvml, handle, "just after products" if not idle_s else f"{idle_s:g} s more of waiting")
    for row in rows:
        if row["when"] in ("idle", "just after products") or row["field"] == "sm_clock_mhz":
            print(f"{row['when']:24} {row['field']:26} {row['ms']:6.2f} ms  {row['answer'][:200]}")
    print(by)
    write(rows, facts | {"computed by": by}, out)
    return int(by.startswith("nothing"))


if __name__ == "__main__":
    try:
        sys.exit(main(Path(sys.argv[1])))
    except Unavailable as e:
        sys.exit(str(e))
    except KeyboardInterrupt:
        sys.exit(f"stopped; the answers so far are in {sys.argv[1]}")
