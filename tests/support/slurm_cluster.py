"""A Slurm of this machine alone, for tests: Debian's munged, slurmctld and slurmd, as root, without systemd.

All of it lives in one short folder, with free ports, so several may run at once. There is no accounting, as on many
small clusters: `sacct` fails, and what became of a job is known for as long as slurmctld remembers it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")

HOW = "apt-get install slurmctld slurmd slurm-client munge"

START_S = 30.0

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/spool.%n
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerParameters=defer_batch,sched_interval=1,bf_interval=1
MinJobAge={min_job_age_s}
KillWait=2
SlurmdTimeout=5
MailProg=/bin/true
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=2000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=2000{n2}
PartitionName=cpu Nodes={cpu_nodes} Default=YES MaxTime=600 State=UP
"""

WITH_GPUS = {"n2": " Gres=gpu:4\nPartitionName=gpu Nodes=n2 MaxTime=600 State=UP", "cpu_nodes": "n1"}
"""One node of two CPUs; and in a partition of its own one that says it has four GPUs, which is a lie."""

ALIKE = {"n2": "", "cpu_nodes": "n1,n2"}
"""Two nodes of two CPUs in one partition."""


def why_missing() -> str | None:
    """Return why no Slurm can be started here, or None."""
    missing = [name for name in DAEMONS if shutil.which(name, path=_path()) is None]
    if missing:
        return f"no {', '.join(missing)} here: {HOW}"
    return None if os.geteuid() == 0 else "Slurm's daemons are started as root here"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """A Slurm that runs."""

    folder: Path
    environ: Mapping[str, str]
    """What a command needs in its environment to find it."""

    def __call__(self, *words: str) -> str:
        """Run one of Slurm's commands; return what it prints."""
        done = subprocess.run(words, env=os.environ | self.environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def jobs(self) -> dict[str, str]:
        """Return job -> state of all that slurmctld remembers."""
        lines = self("squeue", "--noheader", "--array", "--states=all", "--format=%i|%T").splitlines()
        return dict(line.split("|") for line in lines)

    def processes(self) -> list[psutil.Process]:
        """Return the daemons, whatever jobs have started, and the slurmstepd of each job."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if self._is_ours(process) and process.pid != os.getpid():
                    found.append(process)
        return found

    def _is_ours(self, process: psutil.Process) -> bool:
        if process.name() == "slurmstepd":  # has no environment, and waits long for a slurmd that is gone
            return any(file.path.startswith(f"{self.folder}/") for file in process.open_files())
        return process.environ().get("SLURM_CONF") == str(self.folder / "slurm.conf")


@contextmanager
def slurm_cluster(
    *, min_job_age_s: int = 3600, on_n2: Mapping[str | Path, str | Path] | None = None
) -> Iterator[Cluster]:
    """Start a Slurm; stop it, and every process of its jobs, at the end.

    Args:
        min_job_age_s: how long slurmctld remembers a job that has ended.
        on_n2: path -> another that n2 and its jobs see in its place, and nobody else; but for it the nodes are alike.
    """
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # the path of a socket has 108 characters at most
    cluster = Cluster(folder=folder, environ={"SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()})
    _write(folder, min_job_age_s, WITH_GPUS if on_n2 is None else ALIKE)
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        munge = [f"--{name}={folder}/munge.{suffix}" for name, suffix in MUNGE_FILES.items()]
        daemons.append(_daemon(["munged", "--foreground", "--force", *munge], cluster))
        daemons.append(_daemon(["slurmctld", "-D", "-L", f"{folder}/ctld.log"], cluster))
        for node in ("n1", "n2"):
            words = ["slurmd", "-D", "-N", node, "-L", f"{folder}/{node}.log"]
            daemons.append(_daemon(_seeing(on_n2, words) if on_n2 and node == "n2" else words, cluster))
        _wait_until_idle(cluster)
        yield cluster
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for process in cluster.processes():
            with suppress(psutil.Error):
                process.kill()
        for daemon in daemons:
            daemon.kill()
            daemon.wait()
        shutil.rmtree(folder, ignore_errors=True)


MUNGE_FILES = {
    "socket": "sock",
    "key-file": "key",
    "pid-file": "pid",
    "seed-file": "seed",
    "log-file": "log",
}


def _seeing(others: Mapping[str | Path, str | Path], words: list[str]) -> list[str]:
    """Return a command in a mount namespace of its own, in which other files are in the place of some."""
    mounts = [f"mount --bind {shlex.quote(str(other))} {shlex.quote(str(path))}" for path, other in others.items()]
    return ["unshare", "--mount", "sh", "-c", " && ".join([*mounts, 'exec "$@"']), "sh", *words]


def _write(folder: Path, min_job_age_s: int, nodes: Mapping[str, str]) -> None:
    (folder / "state").mkdir()
    with (folder / "munge.key").open("xb") as key:
        os.fchmod(key.fileno(), 0o400)
        key.write(os.urandom(1024))
    host = platform.node().partition(".")[0]
    text = CONF.format(folder=folder, host=host, ports=_free_ports(3), min_job_age_s=min_job_age_s, **nodes)
    (folder / "slurm.conf").write_text(text)
    if nodes is ALIKE:
        return
    for i in range(4):
        (folder / f"gpu{i}").touch()
    (folder / "gres.conf").write_text(f"NodeName=n2 Name=gpu File={folder}/gpu[0-3]\n")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _daemon(words: list[str], cluster: Cluster) -> subprocess.Popen[bytes]:
    """Start a daemon that ends with this process, however that ends; Ctrl-C does not reach it before the jobs do."""
    libc = ctypes.CDLL(None)
    return subprocess.Popen(
        words,
        env=os.environ | cluster.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: libc.prctl(1, signal.SIGKILL),  # PR_SET_PDEATHSIG
    )


def _wait_until_idle(cluster: Cluster) -> None:
    until_s, said = time.monotonic() + START_S, ""
    while time.monotonic() < until_s:
        with suppress(AssertionError):
            said = cluster("sinfo", "--noheader", "--Node", "--format=%t")
            if said.split() == ["idle", "idle"]:
                return
        time.sleep(0.05)
    logs = "\n".join(path.read_text()[-1000:] for path in sorted(cluster.folder.glob("*.log")))
    raise AssertionError(f"Slurm did not start in {START_S:g} s: {said!r}\n{logs}")


def _path() -> str:
    """Return PATH with the folders of daemons, which root's shell may lack, and of this Python."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


if __name__ == "__main__":  # python -m tests.support.slurm_cluster [PATH=OTHER] COMMAND…: a command where a Slurm is
    seen, command = (sys.argv[1:2], sys.argv[2:]) if "=" in sys.argv[1] else ([], sys.argv[1:])
    with slurm_cluster(on_n2=dict([each.split("=", 1) for each in seen]) or None) as one:
        sys.exit(subprocess.run(command, env=os.environ | one.environ).returncode)
