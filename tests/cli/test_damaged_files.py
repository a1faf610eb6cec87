"""One damaged file of a results folder concerns itself alone, whatever reads the folder."""

import copy
import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lm_eval import table
from lm_eval.results.folder import ResultsFolder
from tests.support.damage import VALUES, DamagedFolder, places, run_command, with_value

OFTEN = (*("status", "table", "table as CSV") * 5, "compare", "plan")
"""The commands, the quickest most often; a report takes a second."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> DamagedFolder:
    return DamagedFolder(tmp_path_factory.mktemp("damaged"))


@pytest.mark.slow
@settings(max_examples=2000, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_file_ends_no_command_and_hides_no_other_result(folder, data):
    path, text = data.draw(folder.damages)
    name = data.draw(st.sampled_from(OFTEN))
    with folder.damaged(path, text):
        status, printed = run_command(folder.commands()[name])
        held = ResultsFolder(folder.path) if path in folder.results else None
    assert status in (0, 2)
    assert status == 0 or (name == "compare" and printed.startswith("error: "))
    if held is not None:
        assert {stored.path for stored in held} | {path} >= folder.results
        assert path not in held.unreadable or name not in ("status", "table", "plan") or path.name in printed


@pytest.mark.slow
def test_a_report_is_written_on_what_is_left_of_many_damaged_results(folder):
    rnd = random.Random(0)
    good = [json.loads(folder.files[path]) for path in sorted(folder.results) if path.name != "older.json"]
    names = [folder.path / f"damaged-{number}.json" for number in range(150)]
    for number, path in enumerate(names):
        content = copy.deepcopy(rnd.choice(good))
        content["config"]["limit"] = str(number + 1)  # a configuration of its own
        path.write_text(json.dumps(with_value(content, rnd.choice(places(content)), rnd.choice(VALUES))))
    try:
        status, printed = run_command(folder.commands()["report"])
    finally:
        for path in names:
            path.unlink()
    assert status == 0
    assert "not a result: damaged-" in printed


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("results", "hellaswag_d", "acc"), 1e308),
        (("results", "hellaswag_d", "acc_stderr"), 1e308),
        (("config", "model_args"), f"pretrained={'9' * 5000},WORD_AGG_SCHEME=mean,SIMILARITY_FUNC=cosine_sim"),
        (("config", "model_args"), f"pretrained=m,WORD_AGG_SCHEME=mean,ENCODING_LAYER={'9' * 5000}"),
    ],
)
def test_numbers_larger_than_any_that_is_computed_with_end_no_command(folder, place, value):
    path = folder.path / "1.json"
    with folder.damaged(path, json.dumps(with_value(json.loads(folder.files[path]), place, value)).encode()):
        assert {run_command(folder.commands()[name])[0] for name in ("status", "table", "report")} == {0}


def test_what_a_terminal_cannot_write_stands_there_escaped(folder, tmp_path):
    content = json.loads(folder.files[min(folder.results)])
    path = tmp_path / "a.json"
    path.write_text(json.dumps(with_value(content, ("config", "model_args"), "pretrained=\udcff,WORD_AGG_SCHEME=mean")))
    content["config"]["model_args"] = content["config"]["model_args"].replace("model", "m\udc80")
    path.write_text(json.dumps(content))
    assert run_command(lambda: table.main([str(tmp_path)]))[1].count("\\udc80") == 1


def test_status_and_table_name_a_damaged_file_and_show_the_rest(folder):
    path = min(folder.results)
    with folder.damaged(path, b'{"results": '):
        for name in ("status", "table"):
            status, printed = run_command(folder.commands()[name])
            assert status == 0
            assert [line for line in printed.splitlines() if line.startswith("not a result: ")] == [
                line for line in printed.splitlines() if path.name in line
            ]


def test_a_table_of_nothing_but_damaged_files_is_a_wrong_call(tmp_path):
    Path(tmp_path / "a.json").write_text("[]")
    status, printed = run_command(lambda: table.main([str(tmp_path)]))
    assert (status, "not a result: " in printed, "error: no result in" in printed) == (2, True, True)
