"""A real Slurm on this machine, all of it run by a user without root: three declared nodes of two declared GPUs each.

All nodes are this machine: one table of processes, one temporary folder, no card behind the GPUs.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import TOP
from tests.support.waiting import wait_for

NEEDED = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
NODES = ("n1", "n2", "n3")
_NOBODY = 65534
"""The user that a test of root's becomes."""

_CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={at}/munge.socket
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={at}/state
SlurmdSpoolDir={at}/spool-%n
SlurmctldPidFile={at}/slurmctld.pid
SlurmdPidFile={at}/slurmd-%n.pid
SlurmctldLogFile={at}/slurmctld.log
SlurmdLogFile={at}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
GresTypes=gpu
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
KillWait=15
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName=n[1-3] NodeHostname={host} Port=[{first}-{last}] CPUs=2 RealMemory=1000 Gres=gpu:2 State=UNKNOWN
PartitionName=all Nodes=n[1-3] Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """What a Slurm needs and this machine lacks."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    return [name for name in NEEDED if shutil.which(name, path=path) is None]


@dataclass(frozen=True)
class Slurm:
    """A Slurm that runs, with all its files in a folder."""

    at: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its user."""
        home = self.at / "home"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "RAY_"))}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin", "/sbin"])
        own = {"HOME": str(home), "SLURM_CONF": str(self.at / "slurm.conf"), "PATH": path, "USER": "nobody"}
        return {**kept, **own, "XDG_CACHE_HOME": str(home / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}

    def call(self, *words: str | Path, check: bool = True, **changes: str) -> "subprocess.CompletedProcess[str]":
        """Call a command as its user."""
        return _as_user([str(word) for word in words], {**self.environment, **changes}, self.at, check=check)

    def jobs(self) -> dict[str, str]:
        """The state of every job that it knows, by the job's name."""
        rows = self.call("squeue", "--noheader", "--array", "--states=all", "--format=%i|%T").stdout.split()
        return dict(row.split("|") for row in rows)


def _as_user(
    words: Sequence[str], environment: Mapping[str, str], folder: Path, *, check: bool
) -> "subprocess.CompletedProcess[str]":
    who = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    ended = subprocess.run(
        words, env=dict(environment), cwd=TOP, capture_output=True, text=True, timeout=120, check=False, **who
    )  # type: ignore[call-overload]
    assert not check or ended.returncode == 0, (words, ended.stdout, ended.stderr)
    return ended


@contextlib.contextmanager
def running_slurm(folder: Path) -> Iterator[Slurm]:
    """A Slurm, until the end of the block."""
    slurm = Slurm(folder)
    for name in ("home", "state"):
        (folder / name).mkdir()
    host, (port, first, *_) = socket.gethostname().split(".")[0], _free_ports(2)
    user = "nobody" if os.geteuid() == 0 else str(os.geteuid())
    text = _CONFIGURATION.format(at=folder, host=host, port=port, first=first, last=first + 2, user=user)
    (folder / "slurm.conf").write_text(text)
    gpus = "NodeName=n[1-3] Name=gpu File=/dev/null\nNodeName=n[1-3] Name=gpu File=/dev/zero\n"
    (folder / "gres.conf").write_text(gpus)
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, _NOBODY, _NOBODY)
    try:
        slurm.call(*_munge(folder))
        slurm.call("slurmctld")
        for node in NODES:
            slurm.call("slurmd", "-N", node)
        wait_for(lambda: slurm.call("sinfo", "-hNo%t", check=False).stdout.split() == ["idle"] * 3, "idle nodes")
        yield slurm
    finally:
        slurm.call("scancel", "--user", user, check=False)
        for file in folder.glob("*.pid"):
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(file.read_text()), 15)


def _munge(folder: Path) -> list[str]:
    files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid", "log-file": "munged.log"}
    return [
        "munged",
        "--force",
        f"--seed-file={folder}/munged.seed",
        *(f"--{o}={folder}/{n}" for o, n in files.items()),
    ]


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("", 0))
        return [one.getsockname()[1] for one in sockets]
