"""What a driver knows of a long pass: which pieces of it there are, and which documents they hold of each run."""

import contextlib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from lm_eval.results.identity import Run, is_same_run
from lm_eval.results.pieces import Part, PassFolder, PieceFile, read_piece
from lm_eval.scoring.blocks import Block


@dataclass
class KnownPass:
    """What a driver knows of a pass."""

    folder: PassFolder
    num_documents: int
    blocks: tuple[Block, ...]
    runs: dict[str, Run] = field(default_factory=dict)
    """Its runs that this driver is to compute, by their names."""
    seen: dict[PieceFile, frozenset[str]] = field(default_factory=dict)
    """The files that were read, and the runs that they hold."""
    unwritten: dict[PieceFile, Mapping[str, Part]] = field(default_factory=dict)
    done: dict[str, bytearray] = field(default_factory=dict)
    """Which documents are done of each run."""

    def lease(self, block: Block) -> str:
        """Return the name of a block's lease."""
        return f"{self.folder.name}.{block[0]}-{block[1]}"

    def take(self, file: PieceFile, parts: Mapping[str, Part]) -> None:
        """Count what a piece holds as done."""
        self.seen[file] = frozenset(parts)
        for name, part in parts.items():
            run = self.runs.get(name)
            if run is not None and part.end <= self.num_documents and is_same_run(part.identity, run.identity):
                self.done[name][part.start : part.end] = b"\1" * (part.end - part.start)

    def lacking(self, runs: Sequence[Run], block: Block) -> tuple[Run, ...]:
        """Return the runs that lack documents of a block."""
        return tuple(run for run in runs if 0 in self.done[run.name][block[0] : block[1]])

    def is_complete(self, name: str) -> bool:
        """Whether all documents of a run are done."""
        return 0 not in self.done[name]

    def read(self, names: Collection[str]) -> dict[str, dict[PieceFile, Part]]:
        """Return what the pieces hold of some runs, by the run's name; each file is read once, for all of them."""
        found: dict[str, dict[PieceFile, Part]] = defaultdict(dict)
        for file in sorted(self.seen, key=lambda file: (*file.span, file.driver)):
            wanted = self.seen[file].intersection(names)
            if not wanted:
                continue
            with contextlib.suppress(OSError):
                held = self.unwritten.get(file) or read_piece(file, wanted)
                for name in wanted & held.keys():
                    found[name][file] = held[name]
        return found
