"""A long pass piece by piece: shared, gone on with, put together once, and nothing of it left behind."""

import itertools
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.simulated import SimulatedExecutor, carry_out, even_blocks, make_part, score_of
from lm_eval.results.failures import Failure
from lm_eval.results.folder import ResultsFolder
from lm_eval.results.pieces import PassFolder, read_piece, state_folder, write_piece
from lm_eval.results.provenance import code_digest
from lm_eval.scheduling import piece_sizes
from lm_eval.scheduling.passes import Passes, sweep_state
from lm_eval.scheduling.piece_sizes import PieceSizes
from lm_eval.scheduling.queue import WorkQueue
from lm_eval.scheduling.units import Outcome, PieceClaim, PieceDone, UnitReport, WorkUnit
from tests.support.drivers import here, killed, leases_of, set_age, write_driver
from tests.support.long_passes import long_pass

NUMBER = 240


@pytest.fixture
def short_pieces(monkeypatch):
    monkeypatch.setattr(piece_sizes, "SHORTEST_S", 0.05)
    monkeypatch.setattr(piece_sizes, "LONGEST_S", 0.2)


def files_of(folder: Path) -> list[str]:
    """Everything in a results folder but results and the files of drivers."""
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".json"]


def pieces_of(folder: Path) -> list[Path]:
    return sorted((state_folder(folder) / "pieces").rglob("*.json"))


def expected(run) -> float:
    """The accuracy of the made-up scores."""
    hits = 0
    for place, document in enumerate(run.documents()):
        scores = [score_of(run.config, place, choice) for choice in range(4)]
        hits += scores.index(max(scores)) in document.example.gold
    return hits / len(run.documents())


def record_of(folder: Path, run) -> dict:
    stored = ResultsFolder(folder).find(run)
    assert stored is not None
    assert stored.metrics["acc"] == expected(run)
    return stored.content["run"][run.config.task]


class Stopped(KeyboardInterrupt):
    """What ends a grid in the middle."""


def stop_after(number: int, monkeypatch) -> None:
    """Let the driver be interrupted once it has kept so many pieces."""
    count, keep = itertools.count(1), Passes.keep

    def stop(self, piece):
        yield from keep(self, piece)
        if next(count) == number:
            raise Stopped

    monkeypatch.setattr("lm_eval.scheduling.passes.Passes.keep", stop)


def test_a_pass_is_shared_by_all_workers_and_leaves_its_results_alone(tmp_path, short_pieces):
    runs = long_pass(tmp_path, NUMBER)
    executor = SimulatedExecutor(num_workers=3, document_s=0.003)
    summary, _ = carry_out(runs, tmp_path / "results", executor, num_blocks=24)
    assert (summary.progress.finished, summary.progress.failed) == (2, 0)
    assert (summary.progress.documents, summary.progress.documents_done) == (2 * NUMBER, 2 * NUMBER)
    for run in runs:
        record = record_of(tmp_path / "results", run)
        assert (record["num_documents"], record["num_documents_resumed"], record["num_workers"]) == (NUMBER, 0, 3)
        assert record["pass"]["seconds"] == pytest.approx(NUMBER * 0.003)
    spans = sorted(span for _, span in executor.began)
    assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]]  # each document once
    assert files_of(tmp_path / "results") == []
    assert not (state_folder(tmp_path / "results") / "pieces").exists()


def test_a_grid_called_again_goes_on_behind_the_pieces_that_were_done(tmp_path, short_pieces, monkeypatch):
    runs = long_pass(tmp_path, NUMBER)
    first = SimulatedExecutor(num_workers=2, document_s=0.002)
    with monkeypatch.context() as patch:
        stop_after(5, patch)
        with pytest.raises(Stopped):
            carry_out(runs, tmp_path / "results", first, num_blocks=24)
    kept = len(pieces_of(tmp_path / "results"))
    assert kept == 5
    second = SimulatedExecutor(num_workers=2, document_s=0.002)
    summary, _ = carry_out(runs, tmp_path / "results", second, num_blocks=24)
    assert summary.progress.finished == 2
    resumed = NUMBER - sum(end - start for _, (start, end) in second.began)
    assert 0 < resumed < NUMBER
    assert record_of(tmp_path / "results", runs[0])["num_documents_resumed"] == resumed
    assert pieces_of(tmp_path / "results") == []


