"""The published study as a folder of older-form result files: real results of real size for tests of the analysis."""

import csv
import json
from pathlib import Path
from typing import Any

SETTINGS = (
    *("WORD_AGG_SCHEME", "SEGMENT_AGG_SCHEME", "EXAMPLE_AGG_SCHEME", "NORM", "SIMILARITY_FUNC"),
    *("ENCODING_LAYER", "OUT_ENCODING_LAYER", "OUT_WORD_AGG_SCHEME"),
)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a table."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def write_study(paper: Path, folder: Path) -> int:
    """Write a file for each published run and each baseline, in the study's folders; return how many."""
    runs = read_csv(paper / "runs.csv")
    for number, run in enumerate(runs):
        _write(folder / run["folder"], number, run)
    baselines = read_csv(paper / "baselines.csv")
    for number, baseline in enumerate(baselines):
        run = {
            "task": "hellaswag_dg",
            "model_type": "dist_gen",
            "encoding_scheme": "cross_encoding",
            **dict.fromkeys(("acc_stderr", "em", *SETTINGS), ""),
            **baseline,
        }
        _write(folder / "lmeval_results_baseline", len(runs) + number, run)
    return len(runs) + len(baselines)


def _write(folder: Path, number: int, run: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    settings = {} if run["encoding_scheme"] == "cross_encoding" else {name: run[name] or "None" for name in SETTINGS}
    metrics: dict[str, Any] = {"acc": float(run["acc"])}
    for name in ("acc_stderr", "acc_norm", "em"):
        if run[name]:
            metrics[name] = float(run[name])
    content = {
        "results": {run["task"]: metrics},
        "versions": {run["task"]: 0},
        "config": {
            "model": run["model_type"],
            "model_args": ",".join(f"{key}={value}" for key, value in {**settings, "pretrained": run["model"]}.items()),
            "task_args": f"encoding_scheme={run['encoding_scheme']}",
            "num_fewshot": int(run["num_fewshot"]),
            "batch_size": None,
            "device": "cuda",
            "no_cache": True,
            "limit": None,
            "bootstrap_iters": 100000,
            "description_dict": None,
        },
    }
    (folder / f"{number:040x}.json").write_text(json.dumps(content, indent=2))
