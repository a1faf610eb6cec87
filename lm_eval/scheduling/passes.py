"""Long passes, shared piece by piece: which blocks are free, what is done of each run, and putting it together.

Whoever works on a results folder takes blocks by leases and writes pieces (`results.pieces`); each sees the others'
pieces, and the first that finds the last one there makes the result. Of a pass that a driver of other code works on,
nothing is taken as long as that driver lives.
"""

import contextlib
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lm_eval.common.console import print_safely
from lm_eval.common.json_files import read_json
from lm_eval.common.typed_files import read_as
from lm_eval.errors import ConfigurationError, DataError, RunError
from lm_eval.results.failures import Failure
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.identity import Run, is_same_run
from lm_eval.results.pieces import Part, PassFolder, PieceFile, read_piece, sweep_pieces, write_piece
from lm_eval.results.provenance import code_digest
from lm_eval.scheduling.driver_file import LifeSigns
from lm_eval.scheduling.known_pass import KnownPass
from lm_eval.scheduling.leases import Leases
from lm_eval.scheduling.ownership import Ownership
from lm_eval.scheduling.units import Order, Outcome, PieceClaim, PieceDone, WorkUnit
from lm_eval.scoring.assembly import assemble, fitting, gaps
from lm_eval.scoring.blocks import Block

_OTHER = Failure(
    message="the model, the data or this program changed while its pieces were computed: a worker had others than"
    " the plan; call again to compute the run as they are now"
)
_TOGETHER = 16
"""Runs of a pass whose results are made at a time: each file is read once for them, and what it holds is in memory."""


