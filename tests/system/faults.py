"""Disturbs a grid as often as is asked for, and counts what came of it, by the kind of fault.

    python -m tests.system.faults --number 300 --seed 1

Each results folder gets some faults, one after the other, at random moments; the grid is called again until all is
done. Everything is compared with the same grid undisturbed. With `--kinds` some kinds alone; as root, results lie on a
disk of their own, which is filled and locked too. The exit status is 1 where anything was lost, doubled, wrong, hung,
or left behind.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from tests.support.fault_world import World
from tests.support.faults import KINDS, disk_of, disturb
from tests.support.tiny_models import save_tiny

PROBLEMS = ("lost", "doubled", "wrong", "hung", "tracebacks", "processes left", "files left")
_EACH = 4
"""Faults of a results folder."""


def run(world: World, scratch: Path, number: int, seed: int, kinds: Sequence[str]) -> dict[str, Counter[str]]:
    """Do so many faults; return, by their kind, how many there were and what was wrong in the grids that had them."""
    rnd, table, begun = random.Random(seed), defaultdict[str, Counter[str]](Counter), time.monotonic()
    total = 0
    while total < number:
        folder = Path(tempfile.mkdtemp(dir=scratch))
        chosen = [rnd.choice(kinds) for _ in range(min(_EACH, number - total))]
        with disk_of(folder):
            grid, done = disturb(world, folder, rnd, chosen)
            problems = {name: grid.problems[name] for name in PROBLEMS if grid.problems[name]}
        total += max(1, len(done))
        for one in done:
            kind = one.partition(":")[0]
            table[kind].update({"faults": 1})
        for kind in {one.partition(":")[0] for one in done}:
            table[kind].update(problems)
        table["all"].update({"faults": len(done), "grids": 1, **problems})
        print(f"{time.monotonic() - begun:6.0f} s  {total:4}  {'; '.join(done)}  {problems or ''}", flush=True)
        if problems:
            print("".join(f"    {line}\n" for line in grid.told), end="", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return dict(table)


def show(table: dict[str, Counter[str]]) -> str:
    """Return the counts as a table."""
    heads = ("faults", *PROBLEMS)
    kinds = sorted(table, key=lambda kind: (kind == "all", kind))
    rows = [f"{kind:16}" + "".join(f"{table[kind][head]:16}" for head in heads) for kind in kinds]
    return "\n".join([f"{'kind':16}" + "".join(f"{head:>16}" for head in heads), *rows])


def main() -> int:
    """Read the flags, do it, print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=40, help="faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default=",".join(KINDS), help="comma list, of: " + ", ".join(KINDS))
    parser.add_argument("--folder", type=Path, default=None, help="where the grids are; they stay where one went wrong")
    asked = parser.parse_args()
    scratch = asked.folder or Path(tempfile.mkdtemp(prefix="faults-"))
    scratch.mkdir(parents=True, exist_ok=True)
    model = str(save_tiny("gpt2", scratch / "model"))
    world = World.make(scratch / "world", model, documents=150, shots=3, cores=2)
    table = run(world, scratch, asked.number, asked.seed, asked.kinds.split(","))
    print(show(table))
    return 1 if any(table["all"][name] for name in PROBLEMS) else 0


if __name__ == "__main__":
    sys.exit(main())
