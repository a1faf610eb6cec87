"""What notebooks do around figures: find results, keep tidy tables in `cache/`, save charts."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.checkpoints import architecture_of
from lm_eval.analysis.figures.export import save
from lm_eval.analysis.figures.selection import separate_variants
from lm_eval.analysis.runs import read_runs
from lm_eval.analysis.scores import add_scores
from lm_eval.common.atomic import written_whole
from lm_eval.common.text import count_of
from lm_eval.errors import ConfigurationError
from lm_eval.models.model_list import DEMO

BASELINE_FOLDER = "lmeval_results_baseline"
SCRIPTS = {
    BASELINE_FOLDER: "run_parallel_baseline.py",
    "lmeval_results_gen": "run_parallel_gen_gpt.py",
    "lmeval_results_t5": "run_parallel_gen_t5.py and scripts/run_parallel_sim_t5.py",
    "lmeval_results_sim_latest": "run_parallel_sim_gpt.py",
}
"""Which script fills a results folder."""


@dataclass(frozen=True)
class Prepared:
    """Runs beside their baselines, fit to be drawn."""

    table: pd.DataFrame
    remarks: Sequence[str]
    """What a reader has to know of them: which folders, what is missing, what was left out."""


def find_folders(folders: Sequence[Path], demo: Path = DEMO / "results") -> tuple[list[Path], list[str]]:
    """Return the folders that hold results, or else the demo's of the same names, and what to say of that.

    The demo's baseline never stands in for one's own: models and documents would be others.

    Args:
        folders: results folders.
        demo: the folder with the demo's results folders.

    Raises:
        ConfigurationError: neither holds results.
    """
    missing = [folder for folder in folders if not any(folder.glob("*.json"))]
    remarks = [f"{folder.name} holds no results: {_say_maker(folder)}" for folder in missing]
    own = [folder for folder in folders if folder not in missing]
    if any(folder.name != BASELINE_FOLDER for folder in own):
        return own, remarks
    of_demo = [demo / folder.name for folder in folders if any((demo / folder.name).glob("*.json"))]
    if not any(folder.name != BASELINE_FOLDER for folder in of_demo):
        raise ConfigurationError("; ".join([*remarks, "`make demo` makes small results to look at"]))
    return of_demo, [*remarks, "these are the demo's results: two tiny models and 200 documents, to show the charts"]


def _say_maker(folder: Path) -> str:
    script = SCRIPTS.get(folder.name)
    return f"scripts/{script} makes it" if script else "scripts/run_parallel_*.py --results_dir makes it"


def prepare(
    folders: Sequence[Path],
    task: str,
    architecture: str | None = None,
    *,
    models: Sequence[str] | None = None,
    limit: str | None = None,
    cache: Path | None = None,
) -> Prepared:
    """Read results folders and put the runs of a task beside their baselines.

    Args:
        folders: results folders, that of the baseline among them.
        task: the task's name.
        architecture: `decoder-only` or `encoder-decoder`; None takes both.
        models: `pretrained` names, or their last parts; None takes all.
        limit: the slice of documents; None takes that of the most runs.
        cache: the folder that keeps what was read, for the next time.

    Raises:
        ConfigurationError: there are no such runs.
    """
    used, remarks = find_folders(folders)
    kept = None if cache is None else cache / f"runs_{'_'.join(folder.name for folder in used)}.parquet"
    runs = read_runs(used, cache=kept)
    scored = add_scores(runs.table).table
    chosen = _choose_models(scored[scored["task"] == task], architecture, models)
    if runs.num_duplicates:
        remarks.append(_say_left_out(runs.num_duplicates))
    remarks += [f"{file.name} holds no result: {why}" for file, why in runs.unreadable.items()]
    if chosen.empty:
        where = ", ".join(folder.name for folder in used)
        who = " ".join(part for part in (architecture or "", ", ".join(models or ())) if part)
        raise ConfigurationError("; ".join([f"no runs of {task}{f' ({who})' if who else ''} in {where}", *remarks]))
    prepared = choose_documents(chosen, limit)
    return Prepared(prepared.table, [*remarks, *prepared.remarks])


def _say_left_out(number: int) -> str:
    return f"{count_of(number, 'older result')} of the same configurations {'was' if number == 1 else 'were'} left out"


def _choose_models(table: pd.DataFrame, architecture: str | None, models: Sequence[str] | None) -> pd.DataFrame:
    if architecture is not None:
        table = table[table["pretrained"].map(architecture_of) == architecture]
    if models is not None:
        table = table[table["pretrained"].isin(models) | table["model"].isin(models)]
    return table


def choose_documents(table: pd.DataFrame, limit: str | None = None) -> Prepared:
    """Return the runs over one slice of documents, and which baselines they lack.

    Args:
        table: runs.
        limit: the slice; None takes that of the most runs.

    Raises:
        ConfigurationError: there is none of that slice.
    """
    counts = table["limit"].value_counts()
    chosen = str(counts.index[0]) if limit is None else str(limit)
    if chosen not in counts.index:
        raise ConfigurationError(f"no runs of --limit {chosen}; there are some of {', '.join(map(str, counts.index))}")
    others = [f"{number} of --limit {name}" for name, number in counts.items() if name != chosen]
    remarks = [f"runs over other documents were left out: {', '.join(others)}"] if others else []
    rows = table[table["limit"] == chosen].reset_index(drop=True)
    which = "all documents" if chosen == "None" else f"documents {chosen} (--limit)"
    models = rows["pretrained"].nunique()
    remarks.insert(0, f"{count_of(len(rows), 'run')} of {count_of(models, 'model')} over {which}")
    named = separate_variants(rows)
    lacking = named[named["baseline"].isna()].drop_duplicates(["model", "num_fewshot"])
    remarks += [
        f"no baseline: {row['model']}, {count_of(row['num_fewshot'], 'shot')}" for row in lacking.to_dict("records")
    ]
    return Prepared(rows, remarks)


def write_tidy(table: pd.DataFrame, path: Path) -> Path:
    """Write runs beside their baselines as Parquet, and return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as temporary:
        table.to_parquet(temporary)
    return path


