#!/usr/bin/env python3
"""Test 1 (generation) on decoder-only models: edit the grid in `run` and call the script again."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # lm_eval of this checkout, installed or not

from lm_eval.grid import Grid, launch, list_models


def run() -> Grid:
    """Score HellaSwag's endings after concept vectors, on decoder-only models."""
    return Grid(
        model="dist_gen",
        task="hellaswag_dg",
        models=list_models(arch_type="decoder-only", max_size=14),
        arch_type="decoder-only",
        num_fewshot=[5, 0],
        encoding_scheme=[
            "sentence_level_segmentation",
            "segment_each_example",
            "concat_each_example",
            "concat_all_examples",
        ],
        settings={
            "WORD_AGG_SCHEME": ["mean"],
            "SEGMENT_AGG_SCHEME": [None, "mean"],
            "EXAMPLE_AGG_SCHEME": [None, "mean"],
            "NORM": [None],
            "ENCODING_LAYER": [0],
        },
    )


if __name__ == "__main__":
    launch(run, results_dir="lmeval_results_gen")
