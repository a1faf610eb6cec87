"""The notebooks, really executed: on the demo's results, on older files and on the published study."""

import json
import re
from pathlib import Path

import nbformat
import pandas as pd
import plotly.graph_objects as go
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

from lm_eval.analysis.charts import choose_documents, find_folders, prepare, read_tidy
from lm_eval.errors import ConfigurationError
from lm_eval.models.model_list import DEMO
from tests.support.grids import expand, grid
from tests.support.paths import TOP
from tests.support.results import put as put_result
from tests.support.results import result_of

NOTEBOOKS = TOP / "notebooks"
READING = [f"dist_{test}_charts_{architecture}" for test in ("gen", "sim") for architecture in ("gpt", "t5")]
DRAWING = ["dist_gen_charts", "dist_sim_charts"]
MOVING = ["movement"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the kernel's client


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def with_parameters(name: str, **parameters) -> nbformat.NotebookNode:
    """A notebook with other parameters."""
    notebook = read(name)
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code")
    for key, value in parameters.items():
        cell.source, found = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value!r}", cell.source)
        assert found == 1, key
    return notebook


def execute(folder: Path, *notebooks: nbformat.NotebookNode) -> list[str]:
    """Execute notebooks in a folder, one after the other; return what each prints.

    One kernel executes all, as its start and its imports take most of the time; each finds its names empty.
    """
    cells = [cell for one in notebooks for cell in (nbformat.v4.new_code_cell("%reset -f"), *one.cells)]
    whole = nbformat.v4.new_notebook(cells=cells, metadata=notebooks[0].metadata)
    folder.mkdir(exist_ok=True)
    NotebookClient(whole, timeout=600, startup_timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return [_printed(notebook) for notebook in notebooks]


def _printed(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output["text"] for output in outputs if output.output_type == "stream")


@pytest.fixture
def kernels(monkeypatch):
    """Kernels import this checkout, and figures stay out of outputs."""
    monkeypatch.setenv("PYTHONPATH", str(TOP))
    monkeypatch.setenv("PLOTLY_RENDERER", "plotly_mimetype")


@pytest.mark.parametrize("name", [*READING, *DRAWING, *MOVING])
def test_notebooks_are_valid_clean_and_begin_with_their_parameters(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code[0].source.startswith("# Parameters\n")
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert len(code) <= 10
    texts = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert len(texts.split()) > 80


def test_there_is_a_notebook_for_each_test_and_architecture_and_one_for_both():
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted([*READING, *DRAWING, *MOVING])


def test_executed_notebooks_load_nothing_from_elsewhere():
    page = go.Figure().to_html(full_html=False, include_plotlyjs=False, include_mathjax="cdn")
    cell = nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("display_data", {"text/html": page})])
    exporter = HTMLExporter(template_name="offline", extra_template_basedirs=[str(NOTEBOOKS)])
    written, _ = exporter.from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    assert "plotly-graph-div" in written
    assert re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=[^>]*", written) == []
    assert "cdn" not in written


@pytest.mark.slow
@pytest.mark.ray
def test_all_notebooks_run_on_what_scripts_have_made_or_on_a_model(demo_run, tmp_path, kernels):
    reading = [with_parameters(name, **folders_of(name, demo_run.results)) for name in READING]
    given = {"LIMIT": 6, "MODEL": str(DEMO / "models" / "demo-gpt"), "DATA": str(DEMO / "data")}
    moving = with_parameters("movement", **given)
    *printed, of_movement = execute(tmp_path / "notebooks", *reading, *map(read, DRAWING), moving)
    for number, told in enumerate(printed):
        models = "1 model" if number < len(READING) else "2 models"
        assert f"{models} over documents 12 (--limit)" in told
    charts = {path.name for path in (tmp_path / "notebooks" / "charts").glob("*.png")}
    for test in ("gen", "sim"):
        assert {f"dist_{test}_main.png", f"dist_{test}_scaling.png", f"dist_{test}_gpt_main.png"} <= charts
        assert {f"dist_{test}_t5_best_5_shots.png", f"dist_{test}_t5_effects.png"} <= charts
    assert "right at each layer" in of_movement
    assert {name for name in charts if name.startswith("m")} == {"movement_margins.png", "movement_walk.png"}
    kept = pd.read_parquet(tmp_path / "cache" / "dist_gen_t5.parquet")
    assert set(kept["model"]) == {"demo-t5"}
    assert kept["normalised"].notna().all()


def folders_of(name: str, results: Path) -> dict:
    source = next(cell.source for cell in read(name).cells if cell.cell_type == "code")
    names = re.findall(r"lmeval_results_\w+", source)
    assert len(names) == 2
    return {"FOLDERS": [str(results / name) for name in names]}


