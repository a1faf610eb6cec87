"""How far a grid is: the share of its passes, the time that is left, its workers; and how a terminal shows it."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from lm_eval.config.run_config import RunConfig, describe
from lm_eval.config.settings import VectorSettings
from lm_eval.grid.display import GridDisplay
from lm_eval.grid.progress import GridProgress
from lm_eval.results.folder import ResultsFolder
from lm_eval.scheduling.heartbeat import Progress
from lm_eval.scheduling.units import WorkUnit, make_units
from tests.support.results import put, result_of
from tests.support.runs import fake_runs

SCHEMES = ("concat_all_examples", "sentence_level_segmentation")


def config_of(scheme: str, aggregation: str = "mean") -> RunConfig:
    return RunConfig(
        model="dist_gen",
        pretrained="some/model",
        task="hellaswag_dg",
        encoding_scheme=scheme,
        num_fewshot=5,
        vectors=VectorSettings.parse(word_agg_scheme=aggregation),
    )


@pytest.fixture
def units() -> list[WorkUnit]:
    """Two passes of two runs each."""
    runs = fake_runs(config_of(scheme, aggregation) for scheme in SCHEMES for aggregation in ("mean", "last"))
    return [WorkUnit(runs=tuple(runs[:2])), WorkUnit(runs=tuple(runs[2:]))]


def running(unit: WorkUnit, since: float) -> dict[str, object]:
    return {"num_runs": len(unit.runs), "first": describe(unit.runs[0].config), "since": since}


def progress_of(*workers: dict[str, object], finished: int = 0, failed: int = 0) -> Progress:
    told = Progress(planned=4, skipped=0, finished=finished, failed=failed)
    told.running.update({f"worker-{number}": worker for number, worker in enumerate(workers, 1)})
    return told


def test_a_pass_that_runs_counts_by_the_time_that_it_should_take(units):
    progress = GridProgress(units, [10.0, 30.0])
    progress.update(progress_of(running(units[0], 100.0)), now=105.0)
    assert progress.share(105.0) == pytest.approx(5 / 40)
    assert progress.left_s(105.0) == pytest.approx(35.0)
    assert progress.share(1000.0) == pytest.approx(0.95 * 10 / 40)  # never done before it is


def test_the_pace_of_passes_that_have_ended_corrects_the_estimate(units):
    progress = GridProgress(units, [10.0, 30.0])
    progress.update(progress_of(running(units[0], 100.0)), now=100.0)
    progress.update(progress_of(running(units[1], 120.0), finished=2), now=120.0)  # took twice as long
    assert progress.num_ended == 1
    assert progress.left_s(120.0) == pytest.approx(60.0)
    assert progress.share(150.0) == pytest.approx((10 + 15) / 40)


def test_without_past_results_nothing_is_estimated_before_a_pass_has_ended(units):
    progress = GridProgress(units, [None, None])
    progress.update(progress_of(running(units[0], 100.0)), now=100.0)
    assert progress.share(200.0) is None
    assert progress.left_s(200.0) is None
    progress.update(progress_of(running(units[1], 110.0), finished=2), now=110.0)
    assert progress.share(115.0) == pytest.approx(0.75)
    assert progress.left_s(115.0) == pytest.approx(5.0)


def test_nothing_is_left_where_all_runs_have_ended_and_no_time_where_it_takes_longer(units):
    progress = GridProgress(units, [10.0, 10.0])
    progress.update(progress_of(running(units[0], 0.0), running(units[1], 0.0)), now=0.0)
    assert progress.left_s(30.0) is None  # not "0 s", for minutes
    progress.update(progress_of(finished=4), now=31.0)
    assert (progress.share(31.0), progress.left_s(31.0), progress.num_ended) == (1.0, None, 2)


def test_a_pass_that_is_begun_again_has_not_ended(units):
    progress = GridProgress(units, [10.0, 10.0])
    progress.update(progress_of(running(units[0], 0.0)), now=0.0)
    progress.update(progress_of(), now=5.0)
    assert progress.num_ended == 1
    progress.update(progress_of(running(units[0], 6.0)), now=6.0)
    assert progress.num_ended == 0


@pytest.fixture
def long_unit(units) -> WorkUnit:
    """A pass of two runs over twenty documents, in pieces."""
    return replace(units[0], blocks=((0, 10), (10, 20)), num_documents=20)


def test_of_a_pass_in_pieces_documents_count_however_many_workers_are_at_it(long_unit):
    progress = GridProgress([long_unit], [100.0])
    told = replace(progress_of(running(long_unit, 0.0), running(long_unit, 0.0)), documents=40, remaining_s=80.0)
    progress.update(told, now=10.0)
    assert (progress.share(10.0), progress.left_s(10.0)) == (0.0, 80.0)
    progress.update(replace(told, documents_done=10, remaining_s=60.0), now=30.0)
    assert (progress.share(30.0), progress.left_s(30.0)) == (0.25, 60.0)


def test_workers_are_told_with_what_they_compute_longest_first(units):
    progress = GridProgress(units, [None, None])
    progress.update(progress_of(running(units[0], 50.0), running(units[1], 10.0)), now=60.0)
    told = [(one.worker, one.config and one.config.encoding_scheme, one.seconds) for one in progress.running(60.0)]
    assert told == [("worker-2", SCHEMES[1], 50.0), ("worker-1", SCHEMES[0], 10.0)]


class Terminal(io.StringIO):
    """What a terminal is sent."""

    def isatty(self) -> bool:
        return True


def draw(display: GridDisplay) -> list[str]:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(display.render())
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def display_of(units: list[WorkUnit], folder: Path, stream: io.StringIO) -> GridDisplay:
    console = Console(file=stream, width=80, force_terminal=isinstance(stream, Terminal), color_system="standard")
    return GridDisplay(GridProgress(units, [None, None]), ResultsFolder(folder), console)


def test_a_terminal_shows_a_bar_a_line_a_worker_and_fits_it(units, tmp_path):
    display = display_of(units, tmp_path, Terminal())
    display.show(progress_of(running(units[0], 0.0), failed=1), None)
    lines = draw(display)
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("   …")
    assert lines[1] == "1 of 4 runs · 0 of 2 passes · 1 failed"
    assert lines[2].startswith("worker-1  model · concat_all_examples · 5 shots · 2 runs")
    display.show(progress_of(finished=4), None)
    assert draw(display) == [f"100% {'━' * 73}", "4 of 4 runs · 2 of 2 passes"]


def test_documents_are_shown_where_passes_are_in_pieces_and_passes_elsewhere(units, long_unit, tmp_path):
    told = replace(progress_of(finished=1), documents=4000, documents_done=1234)
    for shown, counts in (([long_unit], "1,234 of 4,000 documents"), (units, "0 of 2 passes")):
        display = display_of(shown, tmp_path, Terminal())
        display.show(told, None)
        assert draw(display)[1] == f"1 of 4 runs · {counts}"


def test_the_best_so_far_is_shown_whichever_ended_last(units, tmp_path):
    configs = [run.config for unit in units for run in unit.runs]
    for number, acc in enumerate((0.3, 0.6, 0.4)):
        put(tmp_path, f"{number}.json", result_of(configs[number], acc))
    display = display_of(units, tmp_path, Terminal())
    found = {describe(stored.config): stored for stored in ResultsFolder(tmp_path)}
    display._folder.find = lambda run: found.get(describe(run.config))
    for number, acc in enumerate((0.3, 0.6, 0.4)):
        display.show(progress_of(), f"done ({number + 1}/4): {describe(configs[number])}: acc {acc:.3f} ± 0.100")
    (best,) = [line for line in draw(display) if line.startswith("best so far")]
    assert best.startswith("best so far  0.600 ± 0.100  hellaswag_dg, model, concat_all_examples, 5 shots")


def test_a_terminal_shows_the_last_failure_in_red_as_long_as_the_grid_runs(units, tmp_path, monkeypatch, capsys):
    stream = Terminal()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with display_of(units, tmp_path, stream) as display:
        display.show(progress_of(finished=1), "done (1/4): one: acc 0.5")
        display.show(progress_of(failed=1), f"failed (2/4): other: {'no luck ' * 20}")
        assert draw(display)[-1].startswith("failed (2/4): other: no luck no luck")
    sent = stream.getvalue()
    assert "done (1/4)" not in sent
    assert "\x1b[31mfailed (2/4): other: no luck" in sent


def test_without_a_terminal_every_run_is_a_plain_line(units, tmp_path, capsys):
    stream = io.StringIO()
    with display_of(units, tmp_path, stream) as display:
        display.show(progress_of(finished=1), "done (1/4): one: acc 0.5")
        display.show(progress_of(failed=1), "failed (2/4): other: no luck")
    assert capsys.readouterr().out == "done (1/4): one: acc 0.5\nfailed (2/4): other: no luck\n"
    assert stream.getvalue() == ""


def test_units_of_a_plan_are_followed_by_any_of_their_runs(units):
    (unit, *_) = make_units(units[0].runs)
    progress = GridProgress([unit], [None])
    progress.update(progress_of({"num_runs": 1, "first": describe(unit.runs[1].config), "since": 0.0}), now=0.0)
    assert progress.running(1.0)[0].config == unit.runs[0].config
