"""Passes of as many documents as a test likes, of a model that nobody loads."""

from pathlib import Path
from typing import Any

from lm_eval.config.limit import Limit
from lm_eval.grid.grid import CommonOptions
from lm_eval.results.identity import Run, resolve
from tests.support.grids import expand, grid
from tests.support.worlds import NUM_EVALUATION, hellaswag_row, write_model_folder, write_rows


def write_documents(folder: Path, number: int) -> Path:
    """Write a dataset of so many rows to score, all different, and a few to draw shots from, unless it is there."""
    if (folder / "hellaswag" / "train.jsonl").exists():
        return folder
    rows = [hellaswag_row(place % NUM_EVALUATION) for place in range(number)]
    rows = [{**row, "ind": place, "ctx_a": f"{row['ctx_a']} It is day {place}."} for place, row in enumerate(rows)]
    write_rows(folder / "hellaswag" / "validation.jsonl", rows)
    write_rows(folder / "hellaswag" / "train.jsonl", map(hellaswag_row, range(NUM_EVALUATION, NUM_EVALUATION + 4)))
    return folder


def long_pass(folder: Path, number: int, **settings: list[Any]) -> list[Run]:
    """The runs of a pass of so many documents; two of them unless other settings are given."""
    data = write_documents(folder / "data", number)
    model = folder / "model"
    if not model.exists():
        write_model_folder(model)
    lists = settings or {"WORD_AGG_SCHEME": ["mean", "w1mean"], "SIMILARITY_FUNC": ["cosine_sim"]}
    made = grid(model="dist_sim", task="hellaswag_d", models=[str(model)], num_fewshot=[1], settings=lists)
    return [resolve(config) for config in expand(made, CommonOptions(data_dir=str(data), limit=Limit()))]