def test_a_list_extended_later_uses_what_was_done_of_the_others(tmp_path, short_pieces, monkeypatch):
    longer = long_pass(tmp_path, NUMBER, WORD_AGG_SCHEME=["mean", "w1mean", "last"], SIMILARITY_FUNC=["cosine_sim"])
    with monkeypatch.context() as patch:
        stop_after(4, patch)
        with pytest.raises(Stopped):
            carry_out(
                longer[:2], tmp_path / "results", SimulatedExecutor(num_workers=1, document_s=0.001), num_blocks=24
            )
    executor = SimulatedExecutor(num_workers=1, document_s=0.001)
    summary, _ = carry_out(longer, tmp_path / "results", executor, num_blocks=24)
    assert summary.progress.finished == 3
    resumed = [record_of(tmp_path / "results", run)["num_documents_resumed"] for run in longer]
    assert resumed[0] == resumed[1] > 0 == resumed[2]
    assert pieces_of(tmp_path / "results") == []


def write_other(folder: Path, run, driver: str, code: str) -> Path:
    """Write a piece of a driver of another code."""
    file = PassFolder.of(folder, run.pass_name).file(code, (0, 10), driver)
    write_piece(file, {run.name: replace(make_part(run, (0, 10), 1.0, "other"), code=code)})
    return file.path


def test_pieces_of_other_code_are_swept_once_their_driver_is_gone(tmp_path, short_pieces):
    runs = long_pass(tmp_path, NUMBER)
    write_driver(tmp_path / "results", "gone", **killed())
    old = write_other(tmp_path / "results", runs[0], "gone", "0" * 16)
    executor = SimulatedExecutor(num_workers=1, document_s=0.0005)
    carry_out(runs, tmp_path / "results", executor, num_blocks=4)
    assert not old.exists()
    assert record_of(tmp_path / "results", runs[0])["num_documents_resumed"] == 0


def test_a_pass_that_a_living_driver_of_other_code_works_on_is_left_alone(tmp_path, short_pieces, monkeypatch):
    monkeypatch.setattr("lm_eval.scheduling.queue.HELD_POLL_S", 0.05)
    runs = long_pass(tmp_path, NUMBER)
    other = write_driver(tmp_path / "results", "living", **here(1))
    theirs = write_other(tmp_path / "results", runs[0], "living", "0" * 16)
    executor = SimulatedExecutor(num_workers=1, document_s=0.0005)
    ended = time.monotonic() + 1.5

    class Watching(SimulatedExecutor):
        def run(self, queue, workforce):
            for event in SimulatedExecutor.run(executor, queue, workforce):
                if time.monotonic() < ended:
                    assert not executor.began
                elif other.exists():
                    other.unlink()
                yield event

    carry_out(runs, tmp_path / "results", Watching(num_workers=1, document_s=0.0005), num_blocks=4)
    assert executor.began
    assert record_of(tmp_path / "results", runs[0])["num_documents"] == NUMBER
    assert not theirs.exists() or json.loads(theirs.read_text())


@pytest.mark.parametrize(("other", "waits"), [("~", False), ("!", True)])
def test_of_two_drivers_of_different_code_that_both_began_one_goes_on(
    other, waits, tmp_path, short_pieces, monkeypatch
):
    monkeypatch.setattr("lm_eval.scheduling.queue.HELD_POLL_S", 0.05)
    runs, theirs = long_pass(tmp_path, NUMBER), list[Path]()
    heartbeat = write_driver(tmp_path / "results", other, **here(1))  # before or behind any host's name
    executor = SimulatedExecutor(num_workers=1, document_s=0.0005)

    class Racing(SimulatedExecutor):
        def run(self, queue, workforce):
            began = time.monotonic()
            for event in executor.run(queue, workforce):
                yield event
                if isinstance(event, PieceDone) and not theirs:
                    theirs.append(write_other(tmp_path / "results", runs[0], other, "0" * 16))
                if time.monotonic() > began + 1.5:
                    heartbeat.unlink(missing_ok=True)

    carry_out(runs, tmp_path / "results", Racing(num_workers=1, document_s=0.0005), num_blocks=24)
    assert record_of(tmp_path / "results", runs[0])["num_documents"] == NUMBER
    assert heartbeat.exists() is not waits


def test_each_piece_is_read_once_for_all_runs_that_are_put_together(tmp_path, short_pieces, monkeypatch):
    read = list[Path]()

    def count(file, names):
        read.append(file.path)
        return read_piece(file, names)

    monkeypatch.setattr("lm_eval.scheduling.known_pass.read_piece", count)
    executor = SimulatedExecutor(num_workers=2, document_s=0.001)
    summary, _ = carry_out(long_pass(tmp_path, NUMBER), tmp_path / "results", executor, num_blocks=24)
    assert summary.progress.finished == 2
    assert len(read) == len(set(read)) == len(executor.began)


