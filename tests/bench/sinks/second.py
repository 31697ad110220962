"""A second sink: its module, started as `python -m tests.bench.sinks.second FOLDER RUN_FOLDER ...`."""

from __future__ import annotations

import sys

from ampbench.bench.sinks.sink import Sink

SECOND = Sink(
    title="Second", module="tests.bench.sinks.second", help="Write the runs down.", written="second/{cell_id}.txt"
)

if __name__ == "__main__":
    folder, *runs = sys.argv[1:]
    SECOND.say("nothing written yet")
    for run in runs:
        SECOND.say(f"{run} written below {folder}/second")
        print("whatever a library prints")
    sys.exit("and a bad end")
