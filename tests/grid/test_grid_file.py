"""Grids as YAML files."""

import re
import runpy

import pytest

from lm_eval.errors import ConfigurationError
from lm_eval.grid.grid_file import read_grids, write_grids
from tests.support.grids import grid
from tests.support.paths import TOP

SCRIPTS = sorted((TOP / "scripts").glob("run_parallel_*.py"))
SETTINGS = {
    "WORD_AGG_SCHEME": ["mean", "-relu|zNorm+|chunk4", "concat"],
    "NORM": [None, "L2"],
    "ENCODING_LAYER": [0, -1, "middle", "E", "all", "every 2", "3", None],
    "ADD_POS": [True, False, None],
}
WHOLE = "model: dist_gen\ntask: t\nmodels: [x]\narch_type: null\nencoding_scheme: [cross_encoding]\n"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_grid_of_a_script_is_read_as_it_was_written(script, tmp_path):
    made = runpy.run_path(str(script))["run"]()
    write_grids(str(tmp_path / "grid.yaml"), [made])
    assert read_grids(str(tmp_path / "grid.yaml")) == [made]


def test_every_kind_of_value_comes_back_as_itself(tmp_path):
    made = grid(
        models=["ünï/x: y", "./a #b", "0x10", "no"],
        num_fewshot=range(3),
        settings=SETTINGS,
        arch_type="encoder-decoder",
    )
    path = tmp_path / "grid.yaml"
    write_grids(str(path), [made])
    (read,) = read_grids(str(path))
    assert read == made
    assert repr(read) == repr(made)
    write_grids(str(path), [made, read, grid()])
    assert read_grids(str(path)) == [made, made, grid()]


def test_what_a_file_leaves_out_has_the_defaults_of_a_script(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(WHOLE)
    assert read_grids(str(path)) == [grid(task="t", encoding_scheme=["cross_encoding"], settings={})]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it must hold KEY: value lines, got None"),
        ("model: [", "not valid YAML"),
        ("- x\n", "it must hold KEY: value lines, got ['x']"),
        (
            WHOLE + "num_fewshots: [1]\n",
            "unknown key num_fewshots (did you mean 'num_fewshot'?); a grid has model, task",
        ),
        (WHOLE + "limit: 3\n", "flags such as --limit are given with the call"),
        ("model: dist_gen\n", "task, models, arch_type, encoding_scheme is missing"),
        (WHOLE + "settings: [x]\n", "settings must hold KEY: list lines, got ['x']"),
        (WHOLE + "settings: {NORM: L2}\n", "grid: NORM must be a list with at least one value, got 'L2'"),
        (WHOLE + "settings: {NORM: [[L2]]}\n", "NORM holds ['L2'], which is not text, a whole number or null"),
        (WHOLE + "settings: {Norm: [L2]}\n", "grid: unknown setting Norm (did you mean 'NORM'?)"),
        (WHOLE + "num_fewshot: ['1']\n", "num_fewshot holds '1', which is not a whole number"),
        (WHOLE.replace("dist_gen", "3"), "model must be text, got 3"),
        (WHOLE + "grids: []\n", "grids must be a list of grids, with nothing beside it"),
        ("grids: [x]\n", "a grid must hold KEY: value lines, got 'x'"),
        (WHOLE + "model: dist_sim\n", "key 'model' is given twice, with different values"),
    ],
)
def test_a_file_that_holds_no_grid_is_refused(text, message, tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=re.escape(message)) as told:
        read_grids(str(path))
    assert str(path) in str(told.value)


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"--grid .*none\.yaml: cannot be read \(No such file"):
        read_grids(str(tmp_path / "none.yaml"))
    for path in (tmp_path, tmp_path / "none" / "grid.yaml"):
        with pytest.raises(ConfigurationError, match=r"--write_grid .*: cannot be written \("):
            write_grids(str(path), [grid()])
    assert list(tmp_path.iterdir()) == []
