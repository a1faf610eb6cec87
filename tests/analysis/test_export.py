"""Files of figures where paths and names are unusual."""

import gc
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import plotly.io
import pytest

from lm_eval.analysis import figures
from lm_eval.analysis.figures.kaleido import draw
from lm_eval.analysis.figures.layout import lines
from lm_eval.analysis.figures.selection import plain, shortened
from lm_eval.analysis.scores import add_scores
from tests.support.paths import TOP
from tests.support.results import table_of

ODD = ("an<b>bold</b>", "a<br>line", "a <a href='http://x.y'>link</a>")


def odd_table() -> pd.DataFrame:
    rows = []
    for number, name in enumerate(ODD):
        of_model = {"pretrained": f"org/{name}", "model": name, "family": name, "size_b": 0.1 + number, "bos": "False",
                    "task": "<i>t_dg", "dataset": "<i>t", "num_documents": 100.0, "loading": "peft=<br>"}  # fmt: skip
        rows.append({**of_model, "encoding_scheme": "cross_encoding", "WORD_AGG_SCHEME": None, "acc": 0.6})
        of_run = {**of_model, "ENCODING_LAYER": "0", "acc": 0.5}
        rows += [{**of_run, "encoding_scheme": scheme} for scheme in ("concat_all_examples", "concat_each_example")]
    return add_scores(table_of(*rows)).table


def test_no_name_becomes_an_order_to_plotly_in_any_figure():
    drawn = figures.draw_all(odd_table())
    assert len(drawn) >= 3
    for title, figure in drawn.items():
        text = figure.to_json().replace("\\u003c", "<").replace("\\u003e", ">")
        assert not [order for order in ("<b>bold", "a<br>line", "<a href", "<i>", "peft=<br>") if order in text], title
        assert "&lt;" in text.replace("\\u0026", "&"), title


def test_a_name_is_cut_by_the_letters_that_are_shown():
    assert shortened(plain("<b>&</b> and more"), 5) == plain("<b>&…")
    assert shortened(plain("<b>&</b>"), 8) == plain("<b>&</b>")


def test_a_subtitle_of_wide_capitals_is_broken_before_it_leaves_the_figure():
    ways = ("WORD_AGG_SCHEME=mean", "a" * 100)
    said = lines(f"A: hellaswag_dg, demo-gpt, sentence_level_segmentation, 0 shots, {ways[0]}", ways[1], "")
    assert said.split("<br>") == [
        "A: hellaswag_dg, demo-gpt, sentence_level_segmentation, 0 shots,", ways[0], "a" * 85, "a" * 15
    ]  # fmt: skip
    assert lines("documents " * 8) == ("documents " * 8).strip()  # 79 letters of 8 pixels


@pytest.mark.slow
def test_a_path_with_a_blank_makes_pictures(tmp_path):
    place = tmp_path / "my clone"
    import kaleido  # noqa: PLC0415  (a copy of it is what is tried)

    original = Path(kaleido.__file__).parent
    shutil.copytree(original, place / "kaleido", ignore=shutil.ignore_patterns("executable", "__pycache__"))
    (place / "kaleido" / "executable").mkdir()
    for part in (original / "executable").iterdir():
        if part.name == "kaleido":
            shutil.copy(part, place / "kaleido" / "executable" / "kaleido")  # it works in the folder where it lies
        else:
            (place / "kaleido" / "executable" / part.name).symlink_to(part)
    code = (
        "import kaleido, sys; from pathlib import Path; import plotly.graph_objects as go\n"
        "from lm_eval.analysis.figures import save\n"
        "assert ' ' in kaleido.__file__\n"
        "save(go.Figure(go.Scatter(x=[1], y=[1])), Path(sys.argv[1]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(place), str(TOP)])}
    command = [sys.executable, "-c", code, str(place / "figure")]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert (place / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert (place / "figure.pdf").read_bytes().startswith(b"%PDF")


@pytest.fixture
def hanging_kaleido(tmp_path, monkeypatch):
    """A kaleido that hangs at its first starts: the file that says how many of them are left."""
    scope = plotly.io.kaleido.scope
    left, script, real = tmp_path / "left", tmp_path / "start.sh", scope.executable_path()
    script.write_text(
        f'#!/bin/sh\nread left <"{left}"\nif [ "$left" -gt 0 ]; then echo $((left - 1)) >"{left}"; sleep 600; fi\n'
        f'exec "{real}" "$@"\n'
    )
    script.chmod(0o755)
    scope._shutdown_kaleido()
    monkeypatch.setattr(scope, "executable_path", lambda: str(script))
    yield left
    scope._shutdown_kaleido()
    gc.collect()  # kaleido leaves its pipes to it


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_kaleido_that_hangs_is_started_anew(hanging_kaleido, monkeypatch):
    hanging_kaleido.write_text("1\n")
    monkeypatch.setattr("lm_eval.analysis.figures.kaleido._PATIENCE_S", (3.0, 120.0))
    assert draw(go.Figure(), "png").startswith(b"\x89PNG")
    assert hanging_kaleido.read_text() == "0\n"
    assert not any("mathjax" in argument for argument in plotly.io.kaleido.scope._build_proc_args())


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_kaleido_that_always_hangs_is_told_and_left(hanging_kaleido, monkeypatch, tmp_path):
    hanging_kaleido.write_text("9\n")
    monkeypatch.setattr("lm_eval.analysis.figures.kaleido._PATIENCE_S", (3.0, 2.0))
    monkeypatch.setattr("lm_eval.analysis.figures.kaleido._hangs", threading.Event())
    for _ in range(2):  # the second time at once
        with pytest.raises(RuntimeError, match=r"kaleido gave no answer, waited for 3, 2 s; .html pages need none"):
            figures.save(go.Figure(), tmp_path / "charts" / "one")
        assert hanging_kaleido.read_text() == "7\n"
    assert {path.name for path in (tmp_path / "charts").iterdir()} == {"one.html", "plotly.min.js"}