def test_the_rest_of_a_pass_begins_with_the_gpus_that_a_piece_needs(tmp_path):
    runs = long_pass(tmp_path, NUMBER)
    queue = WorkQueue(units=[unit_of(runs, 3)], larger_share=lambda unit: 2.0)
    (key,) = queue.by_urgency({})
    first = queue.take(key)
    assert first is not None
    short = Failure(message="no memory", kind="memory")
    queue.report(first, UnitReport(outcomes=[Outcome(config=run.config, failure=short) for run in first.runs]))
    waiting = queue.waiting(key)
    assert [unit.share for unit in waiting] == [2.0, 2.0]
    assert sum(unit.num_left for unit in waiting) == NUMBER


def unit_of(runs, num_blocks: int) -> WorkUnit:
    return WorkUnit(runs=tuple(runs), blocks=even_blocks(NUMBER, num_blocks), num_documents=NUMBER)


def test_a_first_piece_of_unknown_speed_is_a_block_and_later_ones_last_minutes(tmp_path):
    runs, sizes = long_pass(tmp_path, NUMBER), PieceSizes(num_workers=2)
    unit = unit_of(runs, 24)
    assert sizes.choose(unit) == 1
    sizes.note(replace(unit, blocks=unit.blocks[:1]), 20.0)  # 10 documents
    assert sizes.choose(unit) == 6  # 480 s are left for two workers: a quarter of it each
    sizes.note(replace(unit, blocks=unit.blocks[:1]), 1.0)
    assert sizes.choose(unit) == 24
    sizes.note(replace(unit, blocks=unit.blocks[:1]), 1000.0)
    assert sizes.choose(unit) == 1
    assert PieceSizes(past=lambda unit: 6.0).choose(unit) == 5  # five minutes at most


def test_what_is_left_of_a_pass_is_taken_before_the_next_pass(tmp_path):
    runs = long_pass(tmp_path, NUMBER)
    queue = WorkQueue(units=[unit_of(runs[:1], 3), unit_of(runs[1:], 3)])
    (key,) = queue.by_urgency({})
    taken = [queue.take(key) for _ in range(6)]
    assert [(unit.runs[0], unit.blocks[0][0]) for unit in taken] == [
        (run, start) for run in runs for start in (0, 80, 160)
    ]
    assert queue.take(key) is None
    assert not queue


def test_blocks_that_another_driver_holds_are_asked_for_again(tmp_path, monkeypatch):
    monkeypatch.setattr("lm_eval.scheduling.queue.HELD_POLL_S", 0.0)
    answers = iter([True, False])

    def claim(unit, number):
        return PieceClaim(held=unit.blocks) if next(answers) else PieceClaim(runs=unit.runs, blocks=unit.blocks)

    queue = WorkQueue(units=[unit_of(long_pass(tmp_path, NUMBER), 2)], claim_piece=claim)
    (key,) = queue.by_urgency({})
    assert queue.take(key) is None
    assert queue
    queue.look_again()
    taken = queue.take(key)
    assert taken is not None
    assert len(taken.blocks) == 2
    assert not queue


def test_a_damaged_piece_is_computed_again(tmp_path, short_pieces):
    runs = long_pass(tmp_path, NUMBER)
    file = PassFolder.of(tmp_path / "results", runs[0].pass_name).file(code_digest(), (0, 100), "gone")
    write_piece(file, {runs[0].name: make_part(runs[0], (0, 100), 1.0, "gone")})
    file.path.write_bytes(b"\0" * 100)
    carry_out(runs, tmp_path / "results", SimulatedExecutor(num_workers=1, document_s=0.0005), num_blocks=4)
    assert record_of(tmp_path / "results", runs[0])["num_documents_resumed"] == 0
    assert pieces_of(tmp_path / "results") == []


def test_pieces_that_vanish_are_computed_again(tmp_path, short_pieces):
    runs = long_pass(tmp_path, NUMBER)
    executor = SimulatedExecutor(num_workers=1, document_s=0.0005)

    class Vandal(SimulatedExecutor):
        def run(self, queue, workforce):
            for event in executor.run(queue, workforce):
                if len(executor.began) == 3:
                    shutil.rmtree(state_folder(tmp_path / "results") / "pieces", ignore_errors=True)
                yield event

    summary, _ = carry_out(runs, tmp_path / "results", Vandal(num_workers=1, document_s=0.0005), num_blocks=24)
    assert summary.progress.finished == 2
    assert record_of(tmp_path / "results", runs[0])["num_documents"] == NUMBER
    assert pieces_of(tmp_path / "results") == []