class Passes:
    """The long passes of an order."""

    def __init__(self, order: Order, units: Iterable[WorkUnit], folder: ResultsFolder, ownership: Ownership) -> None:
        self._order = order
        self._results = folder
        self._ownership = ownership
        self._code = code_digest()
        self._passes: dict[str, KnownPass] = {}
        self._open: dict[str, KnownPass] = {}
        """The pass of each run that has no outcome yet, by the run's name."""
        self._assembled: set[str] = set()
        """Runs whose outcome was made and may still wait to be written."""
        self._lost: list[WorkUnit] = []
        self._cannot_write = False
        for unit in units:
            if unit.blocks:
                self._add(unit)

    def _add(self, unit: WorkUnit) -> None:
        folder = PassFolder.of(self._results.path, unit.runs[0].pass_name)
        of = self._passes.setdefault(folder.name, KnownPass(folder, unit.num_documents, unit.blocks))
        for run in unit.runs:
            of.runs[run.name] = run
            of.done[run.name] = bytearray(of.num_documents)
            self._open[run.name] = of

    def open(self) -> None:
        """Remove what nobody goes on with, and read what is done."""

        def is_done(name: str) -> bool:
            return name not in self._open and self._results.has(name)

        sweep_pieces(self._results.path, self._ownership.leases.is_live, is_done, self._code)
        for of in self._passes.values():
            self._refresh(of)
            self._clean(of)

    def num_done(self, run: Run) -> int | None:
        """Return how many documents of a run are done; None where it isn't computed in pieces."""
        of = self._open.get(run.name)
        return None if of is None else of.done[run.name].count(1)

    def claim(self, unit: WorkUnit, number: int) -> PieceClaim:
        """Claim so many blocks of a unit, in a row, that the same runs lack."""
        of = self._passes[PassFolder.of(self._results.path, unit.runs[0].pass_name).name]
        known = self._ownership.ask(unit.runs)
        runs = [run for run in known.mine if not of.is_complete(run.name)]
        if known.held or self._is_others(of):
            return PieceClaim(held=unit.blocks, done=known.done, failed=known.failed)
        while True:
            self._refresh(of)
            claim = self._lease_blocks(of, unit, runs, number)
            self._refresh(of)  # whoever had a lease before may have finished meanwhile
            if all(of.lacking(runs, block) == claim.runs for block in claim.blocks):
                break
            self._release(of, claim.blocks)
        return PieceClaim(
            runs=claim.runs, blocks=claim.blocks, held=claim.held, rest=claim.rest, done=known.done, failed=known.failed
        )

    def _lease_blocks(self, of: KnownPass, unit: WorkUnit, runs: Sequence[Run], number: int) -> PieceClaim:
        mine, held, wanted = list[Block](), list[Block](), tuple[Run, ...]()
        for index, block in enumerate(unit.blocks):
            lacking = of.lacking(runs, block)
            if mine and (len(mine) == number or block[0] != mine[-1][1] or lacking != wanted):
                return PieceClaim(runs=wanted, blocks=tuple(mine), held=tuple(held), rest=unit.blocks[index:])
            if not lacking:
                continue
            if self._ownership.claim_name(of.lease(block)):
                mine.append(block)
                wanted = lacking
            else:
                held.append(block)
        return PieceClaim(runs=wanted, blocks=tuple(mine), held=tuple(held))

    def _is_others(self, of: KnownPass) -> bool:
        """Whether a driver of other code works on a pass; of two that have begun it the first by name goes on."""
        leases, files = self._ownership.leases, of.folder.files()
        others = {file.driver for file in files if file.code != self._code and leases.is_live(file.driver)}
        holders = leases.others(f"{of.folder.name}.*")
        others |= {driver for driver in holders if self._code_of(leases.driver_file(driver)) != self._code}
        has_begun = any(file.driver == leases.driver for file in files)
        return any(not has_begun or driver < leases.driver for driver in others)

    def _code_of(self, driver: Path) -> str | None:
        with contextlib.suppress(OSError, ValueError):
            return read_as(LifeSigns, read_json(driver)).digest
        return self._code  # it has just ended

    def _refresh(self, of: KnownPass) -> None:
        """Read the pieces that others have written since the last time."""
        for file in of.folder.files():
            if file.code == self._code and file not in of.seen:
                if not self._is_new_enough(of, file):
                    of.folder.remove([] if self._ownership.leases.is_live(file.driver) else [file])
                    continue
                with contextlib.suppress(OSError):
                    of.take(file, read_piece(file))

    def _is_new_enough(self, of: KnownPass, file: PieceFile) -> bool:
        """Whether a piece counts: where results are to be replaced, only those count that were made since."""
        return not self._order.replaced & of.runs.keys() or self._ownership.is_new(file.path)

    def keep(self, piece: PieceDone) -> Iterator[Outcome]:
        """Write a piece and give its leases back; yield the failures of runs that were computed from something else."""
        unit = piece.unit
        of = self._passes[PassFolder.of(self._results.path, unit.runs[0].pass_name).name]
        names = {run.config: run for run in unit.runs}
        parts = {}
        for config, part in piece.parts.items():
            run = names[config]
            if run.name not in self._open:  # it has failed in another piece
                continue
            if part.code != self._code or not is_same_run(part.identity, run.identity):
                yield Outcome(config=config, failure=_OTHER)
            else:
                parts[run.name] = part
        if parts:
            span = unit.blocks[0][0], unit.blocks[-1][1]
            file = of.folder.file(self._code, span, self._ownership.leases.driver)
            of.unwritten[file] = parts
            of.take(file, parts)
            self.write()
        self._release(of, unit.blocks)

    def write(self) -> None:
        """Write the pieces that wait; where that is impossible they are kept in memory until the next time."""
        for of in self._passes.values():
            for file in list(of.unwritten):
                try:
                    write_piece(file, of.unwritten[file])
                    del of.unwritten[file]
                except OSError as error:
                    if not self._cannot_write:
                        self._cannot_write = True
                        print_safely(f"CANNOT WRITE to {of.folder.path}: {error}; pieces are kept in memory")
                    return

    def _release(self, of: KnownPass, blocks: Sequence[Block]) -> None:
        for block in blocks:
            self._ownership.leases.release(of.lease(block))

    def assembled(self) -> Iterator[Outcome]:
        """Yield the outcomes of runs whose last piece is done, by whomever; one driver makes the result of a run."""
        for of, names in self._complete():
            runs = [of.runs[name] for name in names if self._ownership.claim_name(name)]
            done = {run.name for run in runs if self._ownership.is_done(run)}
            held = of.read({run.name for run in runs} - done)
            for run in runs:
                if run.name in done:
                    outcome: Outcome | None = Outcome(config=run.config, elsewhere=True)
                else:
                    outcome = self._assemble(of, run, held.pop(run.name, {}))
                if outcome is not None:
                    self._assembled.add(run.name)
                    yield outcome

    def _complete(self) -> Iterator[tuple[KnownPass, list[str]]]:
        """Yield runs of which all is done, as many as are put together at a time."""
        names: dict[str, list[str]] = defaultdict(list)
        for name, of in self._open.items():
            if name not in self._assembled and of.is_complete(name):
                names[of.folder.name].append(name)
        for key, complete in names.items():
            for start in range(0, len(complete), _TOGETHER):
                yield self._passes[key], complete[start : start + _TOGETHER]

    def lost(self) -> list[WorkUnit]:
        """Return what is to be computed again, as its pieces have vanished from the folder, each once."""
        lost, self._lost = self._lost, []
        return lost

    @property
    def is_waiting(self) -> bool:
        """Whether another driver is putting a run together."""
        return any(True for _ in self._complete())

    def _assemble(self, of: KnownPass, run: Run, found: Mapping[PieceFile, Part]) -> Outcome | None:
        """Return the outcome of a run; None if it is to be gone on with, as pieces have vanished."""
        parts = fitting(found.values(), run)
        if gaps([(part.start, part.end) for part in parts], of.num_documents):
            self._begin_again(of, run, parts)
            return None
        leases = self._ownership.leases
        resumed = [file.span for file in found if file.driver != leases.driver and not leases.is_live(file.driver)]
        num_resumed = of.num_documents - sum(end - start for start, end in gaps(resumed, of.num_documents))
        try:
            result = assemble(run, parts, log_samples=self._order.log_samples, num_resumed=num_resumed)
        except (RunError, ConfigurationError, DataError) as error:
            return Outcome(config=run.config, failure=Failure(message=str(error)))
        return Outcome(config=run.config, result=result)

    def _begin_again(self, of: KnownPass, run: Run, parts: Sequence[Part]) -> None:
        of.done[run.name] = bytearray(of.num_documents)
        for part in parts:
            of.done[run.name][part.start : part.end] = b"\1" * (part.end - part.start)
        missing = tuple(block for block in of.blocks if of.lacking([run], block))
        self._lost.append(WorkUnit(runs=(run,), blocks=missing, num_documents=of.num_documents))
        self._ownership.release(run)

    def end(self, run: Run) -> None:
        """Forget a run that has an outcome, and remove the pieces that nobody needs any more."""
        of = self._open.pop(run.name, None)
        if of is not None:
            self._clean(of)

    def _clean(self, of: KnownPass) -> None:
        by_runs: dict[bool, list[PieceFile]] = defaultdict(list)
        for file, names in of.seen.items():
            is_over = all(name not in self._open and self._results.has(name) for name in names)
            by_runs[is_over].append(file)
        of.folder.remove(by_runs[True])
        of.seen = {file: of.seen[file] for file in by_runs[False]}
        of.unwritten = {file: parts for file, parts in of.unwritten.items() if file in of.seen}


def sweep_state(results: ResultsFolder) -> None:
    """Remove what drivers that were killed have left: leases, and the pieces of runs that have results."""
    leases = Leases(results.path, f"sweep-{uuid.uuid4().hex[:8]}")
    leases.sweep()
    sweep_pieces(results.path, leases.is_live, results.has, code_digest())
