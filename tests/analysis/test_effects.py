"""Matched effects: pairs that differ in one setting alone, averaged within models; the figure says as much."""

import runpy

import numpy as np
import pandas as pd
import pytest

from lm_eval.analysis import figures
from lm_eval.analysis.effects import EFFECTS, matched_effects, matched_pairs, reference_of
from lm_eval.analysis.scores import add_scores
from lm_eval.errors import ConfigurationError
from tests.support.figures import GEN, first_shown, model, scored, texts
from tests.support.paths import TOP
from tests.support.results import BASELINE

SENTENCES = "sentence_level_segmentation"


def runs_of(name: str, *runs: dict) -> list[dict]:
    """A baseline of 0.5, so that a point of accuracy is 0.04 of the chance-corrected score, and runs."""
    return [{**model(name), **BASELINE, "acc_stderr": 0.0}, *({**model(name), **GEN, **run} for run in runs)]


def row_of(effects: pd.DataFrame, setting: str, value: str) -> dict:
    (row,) = effects[(effects["setting"] == setting) & (effects["value"] == value)].to_dict("records")
    return row


def test_a_case_by_hand():
    """Two models: a's two pairs give +0.04 and +0.12, so +0.08; b's one gives -0.04; the median is 0.02."""
    rows = [
        *runs_of(
            "a",
            {"acc": 0.40},
            {"acc": 0.41, "NORM": "L2"},
            {"acc": 0.30, "encoding_scheme": SENTENCES},
            {"acc": 0.33, "encoding_scheme": SENTENCES, "NORM": "L2"},
            {"acc": 0.49, "NORM": "L2", "WORD_AGG_SCHEME": "last"},  # differs in two settings: no pair of NORM
        ),
        *runs_of("b", {"acc": 0.40}, {"acc": 0.39, "NORM": "L2"}),
    ]
    effects = matched_effects(scored(*rows))
    row = row_of(effects, "NORM", "L2")
    assert row["median"] == pytest.approx(0.02)
    assert (row["low_half"], row["high_half"]) == pytest.approx((-0.01, 0.05))
    assert (row["low_80"], row["high_80"]) == pytest.approx((-0.028, 0.068))
    assert (row["num_pairs"], row["num_models"], row["is_thin"]) == (3, 2, True)  # under five pairs
    assert (row["reference"], row["score"]) == (None, "chance_corrected")
    scheme = row_of(effects, "encoding_scheme", SENTENCES)
    assert scheme["median"] == pytest.approx(np.mean([-0.40, -0.32]))
    assert (scheme["reference"], scheme["num_models"]) == ("concat_all_examples", 1)


def test_groups_that_differ_in_everything_make_no_effect():
    """The strong model alone ran relu|mean: as groups that looks like +0.4, in pairs like nothing."""
    rows = [
        *runs_of("weak", *({"acc": 0.26, "NORM": norm} for norm in (None, "L2", "zNorm"))),
        *runs_of("strong", {"acc": 0.40}, {"acc": 0.40, "WORD_AGG_SCHEME": "relu|mean"}),
    ]
    row = row_of(matched_effects(scored(*rows)), "WORD_AGG_SCHEME", "relu|mean")
    assert (row["median"], row["num_models"], row["num_pairs"]) == (0, 1, 1)


def test_what_has_no_effect_in_one_of_two_runs_may_differ():
    idle = {"SEGMENT_AGG_SCHEME": "mean", "EXAMPLE_AGG_SCHEME": "mean"}
    rows = runs_of("a", {"acc": 0.4}, {"acc": 0.3, "encoding_scheme": SENTENCES, **idle})
    (pair,) = matched_pairs(scored(*rows), ["encoding_scheme"]).to_dict("records")
    assert pair["difference"] == pytest.approx(-0.4)  # one vector needs no mean over segments or examples
    other = {"acc": 0.3, "NORM": "zNorm", "encoding_scheme": SENTENCES, **idle}
    rows = runs_of("a", {"acc": 0.4, "NORM": "zNorm"}, other)
    assert matched_pairs(scored(*rows), ["encoding_scheme"]).empty  # zNorm of a mean is another vector


def test_layers_are_compared_by_their_numbers():
    of_model = model("a", num_layers=4)
    rows = [{**of_model, **BASELINE}, {**of_model, "ENCODING_LAYER": "0", "acc": 0.3}]
    rows += [{**of_model, "ENCODING_LAYER": layer, "acc": 0.4} for layer in ("middle", "2")]
    (pair,) = matched_pairs(scored(*rows), ["ENCODING_LAYER"]).to_dict("records")
    assert (pair["reference"], pair["value"], pair["difference"]) == ("0", "2", pytest.approx(0.4))


