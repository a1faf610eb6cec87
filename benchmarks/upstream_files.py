"""How many of the task files of EleutherAI's lm-evaluation-harness are accepted here, and why the others aren't.

Reads every file of a folder that names a task and scores choices (`output_type: multiple_choice`), as `--include_path`
would: a file counts as accepted if its tasks are made, templates and functions included. Rows are another matter; see
`upstream_made_up.py`. The folder is `--folder`, or that of the harness's own environment, as for `upstream.py`.

Exit status: 0 where `--floor` of them are accepted and none crashed, 1 where not, 2 where the harness isn't available.
"""

import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.command_line import add_harness_place, make_parser, write_figures
from benchmarks.harness import UnavailableError, find_python
from benchmarks.upstream_tasks import task_folder
from lm_eval.common.text import say_cause
from lm_eval.errors import ConfigurationError
from lm_eval.tasks.yaml_tasks.build import make_tasks
from lm_eval.tasks.yaml_tasks.parser import TaskFile, read_task_file

FLOOR = 0.99


@dataclass
class Count:
    """What became of task files."""

    accepted: list[Path] = field(default_factory=list)
    refused: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    """By the reason, without the file's own name."""
    crashed: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))

    @property
    def total(self) -> int:
        """All of them."""
        return len(self.accepted) + sum(map(len, (*self.refused.values(), *self.crashed.values())))


def choice_files(folder: Path) -> Iterator[TaskFile]:
    """Yield the files that name a task with choices."""
    top = folder.resolve()
    for path in sorted(top.rglob("*.yaml")):
        try:
            file = read_task_file(path, top=top)
        except ConfigurationError:  # no YAML, or it includes what isn't there: what it scores isn't known
            continue
        if isinstance(file.keys.get("task"), str) and file.keys.get("output_type") == "multiple_choice":
            yield file


def count_files(folder: Path) -> Count:
    """Try every file that names a task with choices."""
    count = Count()
    for file in choice_files(folder):
        try:
            make_tasks(file)
        except ConfigurationError as error:
            count.refused[_reason(str(error), folder)].append(file.path)
        except Exception as error:  # what this looks for
            count.crashed[say_cause(error)].append(file.path)
        else:
            count.accepted.append(file.path)
    return count


def _reason(message: str, folder: Path) -> str:
    """Return a message without the names of files, so that equal reasons are counted together."""
    bare = message.replace(f"{folder.resolve()}/", "")
    return re.sub(r"\S+/\S+?\.(yaml|py)\b|\S+_yaml\b", "FILE", bare)


def main(arguments: Sequence[str] | None = None) -> int:
    """Count and return the exit status."""
    parser = make_parser(__doc__)
    add_harness_place(parser)
    parser.add_argument("--folder", type=Path, help="the task files, in place of the environment's")
    parser.add_argument("--floor", type=float, default=FLOOR, help="the share that must be accepted (%(default)s)")
    args = parser.parse_args(arguments)
    try:
        folder = args.folder or task_folder(find_python(args.python, args.env))
    except UnavailableError as error:
        print(f"nothing counted, lm-eval is not available: {error}", file=sys.stderr)
        return 2
    started = time.perf_counter()
    count = count_files(folder)
    share = len(count.accepted) / max(1, count.total)
    print(f"{len(count.accepted)} of {count.total} accepted ({share:.2%}), {time.perf_counter() - started:.0f} s")
    for title, by_reason in (("refused", count.refused), ("crashed", count.crashed)):
        for reason, paths in sorted(by_reason.items(), key=lambda item: -len(item[1])):
            first = paths[0].relative_to(folder.resolve())
            print(f"{title:8} {len(paths):4}  {first}{' …' if len(paths) > 1 else ''}: {reason}")
    figures = {"accepted": len(count.accepted), "total": count.total}
    listed = {name: {reason: list(map(str, paths)) for reason, paths in by_reason.items()}
              for name, by_reason in (("refused", count.refused), ("crashed", count.crashed))}  # fmt: skip
    write_figures(args.out, {**figures, **listed})
    return 0 if share >= args.floor and not count.crashed else 1


if __name__ == "__main__":
    sys.exit(main())
