"""`scripts/compare.py`: two runs over the same documents, and where they part."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lm_eval.cli.compare import ComparedRun, describe_comparison, draw_interval
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from tests.support.paths import TOP
from tests.support.results import put, result_of

CONFIG = RunConfig(model="dist_gen", pretrained="some/model", task="hellaswag_dg", encoding_scheme="cross_encoding")


def write(folder: Path, name: str, right: list[bool], *, texts: bool = True) -> Path:
    """A result whose documents are right or wrong, of two choices each."""
    rows = [
        {
            "doc_id": number,
            "gold": [1],
            "scores": [-2.0, -1.0] if is_right else [-1.0, -2.0],
            **({"context": [["a shot"], [f"question {number}"]], "choices": [" no", " yes"]} if texts else {}),
        }
        for number, is_right in enumerate(right)
    ]
    return put(folder, name, {**result_of(CONFIG), "samples": {CONFIG.task: rows}})


def compared(a: Path, b: Path, *, num_documents: int = 3) -> list[str]:
    runs = [ComparedRun.read(path, None) for path in (a, b)]
    return list(describe_comparison(*runs, num_documents=num_documents, width=79))


@pytest.fixture
def two(tmp_path) -> tuple[Path, Path]:
    """Runs of ten documents: 3 both right, 2 only A, 4 only B, 1 neither."""
    a = write(tmp_path, "a.json", [True] * 5 + [False] * 5)
    b = write(tmp_path, "b.json", [True] * 3 + [False] * 2 + [True] * 4 + [False])
    return a, b


def test_agreement_difference_and_test_are_told(two):
    lines = compared(*two)
    cells = [line.split()[-2:] for line in lines if line.strip().startswith(("A right", "A wrong"))]
    assert cells == [["3", "2"], ["4", "1"]]
    assert "accuracy    A 0.500, B 0.700" in lines
    (difference,) = [line for line in lines if line.startswith("difference")]
    assert difference.startswith("difference  B - A = +0.200, 95% interval -0.300 to +0.600")
    assert "McNemar     p = 0.688 (exact, 6 documents): no difference can be told" in lines  # 2 of 6 heads
    assert [line for line in lines if len(line) > 79 and not line.startswith("   /")] == []  # but for long paths


def test_the_documents_on_which_they_part_are_listed_and_can_be_read(two):
    lines = compared(*two, num_documents=2)
    assert "only A right  3 4" in lines
    assert "only B right  5 6 7 8" in lines
    start = lines.index("document 3: only A is right")
    assert lines[start + 1] == '  "question 3"'
    assert lines[start + 3 : start + 5] == ['    -2.000   -1.000<   " no"', '    -1.000<  -2.000  * " yes"']
    assert lines[-1] == "4 documents more on which they part; --documents N shows as many"


def test_without_texts_it_is_said_how_to_have_them(tmp_path):
    a = write(tmp_path, "a.json", [True, False], texts=False)
    lines = compared(a, write(tmp_path, "b.json", [False, False], texts=False))
    assert lines[-1] == "their texts aren't stored: run both with --log_samples --log_texts to read them here"


def test_runs_that_agree_have_nothing_to_read(tmp_path):
    lines = compared(write(tmp_path, "a.json", [True, False]), write(tmp_path, "b.json", [True, False]))
    assert lines[-2:] == ["only A right  none", "only B right  none"]


def test_a_file_that_holds_no_samples_or_is_none_is_refused(tmp_path):
    bare = put(tmp_path, "bare.json", result_of(CONFIG))
    with pytest.raises(ConfigurationError, match="run it again with --log_samples"):
        ComparedRun.read(bare, None)
    with pytest.raises(ConfigurationError, match="no such file; give a result file of a run with --log_samples"):
        ComparedRun.read(tmp_path / "nowhere.json", None)
    with pytest.raises(ConfigurationError, match="not a result file"):
        ComparedRun.read(put(tmp_path, "odd.json", "{}"), None)


@pytest.mark.parametrize(
    ("interval", "ends"), [((-0.03, 0.0, 0.04), "0.05"), ((0.1, 0.15, 0.2), "0.2"), ((-0.6, -0.5, -0.4), "1")]
)
def test_an_interval_is_drawn_on_a_line_around_nothing(interval, ends):
    drawn = draw_interval(*interval)
    left, line, right = drawn.split(" ")
    assert (left, right) == (f"-{ends}", f"+{ends}")
    middle = line.index("●")
    assert line.index("╞") < middle < line.index("╡")
    assert (middle > len(line) // 2) == (interval[1] > 0) or interval[1] == 0


@pytest.mark.slow
def test_the_script_prints_it_and_refuses_with_status_2(two):
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(TOP / "scripts" / "compare.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    shown = call(*map(str, two), "--documents", "1")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "10 documents that both have scored:" in shown.stdout
    other = two[0].parent / "other.json"
    content = json.loads(two[0].read_text())
    other.write_text(json.dumps({**content, "samples": {}}))
    refused = call(str(two[0]), str(other))
    assert refused.returncode == 2
    (task,) = content["results"]
    assert f"holds no scores of single documents for task {task}; run it again with --log_samples" in refused.stderr


def test_the_documents_are_drawn_by_their_margins_with_what_is_right_counted(two):
    from lm_eval.analysis import figures  # noqa: PLC0415  (plotly takes a second)

    a, b = (ComparedRun.read(path, None).samples for path in two)
    figure = figures.agreement(a, b)
    drawn = {trace.name: list(zip(trace.x, trace.y, strict=True)) for trace in figure.data[:4]}
    assert drawn == {
        "both right": [(1.0, 1.0)] * 3,
        "only A right": [(1.0, -1.0)] * 2,
        "only B right": [(-1.0, 1.0)] * 4,
        "both wrong": [(-1.0, -1.0)],
    }
    said = {note.text for note in figure.layout.annotations}
    assert said == {"<b>3</b> both right", "<b>2</b> only A right", "<b>4</b> only B right", "<b>1</b> both wrong"}
    interval = figure.data[4]
    ends = (interval.x[0] - interval.error_x.arrayminus[0], interval.x[0] + interval.error_x.array[0])
    assert ends == pytest.approx((-0.3, 0.6))


def test_runs_whose_documents_have_right_choices_alone_are_not_drawn(two, tmp_path):
    from lm_eval.analysis import figures  # noqa: PLC0415

    content = json.loads(two[0].read_text())
    for row in content["samples"][CONFIG.task]:
        row["gold"] = [0, 1]
    path = put(tmp_path, "all_right.json", content)
    samples = ComparedRun.read(path, None).samples
    with pytest.raises(ConfigurationError, match="no margins to draw, no document has a right and a wrong choice"):
        figures.agreement(samples, samples)
