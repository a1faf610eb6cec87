#!/usr/bin/env python3
"""Test 1 (generation) on decoder-only models: edit the grid in `run` and call the script again."""

import sys
from dataclasses import replace
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


def compression() -> list[Grid]:
    """Also score after the whole context as one vector for every 1, 2, 3, … tokens, to one vector in all."""
    grid = replace(
        run(),
        num_fewshot=[0],
        encoding_scheme=["concat_all_examples"],
        settings={
            "WORD_AGG_SCHEME": ["concat", "chunk2", "chunk3", "chunk4", "chunk8", "chunk16", "chunk32", "mean"],
            "ENCODING_LAYER": ["E", "middle"],
        },
    )
    return [grid]


def layer_map() -> list[Grid]:
    """Also let vectors of five layers enter the model at each of four blocks, a vector for every 1 and 2 tokens."""
    grid = replace(
        run(),
        num_fewshot=[0],
        encoding_scheme=["concat_all_examples"],
        settings={
            "WORD_AGG_SCHEME": ["concat", "chunk2"],
            "ENCODING_LAYER": [0, 1, "middle", -2, -1],
            "DECODING_LAYER": [0, 1, "middle", -2],
        },
    )
    return [grid]


if __name__ == "__main__":
    launch(run, results_dir="lmeval_results_gen", switches=[compression, layer_map])
