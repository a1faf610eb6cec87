"""The lists and files of a call in place of a script's, without running anything."""

import sys

import pytest

from lm_eval.grid.grid_file import read_grids
from lm_eval.grid.script import launch
from tests.support.grids import small_grid
from tests.support.worlds import write_model_folder


@pytest.fixture
def call(tmp_path, data_dir, monkeypatch, capsys):
    """Call a script of a grid on a made-up model; return its status and what it printed."""
    monkeypatch.setattr("signal.signal", lambda *_: None)
    model = write_model_folder(tmp_path / "model")

    def run():
        """Compare."""
        return small_grid(model)

    def more():
        """Also others."""
        return [small_grid(model, num_fewshot=[3])]

    def call_it(*flags: str) -> tuple[int, str, str]:
        common = ("--data_dir", str(data_dir), "--limit", "4")
        monkeypatch.setattr(sys, "argv", ["script.py", *common, *flags])
        with pytest.raises(SystemExit) as ended:
            launch(run, results_dir=str(tmp_path / "results"), switches=[more])
        shown = capsys.readouterr()
        return int(str(ended.value.code)), shown.out, shown.err

    return call_it


def test_a_list_of_the_call_replaces_the_script_s_and_leaves_those_of_switches(call):
    status, shown, _ = call("--num_fewshot", "2", "--NORM", "None,L2", "--more", "--dry_run", "--list")
    assert status == 0
    assert "6 to run, 0 done" in shown
    assert (shown.count("2 shots"), shown.count("3 shots"), shown.count("1 shot,")) == (4, 2, 0)
    assert shown.count("NORM=L2") == 2


def test_a_grid_that_was_written_with_the_lists_of_a_call_is_run_by_any_script(call, tmp_path):
    file = str(tmp_path / "grid.yaml")
    status, shown, _ = call("--num_fewshot", "2", "--ENCODING_LAYER", "all", "--write_grid", file)
    assert (status, shown) == (0, f"written to {file}, nothing was run; --grid {file} runs it\n")
    assert not (tmp_path / "results").exists()
    (grid,) = read_grids(file)
    assert (grid.num_fewshot, grid.settings["ENCODING_LAYER"]) == ([2], ["all"])
    assert "6 to run" in call("--grid", file, "--dry_run")[1]
    assert "3 to run" in call("--grid", file, "--ENCODING_LAYER", "0", "--num_fewshot", "0,1", "--dry_run")[1]


def test_the_lists_of_a_file_with_several_grids_are_changed_in_the_file(call, tmp_path):
    file = str(tmp_path / "grids.yaml")
    assert call("--more", "--write_grid", file)[0] == 0
    assert len(read_grids(file)) == 2
    assert "5 to run" in call("--grid", file, "--dry_run")[1]
    status, _, told = call("--grid", file, "--NORM", "L2")
    assert (status, told) == (2, f"error: --NORM: {file} holds 2 grids; change their lists there\n")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--NORM", "l2"], "--NORM: unknown value 'l2' (did you mean 'L2'?)"),
        (["--ENCODING_LAYER", "9"], "ENCODING_LAYER=9: out of range"),
        (["--WORD_AGG_SCHEME", "chunk4"], "WORD_AGG_SCHEME=chunk4: several vectors a segment are for dist_gen only"),
        (["--WORD_AGG_SCHEME", "chunk4", "--write_grid", "x.yaml"], "WORD_AGG_SCHEME=chunk4: several vectors"),
        (["--grid", "none.yaml"], "--grid none.yaml: cannot be read"),
    ],
)
def test_a_wrong_list_ends_the_call_with_status_2_and_one_message(call, flags, message, tmp_path):
    status, shown, told = call(*flags)
    assert (status, shown) == (2, "")
    assert told.startswith("error: ")
    assert message in told
    assert told.count("\n") == 1
    assert not (tmp_path / "results").exists()
