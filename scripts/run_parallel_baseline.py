#!/usr/bin/env python3
"""The baseline by which scores are normalised: context and choice as ordinary tokens in one sequence, on all models.

With `--controls` also a control: the same choices scored without any context.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # lm_eval of this checkout, installed or not

from lm_eval.grid import Grid, launch, list_models
from lm_eval.models.families import Architecture


def run() -> Grid:
    """Score HellaSwag's endings after the context's own tokens (cross_encoding), on models of both architectures."""
    return Grid(
        model="dist_gen",
        task="hellaswag_dg",
        models=list_models(max_size=14),
        arch_type=None,
        num_fewshot=[5, 0],
        encoding_scheme=["cross_encoding"],
    )


def controls() -> list[Grid]:
    """Also score the endings with no context at all (no_context), in both tests: how far a model gets without one."""
    models = run().models
    word_agg_schemes: dict[Architecture, str] = {"decoder-only": "w1mean", "encoder-decoder": "mean"}
    generation = Grid(
        model="dist_gen",
        task="hellaswag_dg",
        models=models,
        arch_type=None,
        num_fewshot=[0],
        encoding_scheme=["no_context"],
    )
    similarity = [
        Grid(
            model="dist_sim",
            task="hellaswag_d",
            models=models,
            arch_type=arch_type,
            num_fewshot=[0],
            encoding_scheme=["no_context"],
            settings={"WORD_AGG_SCHEME": [word_agg_scheme], "SIMILARITY_FUNC": ["dot_product"]},
        )
        for arch_type, word_agg_scheme in word_agg_schemes.items()
    ]
    return [generation, *similarity]


if __name__ == "__main__":
    launch(run, results_dir="lmeval_results_baseline", switches=[controls])
