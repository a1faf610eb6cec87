"""The pieces of work that are measured, and how much faster than the plain way each must be."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.engine import GEN, SIM, Settings
from benchmarks.subjects import MakeSubject, flan_t5_base, gpt2_small


@dataclass(frozen=True, kw_only=True)
class Work:
    """A piece of work and what is expected of it."""

    name: str
    subject: MakeSubject
    model: str
    scheme: str
    num_fewshot: int
    settings: Sequence[Settings]
    documents: int
    at_least: float
    """Times the documents a second of the plain way."""
    at_most: float | None = None
    """For a grid: times the time of its first configuration alone."""


def sim_grid() -> list[Settings]:
    """96 configurations of one pass: layers, token, segment and example aggregation, similarity."""
    lists = (
        [None, "middle", 4],
        ["mean", "w1mean", "last", "relu|mean"],
        [None, "mean"],
        [None, "mean"],
        ["dot_product", "cosine_sim"],
    )
    keys = ("ENCODING_LAYER", "WORD_AGG_SCHEME", "SEGMENT_AGG_SCHEME", "EXAMPLE_AGG_SCHEME", "SIMILARITY_FUNC")
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*lists)]


def gen_grid() -> list[Settings]:
    """24 configurations of one pass, half of them at layer 0."""
    lists = ([None, 0], ["mean", "w1mean", "last"], [None, "mean"], [None, "mean"])
    keys = ("ENCODING_LAYER", "WORD_AGG_SCHEME", "SEGMENT_AGG_SCHEME", "EXAMPLE_AGG_SCHEME")
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*lists)]


SENTENCES, EACH = "sentence_level_segmentation", "concat_each_example"
MEAN: Settings = {"WORD_AGG_SCHEME": "mean"}
WORKS = (
    Work(name="cross_encoding, 5 shots", subject=gpt2_small, model=GEN, scheme="cross_encoding", num_fewshot=5,
         settings=[{}], documents=8, at_least=4.5),
    Work(name="cross_encoding, 0 shots", subject=gpt2_small, model=GEN, scheme="cross_encoding", num_fewshot=0,
         settings=[{}], documents=16, at_least=2.5),
    Work(name="dist_gen, concat_each_example, 5 shots, layer 0", subject=gpt2_small, model=GEN, scheme=EACH,
         num_fewshot=5, settings=[{**MEAN, "ENCODING_LAYER": 0}], documents=12, at_least=6),
    Work(name="dist_gen, concat_each_example, 5 shots, last layer", subject=gpt2_small, model=GEN, scheme=EACH,
         num_fewshot=5, settings=[MEAN], documents=12, at_least=1.8),
    Work(name="dist_sim, sentence_level_segmentation, 5 shots", subject=gpt2_small, model=SIM, scheme=SENTENCES,
         num_fewshot=5, settings=[{**MEAN, "SIMILARITY_FUNC": "dot_product"}], documents=12, at_least=2),
    Work(name="grid of 96 dist_sim", subject=gpt2_small, model=SIM, scheme=SENTENCES, num_fewshot=5,
         settings=sim_grid(), documents=4, at_least=100, at_most=1.5),
    Work(name="grid of 24 dist_gen", subject=gpt2_small, model=GEN, scheme=EACH, num_fewshot=5,
         settings=gen_grid(), documents=4, at_least=20, at_most=7),
    Work(name="T5: cross_encoding, 5 shots", subject=flan_t5_base, model=GEN, scheme="cross_encoding", num_fewshot=5,
         settings=[{}], documents=6, at_least=3.5),
    Work(name="T5: dist_gen, concat_each_example, 5 shots", subject=flan_t5_base, model=GEN, scheme=EACH, num_fewshot=5,
         settings=[MEAN], documents=8, at_least=1.5),
)  # fmt: skip