def test_pieces_that_vanish_at_last_are_computed_again_in_the_same_call(tmp_path, short_pieces, monkeypatch):
    runs, results = long_pass(tmp_path, NUMBER), tmp_path / "results"
    other, executor = leases_of(results, "other"), SimulatedExecutor(num_workers=1, document_s=0.0005)

    class Late(SimulatedExecutor):
        def run(self, queue, workforce):
            for event in executor.run(queue, workforce):
                if sum(end - start for _, (start, end) in executor.began) == NUMBER and not sleeps:
                    assert all(other.claim(run.name) for run in runs)  # it begins to put them together …
                yield event

    def vanish(seconds: float) -> None:
        sleeps.append(seconds)
        shutil.rmtree(state_folder(results) / "pieces", ignore_errors=True)
        other.release_all()  # … and is gone before it has

    sleeps: list[float] = []
    monkeypatch.setattr("lm_eval.scheduling.driver.time", SimpleNamespace(sleep=vanish, time=time.time))
    summary, _ = carry_out(runs, results, Late(num_workers=1, document_s=0.0005), num_blocks=4)
    assert (summary.progress.finished, len(sleeps)) == (2, 1)
    assert record_of(results, runs[0])["num_documents"] == NUMBER


def test_pieces_of_runs_that_have_results_are_swept_where_nothing_is_to_run(tmp_path, short_pieces):
    runs = long_pass(tmp_path, NUMBER)
    carry_out(runs, tmp_path / "results", SimulatedExecutor(num_workers=1, document_s=0.0005), num_blocks=4)
    for run in runs:
        file = PassFolder.of(tmp_path / "results", run.pass_name).file(code_digest(), (0, 10), "gone")
        write_piece(file, {run.name: make_part(run, (0, 10), 1.0, "gone")})
    sweep_state(ResultsFolder(tmp_path / "results"))
    assert not (state_folder(tmp_path / "results") / "pieces").exists()


def test_what_cannot_be_written_is_put_together_from_memory_and_written_once(tmp_path, short_pieces, monkeypatch):
    runs, results, left = long_pass(tmp_path, NUMBER), tmp_path / "results", [6]

    def full(file, parts):
        if left[0]:
            raise OSError(28, "No space left on device")
        write_piece(file, parts)

    write = ResultsFolder.write

    def full_folder(self, *arguments):
        if left[0]:
            left[0] -= 1
            raise OSError(28, "No space left on device")
        return write(self, *arguments)

    monkeypatch.setattr("lm_eval.scheduling.passes.write_piece", full)
    monkeypatch.setattr("lm_eval.scheduling.result_writer.RETRY_S", 0.05)
    monkeypatch.setattr(ResultsFolder, "write", full_folder)
    summary, _ = carry_out(runs, results, SimulatedExecutor(num_workers=2, document_s=0.0005), num_blocks=6)
    assert (summary.progress.finished, summary.unwritten) == (2, [])
    assert [record_of(results, run)["num_documents"] for run in runs] == [NUMBER, NUMBER]
    assert len(list(results.glob("*.json"))) == 2
    assert pieces_of(results) == []


def test_what_workers_of_other_code_compute_is_not_kept_and_fails_a_run_once(tmp_path, short_pieces, monkeypatch):
    runs = long_pass(tmp_path, NUMBER)
    monkeypatch.setattr("benchmarks.simulated.code_digest", lambda: "0" * 16)
    executor = SimulatedExecutor(num_workers=3, document_s=0.001)
    summary, _ = carry_out(runs, tmp_path / "results", executor, num_blocks=24)
    assert (summary.progress.finished, summary.progress.failed, len(summary.failures)) == (0, 2, 2)
    assert "call again" in summary.failures[0].failure.message
    assert len(executor.began) == 3  # nothing more was handed out
    assert pieces_of(tmp_path / "results") == []


def test_results_that_are_asked_for_again_are_computed_anew(tmp_path, short_pieces):
    runs = long_pass(tmp_path, NUMBER)
    carry_out(runs, tmp_path / "results", SimulatedExecutor(num_workers=1, document_s=0.0005), num_blocks=4)
    old = PassFolder.of(tmp_path / "results", runs[0].pass_name).file(code_digest(), (0, 60), "gone")
    write_piece(old, {run.name: make_part(run, (0, 60), 1.0, "gone") for run in runs})
    set_age(old.path, 60)
    executor = SimulatedExecutor(num_workers=1, document_s=0.0005)
    summary, _ = carry_out(runs, tmp_path / "results", executor, num_blocks=4, overwrite=True)
    assert summary.progress.finished == 2
    assert sum(end - start for _, (start, end) in executor.began) == NUMBER
    assert record_of(tmp_path / "results", runs[0])["num_documents_resumed"] == 0
    assert not (state_folder(tmp_path / "results") / "pieces").exists()