def read_tidy(paths: Iterable[Path]) -> pd.DataFrame:
    """Read what `write_tidy` wrote, of several notebooks one below the other.

    Raises:
        ConfigurationError: none of the files is there, or an older version wrote one.
    """
    there = [path for path in paths if path.is_file()]
    if not there:
        names = " or ".join(f"notebooks/{name_notebook(path)}" for path in paths)
        raise ConfigurationError(f"there is nothing in cache/ yet: run {names} first")
    tables = {path: pd.read_parquet(path) for path in there}
    for path, kept in tables.items():
        if not {"architecture", "num_layers", "bos", "versus_chance", "loading"} <= set(kept.columns):
            raise ConfigurationError(
                f"{path} is of an older version of lm_eval; run notebooks/{name_notebook(path)} again"
            )
    table = pd.concat(tables.values(), ignore_index=True)
    for column in table.columns:
        if pd.api.types.is_string_dtype(table[column]) or table[column].dtype == object:
            table[column] = table[column].astype("object").where(table[column].notna(), None)
    return table


def name_notebook(path: Path) -> str:
    """Return the notebook that writes a table: `dist_gen_gpt.parquet` comes from `dist_gen_charts_gpt.ipynb`."""
    test, _, architecture = path.stem.rpartition("_")
    return f"{test}_charts_{architecture}.ipynb"


def chart(draw: Callable[..., go.Figure], table: pd.DataFrame, path: Path, **options: Any) -> go.Figure | None:  # noqa: ANN401
    """Draw and save a figure; where there is nothing to draw, say why.

    Args:
        draw: one of `figures`.
        table: runs beside their baselines.
        path: the file, without ending.
        options: of `draw`.

    Returns:
        The figure, or None.
    """
    try:
        figure = draw(table, **options)
    except ConfigurationError as error:
        print(f"{path.name} is not drawn: {error}")
        return None
    save(figure, path)
    return figure
