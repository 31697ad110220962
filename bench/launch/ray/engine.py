"""python -m ampbench.bench.launch.ray.engine FD: what measures on a node, alone in its process; a relay starts it."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import tempfile
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from ampbench.bench.plan.packages import MEASURING, absent, how_to_install
from ampbench.path import step_aside


def main() -> None:
    """Answer requests until the relay ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C on a terminal of the cluster's is the launcher's business
    threading.Thread(target=_end_with_relay, daemon=True).start()
    step_aside()
    messages = Connection(int(sys.argv[1]))
    from ampbench.bench.launch.ray.look import Look, look

    missing = absent(MEASURING)
    node = None
    carried_in = None
    while True:
        try:
            request, is_carried = messages.recv()
        except EOFError:
            return
        asked = pickle.loads(request)
        if isinstance(asked, Look):
            said = how_to_install(missing) if missing else ""
            messages.send_bytes(pickle.dumps(look(asked, said)))
            continue
        from dataclasses import replace

        from ampbench.bench.launch.cluster.node import Node

        node = node or Node()
        if is_carried:
            carried_in = carried_in or Path(tempfile.mkdtemp(prefix="ampbench-carried-"))
            asked = replace(asked, carried_in=carried_in)
        node.serve(asked, lambda said: messages.send_bytes(pickle.dumps(said)))


def _end_with_relay() -> None:
    """Wait for the end of the relay, which alone holds the other end of the standard input; nothing goes on then."""
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