def test_without_scores_accuracies_are_compared():
    rows = runs_of("a", {"acc": 0.4}, {"acc": 0.38, "NORM": "L2"})[1:]
    row = row_of(matched_effects(scored(*rows)), "NORM", "L2")
    assert (row["median"], row["score"]) == (pytest.approx(-0.02), "acc")


def test_runs_of_another_dtype_or_other_documents_make_no_pairs():
    for difference in ({"dtype": "bfloat16"}, {"limit": "20"}, {"num_fewshot": 0}, {"data": "other"}):
        rows = runs_of("a", {"acc": 0.4}, {"acc": 0.3, "NORM": "L2", **difference})
        assert matched_pairs(scored(*rows), ["NORM"]).empty


@pytest.mark.parametrize(
    ("script", "kind", "architecture"),
    [
        ("run_parallel_gen_gpt", "dist_gen", "decoder-only"),
        ("run_parallel_gen_t5", "dist_gen", "encoder-decoder"),
        ("run_parallel_sim_gpt", "dist_sim", "decoder-only"),
        ("run_parallel_sim_t5", "dist_sim", "encoder-decoder"),
    ],
)
def test_references_are_values_of_the_scripts_grids(script, kind, architecture):
    grid = runpy.run_path(str(TOP / "scripts" / f"{script}.py"))["run"]()
    for name, values in grid.settings.items():
        assert reference_of(name, kind, architecture) in [None if value is None else str(value) for value in values]
    assert reference_of("encoding_scheme", kind, architecture) in grid.encoding_scheme


def test_the_figure_shows_the_effects_and_how_many_pairs_they_come_from():
    rows = [
        *runs_of("a", {"acc": 0.40}, {"acc": 0.41, "NORM": "L2"}, {"acc": 0.42, "NORM": "zNorm"}),
        *runs_of("b", {"acc": 0.40}, {"acc": 0.39, "NORM": "L2"}),
    ]
    figure = figures.effects(scored(*rows))
    (hollow,) = first_shown(figure, "scatter", "hollow: few models or pairs")
    assert list(hollow.x[1:]) == pytest.approx([0.08, 0.0])
    assert [text.partition(" <")[0] for text in figure.layout.yaxis.ticktext] == ["zNorm", "L2"]
    assert "2 pairs, 2 models" in figure.layout.yaxis.ticktext[1]
    assert "<b>norm</b>, against none" in texts(figure)
    assert "hellaswag_dg" in texts(figure)
    assert "2 pairs of 2 models" in hollow.hovertext[2]


def test_without_two_runs_that_differ_in_one_setting_nothing_is_drawn():
    with pytest.raises(ConfigurationError, match="of 1 run no two differ in one of encoding_scheme, WORD_AGG_SCHEME"):
        figures.effects(scored(*runs_of("a", {"acc": 0.4})))
    assert matched_effects(scored(*runs_of("a", {"acc": 0.4}))).empty


def test_references_that_depend_on_the_architecture_are_named_with_it():
    of_t5 = {"architecture": "encoder-decoder"}
    sim = {"kind": "dist_sim", "task": "hellaswag_d", "SIMILARITY_FUNC": "dot_product", "ENCODING_LAYER": None}
    rows = runs_of("a", *({**sim, "WORD_AGG_SCHEME": word} for word in ("mean", "w1mean")))
    rows += runs_of("t5", *({**sim, **of_t5, "WORD_AGG_SCHEME": word} for word in ("mean", "w1mean")))
    written = texts(figures.effects(scored(*rows)))
    assert "<b>token aggregation</b> of decoder-only models, against w1mean" in written
    assert "<b>token aggregation</b> of encoder-decoder models, against mean" in written


@pytest.mark.slow
@pytest.mark.reference
def test_in_the_published_study_pairs_say_nothing_where_groups_misled(study):
    table = add_scores(study.table).table
    effects = matched_effects(table[table["task"] == "hellaswag_d"])
    row = row_of(effects, "WORD_AGG_SCHEME", "relu|zNorm|mean")
    assert (row["num_pairs"], row["num_models"], row["is_thin"]) == (91, 1, True)
    assert row["median"] == pytest.approx(0, abs=0.01)  # as groups: +0.34
    assert list(effects[effects["setting"] == "SEGMENT_AGG_SCHEME"]["num_pairs"]) == [578]
    assert set(effects["setting"]) <= set(EFFECTS)
