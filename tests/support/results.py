"""Made-up results for the tests of the analysis: result files, and the table that is read from them."""

import json
import os
from pathlib import Path

import pandas as pd

from lm_eval.analysis.runs import describe_columns
from lm_eval.config.run_config import RunConfig
from lm_eval.results.result_file import config_content


def result_of(config: RunConfig, acc: float = 0.5, *, older: bool = True, error: float = 0.1, **run) -> dict:
    """A result; of the newer form with an identity made up."""
    content = {
        "results": {config.task: {"acc": acc, "acc_stderr": error, "rand_acc": 0.25, "rand_acc_stderr": 0.0}},
        "versions": {config.task: 0},
        "config": config_content(config),
    }
    if older:
        return content
    identity = {"data": {"validation": "ab" * 20}, "weights": {"content": "cd" * 20}, "dtype": "float32"}
    return {**content, "identity": {config.task: identity}, "run": {config.task: {"dtype": "float32", **run}}}


def put(folder: Path, name: str, content: object, changed: float | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    if changed is not None:
        os.utime(path, (changed, changed))
    return path


def table_of(*rows: dict) -> pd.DataFrame:
    """Runs of one model; what a row leaves out is as usual."""
    usual = {
        **dict.fromkeys(describe_columns()),
        "task": "hellaswag_dg",
        "dataset": "hellaswag",
        "kind": "dist_gen",
        "pretrained": "some/model",
        "model": "model",
        "architecture": "decoder-only",
        "encoding_scheme": "concat_all_examples",
        "num_fewshot": 5,
        "limit": "None",
        "data": "abc",
        "description": "",
        "acc": 0.4,
        "acc_stderr": 0.01,
        "rand_acc": 0.25,
        "dtype": "float32",
        "WORD_AGG_SCHEME": "mean",
    }
    table = pd.DataFrame([{**usual, **row} for row in rows])
    return table.astype({"acc": float, "acc_stderr": float, "rand_acc": float})


BASELINE = {"encoding_scheme": "cross_encoding", "WORD_AGG_SCHEME": None, "acc": 0.5, "acc_stderr": 0.02}
