"""A real Slurm on this machine, all of it run by a user without root: three declared nodes of two declared GPUs each.

All nodes are this machine: one table of processes, one temporary folder, no card behind the GPUs.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.paths import TOP
from tests.support.waiting import PATIENCE_S, assert_all_end, wait_for

NEEDED = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
NODES = ("n1", "n2", "n3")

_CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={at}/munge.socket,cred_expire=5
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


def why_not() -> str:
    """Why no Slurm can be started here; empty if it can."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    if missing := [name for name in NEEDED if shutil.which(name, path=path) is None]:
        return f"Slurm isn't here ({', '.join(missing)}): its packages are slurm-wlm and munge"
    if subprocess.run([*_as_user(), "true"], check=False, capture_output=True).returncode != 0:
        return "root can't become a user without root here: no namespace of users can be made"
    return ""


def _as_user() -> list[str]:
    """What begins a command of a user without root: where root runs the tests, one who has root's files and no more."""
    if os.geteuid() != 0:
        return []
    nobody = pwd.getpwnam("nobody")
    return ["unshare", "--user", f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}"]


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
        own = {
            "HOME": str(home),
            "PYTHONPATH": str(TOP),
            "SLURM_CONF": str(self.at / "slurm.conf"),
            "PATH": path,
            "TMPDIR": str(self.at / "tmp"),
        }
        return {**kept, **own, "XDG_CACHE_HOME": str(home / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}

    def call(self, *words: str | Path, check: bool = True, **changes: str) -> "subprocess.CompletedProcess[str]":
        """Call a command as its user."""
        command = [*_as_user(), *map(str, words)]
        environment = {**self.environment, **changes}
        ended = subprocess.run(
            command, env=environment, cwd=TOP, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert not check or ended.returncode == 0, (words, ended.stdout, ended.stderr)
        return ended


@contextlib.contextmanager
def running_slurm(folder: Path) -> Iterator[Slurm]:
    """A Slurm, until the end of the block."""
    slurm = Slurm(folder)
    for name in ("home", "state", "tmp"):
        (folder / name).mkdir()
    host, (port, first, *_) = socket.gethostname().split(".")[0], _free_ports(2)
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    text = _CONFIGURATION.format(at=folder, host=host, port=port, first=first, last=first + 2, user=user)
    (folder / "slurm.conf").write_text(text)
    gpus = "NodeName=n[1-3] Name=gpu File=/dev/null\nNodeName=n[1-3] Name=gpu File=/dev/zero\n"
    (folder / "gres.conf").write_text(gpus)
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o600)
    try:
        slurm.call(*_munge(folder))
        slurm.call("slurmctld")
        for node in NODES:
            slurm.call("slurmd", "-N", node)
        wait_for(lambda: slurm.call("sinfo", "-hNo%t", check=False).stdout.split() == ["idle"] * 3, "idle nodes")
        yield slurm
    finally:
        slurm.call("scancel", "--user", user, check=False)
        wait_for(lambda: not slurm.call("squeue", "--noheader", check=False).stdout, "the end of all jobs")
        daemons = [psutil.Process(int(file.read_text())) for file in folder.glob("*.pid")]
        for daemon in daemons:
            daemon.terminate()
        assert_all_end(daemons)


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
