"""What is asked of Slurm: the options of sbatch as the user wrote them, checked, and what they say of a job."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lm_eval.errors import ConfigurationError
from lm_eval.grid.options import Options

_LONG = {
    "A": "account", "a": "array", "b": "begin", "C": "constraint", "c": "cpus-per-task", "D": "chdir",
    "d": "dependency", "e": "error", "G": "gpus", "J": "job-name", "L": "licenses", "M": "clusters", "N": "nodes",
    "n": "ntasks", "o": "output", "p": "partition", "q": "qos", "t": "time", "W": "wait", "w": "nodelist",
    "x": "exclude",
}  # fmt: skip
"""The long names of sbatch's short options, as far as it matters which they are."""

_REFUSED = {
    "array": "the number of jobs is given by --slurm_jobs",
    "signal": "each job is told before its time is up, by a signal that the job script asks for",
    "requeue": "each job queues itself again where there is more to do",
    "no-requeue": "each job queues itself again where there is more to do",
    "wrap": "the job script is made here",
    "wait": "the call ends once the jobs are submitted; scripts/status.py --watch shows how far they are",
    "test-only": "--dry_run shows what would be submitted",
}
"""Options that the array itself needs, or that would do something else, and what to give instead."""


@dataclass(frozen=True)
class SlurmRequest:
    """An array of jobs, as the user asks for it."""

    words: tuple[str, ...]
    """The options of sbatch, as words."""
    num_jobs: int = 1
    setup: str = ""
    """Lines of shell that each job begins with."""

    @classmethod
    def of(cls, options: Options) -> "SlurmRequest":
        """Return what the flags ask for.

        Raises:
            ConfigurationError: flags or options of sbatch that don't go with such jobs.
        """
        _refuse_flags(options)
        text = options.slurm or ""
        try:
            words = tuple(shlex.split(text, comments=False))
        except ValueError as error:
            raise ConfigurationError(f"--slurm {text}: a quote is not closed ({error})") from error
        request = cls(words, options.slurm_jobs, options.slurm_setup or "")
        request.check()
        return request

    def check(self) -> None:
        """See that the words are options, and none that jobs of an array can't have.

        Raises:
            ConfigurationError: they aren't.
        """
        if not self.words or not self.words[0].startswith("-"):
            first = self.words[0] if self.words else ""
            raise ConfigurationError(
                f"--slurm must be options of sbatch, such as '--partition=gpu --gpus=4 --time=4:00:00', got {first!r}"
            )
        if any("\n" in word for word in self.words):
            raise ConfigurationError("--slurm must be one line; lines for the jobs are given by --slurm_setup")
        for name, value in self._pairs():
            for refused, instead in _REFUSED.items():
                if len(name) > 1 and refused.startswith(name):  # sbatch takes the beginning of a name too
                    raise ConfigurationError(f"--slurm: --{refused} is not for you to give: {instead}")
            if name == "nodes" and value != "1":
                raise ConfigurationError(
                    f"--slurm: --nodes={value}: a job works on one node; --slurm_jobs gives the number of jobs"
                )
        self.time_s  # noqa: B018  (refuses a time that can't be read)

    def _pairs(self) -> Sequence[tuple[str, str]]:
        """Return the long name and the value of each option; an option without a value has an empty one."""
        pairs: list[tuple[str, str]] = []
        for word in self.words:
            if word.startswith("--"):
                name, _, value = word[2:].partition("=")
                pairs.append((name, value))
            elif word.startswith("-") and len(word) > 1:
                pairs.append((_LONG.get(word[1], word[1]), word[2:]))
            elif pairs and not pairs[-1][1]:
                pairs[-1] = pairs[-1][0], word
            else:
                raise ConfigurationError(f"--slurm: {word!r} belongs to no option; write --option=value")
        return pairs

    @property
    def lines(self) -> Sequence[str]:
        """The options, one a line, as a job script states them."""
        lines: list[list[str]] = []
        for word in self.words:
            if word.startswith("-"):
                lines.append([word])
            else:
                lines[-1].append(word)
        return [shlex.join(line) for line in lines]

    @property
    def stated(self) -> Mapping[str, str]:
        """The value of each option, by its long name."""
        return dict(self._pairs())

    @property
    def time_s(self) -> float | None:
        """The time limit of a job, in seconds; None where the partition's is taken."""
        text = self.stated.get("time")
        return None if text is None else parse_time(text)

    @property
    def num_gpus(self) -> int | None:
        """The GPUs of a job; None where none are stated."""
        stated = self.stated
        for name in ("gpus", "gpus-per-node", "gpus-per-task"):
            if (number := _last_number(stated.get(name, ""))) is not None:
                return number
        for part in stated.get("gres", "").split(","):
            if part.split(":")[0].removeprefix("gres/") == "gpu":
                return _last_number(part) or 1
        return None

    @property
    def num_cpus(self) -> int | None:
        """The CPU cores of a job; None where none are stated."""
        given = [_last_number(self.stated.get(name, "")) for name in ("cpus-per-task", "ntasks")]
        return None if given == [None, None] else (given[0] or 1) * (given[1] or 1)

    @property
    def memory_gib(self) -> float | None:
        """The host memory of a job; None where it isn't stated, or is a node's."""
        match = re.fullmatch(r"(\d+)([KMGT]?)B?", self.stated.get("mem", ""), re.IGNORECASE)
        if match is None or match[1] == "0":
            return None
        return int(match[1]) * float(1024 ** ("KMGT".index((match[2] or "M").upper()) - 2))


def _last_number(text: str) -> int | None:
    match = re.search(r"(?:^|[:=])(\d+)$", text)
    return int(match[1]) if match else None


_NO_LIMIT = ("INFINITE", "UNLIMITED", "-1")


def parse_time(text: str) -> float | None:
    """Return the seconds of a time as sbatch takes it: M, M:S, H:M:S, D-H, D-H:M, D-H:M:S; None for no limit.

    Raises:
        ConfigurationError: it is none.
    """
    if text.upper() in _NO_LIMIT or text == "0":
        return None
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if match is None:
        raise ConfigurationError(f"--slurm: --time={text}: give minutes, H:M:S, D-H or D-H:M:S")
    days, *parts = match.groups()
    numbers = [int(part) for part in parts if part is not None]
    if days is not None:
        hours, minutes, seconds = [*numbers, 0, 0][:3]
        return float(int(days) * 86400 + hours * 3600 + minutes * 60 + seconds)
    if len(numbers) == 3:
        return float(numbers[0] * 3600 + numbers[1] * 60 + numbers[2])
    return float(numbers[0] * 60 + (numbers[1] if len(numbers) == 2 else 0))


def _refuse_flags(options: Options) -> None:
    if options.shutdown_at_exit:
        raise ConfigurationError(
            "--slurm and --shutdown_at_exit (-s): a node of a cluster is not yours to shut down; leave -s out"
        )
    if options.cluster not in ("local", "none"):
        raise ConfigurationError(
            f"--slurm and --cluster {options.cluster}: each job computes on its own node; give local or none"
        )
    if options.write_grid is not None:
        raise ConfigurationError("--slurm and --write_grid: that only writes a file; give one of them")
