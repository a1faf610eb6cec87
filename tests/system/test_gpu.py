"""What is measured on a GPU is rehearsed without one, on a machine that has no more than the lent ones."""

import json
import subprocess
import sys

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import gpu, gpu_parity
from benchmarks.gpu_parity import count_flips
from benchmarks.gpu_profile import covered
from benchmarks.gpu_report import Report, Setup
from benchmarks.gpu_speed import Sizes, least_flops
from benchmarks.gpu_subjects import WORKS, Shape, make_subject
from tests.support.paths import TOP

MISSING = (
    "ray", "datasets", "fire", "plotly", "pydantic", "pydantic_core", "beartype", "pyarrow", "scipy", "statsmodels",
    "sklearn", "matplotlib", "pytest", "typeguard", "gguf", "bitsandbytes",
)  # fmt: skip
WITHOUT = f"""\
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name.split(".")[0] in {MISSING} else find(name, *rest)
)
"""


@pytest.mark.slow
def test_every_section_is_rehearsed_with_a_machines_usual_packages_alone(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    command = [sys.executable, "-m", "benchmarks.gpu", "--device=cpu", "--tiny", f"--out={tmp_path / 'gpu.json'}"]
    environment = {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TOP, env=environment)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert found["pydantic"] == "stand-in"
    assert found["failures"] == []
    assert list(found["sections"]) == list(gpu.SECTIONS)
    rows = {row["row"]: row for rows in found["sections"].values() for row in rows}
    assert all(row["halved"] for name, row in rows.items() if name.endswith("1,000 rows"))
    assert not any("left out" in row for row in rows.values())


@pytest.fixture
def report(tmp_path):
    return Report(tmp_path / "gpu.json", limit_s=60)


def test_what_fails_is_a_row_and_the_next_section_goes_on(report, capsys):
    with report.section("first"):
        report.row("something", {"figure": 1.0})
        raise RuntimeError("the card is on fire")
    with report.section("second"):
        report.row("a check", {"ok": False})
    written = json.loads((report._path).read_text())["sections"]
    assert [row["row"] for row in written["first"]] == ["something", "first", "time"]
    assert "on fire" in written["first"][1]["traceback"]
    assert report.failures == ["first", "a check"]
    assert "RuntimeError: the card is on fire" in capsys.readouterr().out


def test_what_there_is_no_time_for_is_left_out(tmp_path):
    late = Report(tmp_path / "gpu.json", limit_s=0)
    with late.section("parity"):
        assert list(late.in_time(["gpt2"], str, 10)) == []
    gpu.run_section("speed", Setup(device="cpu", tiny=True, folder=tmp_path), late)
    sections = late.content["sections"]
    assert [sections[name][0] for name in ("parity", "speed")] == [
        {"row": name, "left out": "no time"} for name in ("gpt2", "speed")
    ]


def test_a_figure_that_is_no_number_leaves_the_file_json(report):
    def refuse(constant):
        raise AssertionError(f"JSON has no {constant}")

    with report.section("first"):
        report.row("a check", {"difference": float("inf"), "by work": {"one": float("nan")}})
    row, _ = json.loads(report._path.read_text(), parse_constant=refuse)["sections"]["first"]
    assert row == {"row": "a check", "difference": "Infinity", "by work": {"one": "NaN"}}


@pytest.mark.parametrize("broken", ["float32 on cuda", "bfloat16 on cuda", "bfloat16 on cuda and cpu"])
def test_a_family_that_gives_no_numbers_on_the_card_fails(broken, report, tmp_path, monkeypatch):
    def score(model, _runs):
        dtype, device = model
        last = float("nan") if dtype in broken and device in broken else -1.0
        return [[[0.0, last]] for _ in gpu_parity.WORKS]

    monkeypatch.setattr(gpu_parity, "FAMILIES", ("gpt2",))
    monkeypatch.setattr(gpu_parity, "save_tiny", lambda _family, folder: folder)
    monkeypatch.setattr(gpu_parity, "runs_of", lambda *_: [])
    monkeypatch.setattr(gpu_parity, "load_model", lambda _folder, *, dtype, device: (dtype, device))
    monkeypatch.setattr(gpu_parity, "score", score)
    with report.section("parity"):
        gpu_parity.parity(Setup(device="cuda", tiny=False, folder=tmp_path), report)
    assert report.failures == ["gpt2"]
    assert "error" not in report.content["sections"]["parity"][0]


def test_an_unknown_section_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        gpu.main(["--only=card,spede"])
    assert "no section is called spede; they are card, package" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_only_a_rehearsal_is_possible():
    with pytest.raises(SystemExit, match="no GPU is here; --device cpu --tiny"):
        gpu.choose_device(None)


@pytest.mark.parametrize(("asked", "current"), [(None, []), ("cuda", []), ("cuda:1", ["cuda:1"])])
def test_a_gpu_that_is_named_by_its_number_is_the_one_whose_clock_is_read(asked, current, monkeypatch):
    made_current = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", made_current.append)
    assert gpu.choose_device(asked) == (asked or "cuda")
    assert made_current == current


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_the_least_flops_are_those_that_the_engine_computes_but_for_padding(work, tmp_path):
    """Counted by torch, with the pairs of positions that a causal mask hides."""
    setup = Setup(device="cpu", tiny=True, folder=tmp_path)
    shape = Shape(name="wide", layers=4, hidden=256, heads=4, vocabulary=1024)
    subject = make_subject(setup, shape, torch.float32)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work.evaluate(subject, 6)
    least = least_flops(subject.model, work.run(subject, 6))
    assert least < counter.get_total_flops() < 1.5 * least


def test_a_segment_takes_two_flops_a_weight_and_four_a_pair_and_component():
    sizes = Sizes(layers=2, hidden=8, matrix=100, vocabulary=50)
    assert sizes.encoding(3) == 2 * (2 * 100 * 3 + 4 * 8 * 6)
    one_token_behind_one = 2 * 100 * 2 + 4 * 8 * 2 + 2 * 8 * 50
    assert sizes.scoring(1, [1]) == one_token_behind_one


def test_spans_that_overlap_count_once():
    assert covered([(0, 2), (1, 3), (5, 6), (5.5, 5.7)]) == 4


def test_another_best_choice_is_a_flip():
    assert count_flips([[1.0, 2.0], [3.0, 0.0]], [[1.0, 1.5], [0.0, 3.0]]) == 1
