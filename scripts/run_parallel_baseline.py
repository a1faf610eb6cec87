#!/usr/bin/env python3
"""The baseline that scores are normalised by: context and choice as ordinary tokens in one sequence, on all models."""

from lm_eval.grid import Grid
from lm_eval.launch import launch
from lm_eval.model_list import list_models


def run() -> Grid:
    """Score HellaSwag's endings behind the context's own tokens (cross_encoding), on models of both architectures."""
    return Grid(
        model="dist_gen",
        task="hellaswag_dg",
        models=list_models(max_size=14),
        arch_type=None,
        num_fewshot=[5, 0],
        encoding_scheme=["cross_encoding"],
    )


if __name__ == "__main__":
    launch(run, results_dir="lmeval_results_baseline")