@pytest.mark.slow
@pytest.mark.reference
def test_notebooks_run_on_older_files_and_a_final_one_says_which_to_run_first(reference, tmp_path, kernels):
    older = {"FOLDERS": [str(reference / "legacy_results")]}
    notebooks = [with_parameters(name, **older) for name in ("dist_sim_charts_gpt", "dist_gen_charts_t5")]
    final = read("dist_gen_charts")
    _, reading = code = [cell for cell in final.cells if cell.cell_type == "code"][:2]
    reading.metadata["tags"] = ["raises-exception"]  # or the kernel would execute nothing after it
    final.cells = code
    _, of_sim, of_gen = execute(tmp_path / "notebooks", final, *notebooks)
    (told,) = (output for output in reading.outputs if output.output_type == "error")
    assert "run notebooks/dist_gen_charts_gpt.ipynb or notebooks/dist_gen_charts_t5.ipynb" in told["evalue"]
    assert "runs of 1 model over documents 24 (--limit)" in of_sim
    assert (tmp_path / "notebooks" / "charts" / "dist_sim_gpt_main.png").is_file()
    assert "dist_gen_t5_layer_map is not drawn: no layers to compare" in of_gen


@pytest.mark.slow
@pytest.mark.reference
def test_notebooks_run_on_the_published_study(study_dir, tmp_path, kernels):
    reading = [with_parameters(name, **folders_of(name, study_dir)) for name in READING[2:]]
    of_gpt, _, of_both = execute(tmp_path / "notebooks", *reading, read("dist_sim_charts"))
    assert "no baseline: bloomz-1b1, 5 shots" in of_gpt
    assert "is not drawn" not in of_gpt
    assert "21 models over all documents" in of_both
    names = {path.name for path in (tmp_path / "notebooks" / "charts").iterdir()}
    assert {"dist_sim_gpt_layer_map.pdf", "dist_sim_gpt_best_5_shots.html", "dist_sim_main.png"} <= names
    assert {"dist_sim_gpt_all_5_shots.png", "dist_sim_gpt_effects.png", "dist_sim_at_a_glance.png"} <= names


def put(folder: Path, name: str = "a.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps({}))
    return folder


def test_ones_own_results_come_before_the_demos_and_are_never_mixed_with_them(tmp_path):
    own = [tmp_path / "lmeval_results_gen", tmp_path / "lmeval_results_baseline"]
    with pytest.raises(ConfigurationError, match=r"scripts/run_parallel_gen_gpt.py makes it.*`make demo`"):
        find_folders(own, tmp_path / "demo")
    shown = [put(tmp_path / "demo" / folder.name) for folder in own]
    put(own[1])
    folders, remarks = find_folders(own, tmp_path / "demo")
    assert folders == shown
    assert "these are the demo's results" in remarks[-1]
    put(own[0])
    (own[1] / "a.json").unlink()
    folders, remarks = find_folders(own, tmp_path / "demo")
    assert folders == [own[0]]
    assert remarks == ["lmeval_results_baseline holds no results: scripts/run_parallel_baseline.py makes it"]


def test_runs_over_other_documents_are_left_out_and_counted():
    table = pd.DataFrame({"limit": ["None", "20", "None"], "pretrained": "m", "model": "m", "num_fewshot": 5})
    table["baseline"], table["dtype"], table["loading"] = [0.5, 0.5, None], ["float32", "float32", None], None
    chosen = choose_documents(table)
    assert len(chosen.table) == 2
    assert chosen.remarks[1:] == ["runs over other documents were left out: 1 of --limit 20", "no baseline: m, 5 shots"]
    assert len(choose_documents(table, "20").table) == 1
    mixed = choose_documents(table.assign(dtype=["float32", "float32", "bfloat16"]))
    assert mixed.remarks[-1] == "no baseline: m (bfloat16), 5 shots"
    with pytest.raises(ConfigurationError, match="no runs of --limit 30; there are some of None, 20"):
        choose_documents(table, "30")


def test_half_written_files_older_results_and_missing_baselines_are_told_of(tmp_path):
    (config,) = expand(grid(num_fewshot=[1]))
    older, newer = result_of(config, 0.3), result_of(config, 0.4)
    put_result(tmp_path, "older.json", older, changed=1000)
    put_result(tmp_path, "newer.json", newer, changed=2000)
    put_result(tmp_path, "half.json", json.dumps(newer)[:100])
    prepared = prepare([tmp_path], config.task)
    assert list(prepared.table["acc"]) == [0.4]
    told = "\n".join(prepared.remarks)
    assert "1 older result of the same configurations was left out" in told
    assert "half.json holds no result: not JSON, or only half of it" in told
    assert "no baseline: x, 1 shot" in told


@pytest.mark.reference
def test_a_table_is_kept_as_it_was(reference, tmp_path):
    prepared = prepare([reference / "legacy_results"], "hellaswag_d", cache=tmp_path)
    path = tmp_path / "t.parquet"
    prepared.table.to_parquet(path)
    pd.testing.assert_frame_equal(read_tidy([path, tmp_path / "none.parquet"]), prepared.table)
    prepared.table.drop(columns="versus_chance").to_parquet(tmp_path / "dist_sim_gpt.parquet")
    with pytest.raises(
        ConfigurationError, match=r"older version of lm_eval; run notebooks/dist_sim_charts_gpt.ipynb ag"
    ):
        read_tidy([tmp_path / "dist_sim_gpt.parquet"])
    with pytest.raises(ConfigurationError, match=r"no runs of hellaswag_d \(encoder-decoder nothing\)"):
        prepare([reference / "legacy_results"], "hellaswag_d", "encoder-decoder", models=["nothing"])
