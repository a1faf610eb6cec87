#!/usr/bin/env python3
"""Test 1 (generation) on encoder-decoder models: edit the grid in `run` and call the script again."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # lm_eval of this checkout, installed or not

from lm_eval.grid import Grid, launch, list_models


def run() -> Grid:
    """Score HellaSwag's endings after concept vectors, on encoder-decoder models."""
    return Grid(
        model="dist_gen",
        task="hellaswag_dg",
        models=list_models(arch_type="encoder-decoder", max_size=14),
        arch_type="encoder-decoder",
        num_fewshot=[5, 0],
        encoding_scheme=[
            "sentence_level_segmentation",
            "segment_each_example",
            "concat_each_example",
            "concat_all_examples",
        ],
        settings={
            "WORD_AGG_SCHEME": ["mean"],
            "SEGMENT_AGG_SCHEME": [None],
            "EXAMPLE_AGG_SCHEME": [None],
            "NORM": [None],
            "ENCODING_LAYER": [None],
        },
    )


if __name__ == "__main__":
    launch(run, results_dir="lmeval_results_t5")
