"""A package in the place of wandb: what it does is known, and importing it takes no time."""

from __future__ import annotations

STAND_IN = """
import pathlib, types
Settings = dict
def setup():
    return types.SimpleNamespace(settings=types.SimpleNamespace(base_url="http://stand.in"))
def teardown():
    pass
def init(*, dir, id, **_):
    {init}
    path = pathlib.Path(dir, "wandb", "offline-run-" + id)
    path.mkdir(parents=True)
    settings = types.SimpleNamespace(sync_dir=str(path), base_url="http://stand.in")
    ignore = lambda *a, **k: None
    return types.SimpleNamespace(settings=settings, summary={{}}, log=ignore, finish=ignore, define_metric=ignore)
"""
SYNC = "import pathlib, sys\nfor path in sys.argv[2:]: pathlib.Path(path, 'run.wandb.synced').touch()"
HANG = "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True).wait()"
"""Start a process as wandb does wandb-core: in a session of its own, out of reach of its starter's group."""
REFUSED = "import sys; print('wandb: ERROR permission denied', file=sys.stderr)"
