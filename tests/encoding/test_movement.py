"""Margins by layer and walks, against the plain way."""

from pathlib import Path

import pytest

from lm_eval.encoding.layer_runs import list_layers
from lm_eval.encoding.movement import layer_margins, take_walk
from lm_eval.errors import ConfigurationError
from lm_eval.models.model_list import DEMO
from tests.support import plain_movement
from tests.support.judging import LONG, TOLERANCE
from tests.support.plain_text import read_rows
from tests.support.tiny_families import LATER_DECODER_ONLY, PAPER_DECODER_ONLY
from tests.support.tiny_models import tiny_model

TASK = "hellaswag_d"
LAYERS = ["E", "0", "1", "2", "3"]
SETTINGS = {"WORD_AGG_SCHEME": "w1mean", "SIMILARITY_FUNC": "dot_product"}
LIMIT = "2"
OF_ONE_WIDTH = [family for family in (*PAPER_DECODER_ONLY, *LATER_DECODER_ONLY) if family != "opt_narrow"]
DEMO_GPT = {"model_args": f"pretrained={DEMO / 'models' / 'demo-gpt'}", "task_args": f"data_dir={DEMO / 'data'}"}


def rows_of(data_dir):
    return {split: read_rows(Path(data_dir) / "hellaswag" / f"{split}.jsonl") for split in ("train", "validation")}


def asked(family, data_dir):
    network, tokenizer = tiny_model(family, max_length=LONG)
    how = {"task_args": {"data_dir": str(data_dir)}, "limit": LIMIT}
    return network, tokenizer, {"task": TASK, "model_args": {"pretrained": network, "tokenizer": tokenizer}, **how}


@pytest.mark.slow
@pytest.mark.parametrize("family", OF_ONE_WIDTH)
def test_margins_and_walks_of_a_family_are_those_of_the_plain_way(family, data_dir):
    network, tokenizer, call = asked(family, data_dir)
    margins = layer_margins(**call)
    expected = plain_movement.margins(network, tokenizer, TASK, rows_of(data_dir), LAYERS, SETTINGS, LIMIT)
    found = {(row.doc_id, row.layer): row.margin for row in margins.table.itertuples()}
    assert found == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE)
    assert (margins.table["right"] == (margins.table["margin"] > 0)).all()

    walk = take_walk(doc=1, **call)
    judged = plain_movement.walk(network, tokenizer, TASK, rows_of(data_dir), LAYERS, SETTINGS, LIMIT, 1)
    assert walk.layers == LAYERS
    assert walk.explained == pytest.approx(judged.explained, rel=TOLERANCE)
    assert dict(walk.scales[["layer", "spread"]].itertuples(index=False)) == pytest.approx(
        judged.spreads, rel=TOLERANCE
    )
    for layer, of_layer in walk.table.groupby("layer"):
        wanted = judged.positions[layer]
        assert of_layer["x"].tolist() == pytest.approx(wanted[:, 0].tolist(), rel=TOLERANCE, abs=TOLERANCE)
        assert of_layer["y"].tolist() == pytest.approx(wanted[:, 1].tolist(), rel=TOLERANCE, abs=TOLERANCE)
        assert of_layer["nearest"].tolist() == judged.nearest[layer]


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_an_encoder_decoders_walk_is_that_of_its_encoder(family, data_dir):
    network, tokenizer, call = asked(family, data_dir)
    call["model_args"]["WORD_AGG_SCHEME"] = "mean"
    walk = take_walk(doc=0, **call)
    settings = {**SETTINGS, "WORD_AGG_SCHEME": "mean"}
    judged = plain_movement.walk(network, tokenizer, TASK, rows_of(data_dir), LAYERS, settings, LIMIT, 0)
    found = walk.table[walk.table["layer"] == "2"]
    assert found["x"].tolist() == pytest.approx(judged.positions["2"][:, 0].tolist(), rel=TOLERANCE, abs=TOLERANCE)


def test_neither_batch_size_nor_other_layers_change_a_margin():
    call = {"task": TASK, **DEMO_GPT, "limit": 12}
    every = layer_margins(**call).table
    alone = layer_margins(**call, batch_size=1, layers=["2"]).table
    together = every[every["layer"] == "2"].reset_index(drop=True)
    assert together["margin"].tolist() == pytest.approx(alone["margin"].tolist(), rel=TOLERANCE, abs=TOLERANCE)
    assert together["right"].tolist() == alone["right"].tolist()


def test_a_generation_tasks_margins_are_of_its_log_probabilities():
    margins = layer_margins(task="hellaswag_dg", **DEMO_GPT, limit=6, layers="every 2")
    assert margins.layers == ["E", "0", "2", "4"]
    assert margins.table["right"].tolist() == (margins.table["margin"] > 0).tolist()
    assert 0 <= margins.share_right()["E"] <= 1


def test_the_walk_names_its_document_and_leaves_out_embeddings_of_another_width(data_dir):
    *_, call = asked("opt_narrow", data_dir)
    walk = take_walk(doc=1, **call)
    assert walk.layers == LAYERS[1:-1]
    assert walk.doc_id == 1
    assert walk.num_documents == 2
    points = walk.table.drop_duplicates("point")
    assert points["is_right"].tolist() == [number in walk.gold for number in range(-1, len(walk.choices))]


def test_layers_are_all_every_so_many_or_those_named():
    assert list_layers("all", 3) == ["E", 0, 1, 2, 3]
    assert list_layers("every 2", 5) == ["E", 0, 2, 4]
    assert list_layers("every 2,-1", 5) == ["E", 0, 2, 4, 5]
    assert list_layers(["middle", -1, "E", 3], 5) == ["E", 3, 5]
    assert list_layers("E,2", 5) == ["E", 2]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"layers": "every"}, "'every' must be every N, N a whole number of at least 1"),
        ({"layers": ["x"]}, "layers: unknown value 'x'; choose from all, every N, or a list of E, middle"),
        ({"layers": [9]}, "layers=9: out of range"),
        ({"doc": 12}, "doc 12: there are documents 0 to 11; choose one of them, or raise the limit"),
        ({"task": "hellaswag_dg"}, "a walk compares vectors; give its similarity form, ending in _d"),
        ({"task": "hellaswag"}, "its name must end in _d"),
        ({"model_args": DEMO_GPT["model_args"] + ",ENCODING_LAYER=2"}, "ENCODING_LAYER=2: a movement goes through the"),
        (
            {"task_args": DEMO_GPT["task_args"] + ",encoding_scheme=sentence_level_segmentation",
             "model_args": DEMO_GPT["model_args"] + ",SEGMENT_AGG_SCHEME=None,EXAMPLE_AGG_SCHEME=None"},
            "vectors of a context, and a walk is that of one; set EXAMPLE_AGG_SCHEME=mean",
        ),
    ],
)  # fmt: skip
def test_a_walk_that_cannot_be_taken_is_refused_with_the_remedy(named, message):
    with pytest.raises(ConfigurationError, match=message):
        take_walk(**{"doc": 3, "task": TASK, **DEMO_GPT, "limit": 12, **named})
