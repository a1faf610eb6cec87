"""When two configurations are the same, and when they are not."""

import functools
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from lm_eval.config.limit import Limit
from lm_eval.config.run_config import SEGMENTING_SCHEMES, RunConfig
from lm_eval.config.settings import VectorSettings
from lm_eval.contexts.encoding_schemes import build_context
from lm_eval.errors import ConfigurationError
from lm_eval.results.canonical_form import pass_key
from lm_eval.results.identity import fingerprint, settings_key
from lm_eval.tasks.registry import TASKS
from lm_eval.vectors.aggregation import Reduction, aggregate_contexts, aggregate_tokens
from tests.support.runs import canonical, identify
from tests.support.worlds import hellaswag_row, webqs_row, write_model_folder, write_rows, write_world


def generation(scheme, shots=0, task="hellaswag_dg", description="", **settings) -> RunConfig:
    vectors = VectorSettings.parse(**{"word_agg_scheme": "mean", **settings})
    return RunConfig(
        model="dist_gen", pretrained="x", task=task, encoding_scheme=scheme, num_fewshot=shots, vectors=vectors,
        description=description,
    )  # fmt: skip


def similarity(scheme, shots=0, **settings) -> RunConfig:
    vectors = VectorSettings.parse(**{"word_agg_scheme": "mean", "similarity_func": "cosine_sim", **settings})
    return RunConfig(
        model="dist_sim", pretrained="x", task="hellaswag_d", encoding_scheme=scheme, num_fewshot=shots, vectors=vectors
    )


# --- what is merged ---


@pytest.mark.parametrize("scheme", ["concat_each_example", "segment_each_example", "merge_all_segments"])
def test_without_shots_hellaswag_is_one_segment_in_every_scheme_but_sentences(scheme):
    assert canonical(generation(scheme)) == generation("concat_all_examples")
    assert canonical(similarity(scheme)) == similarity("concat_all_examples")
    assert canonical(generation(scheme, shots=1)).encoding_scheme == scheme


@pytest.mark.parametrize(
    ("scheme", "form"),
    [
        ("concat_all_examples", "concat_all_examples"),
        ("concat_each_example", "concat_all_examples"),
        ("segment_each_example", "segment_each_example"),
        ("merge_all_segments", "segment_each_example"),
        ("sentence_level_segmentation", "sentence_level_segmentation"),
    ],
)
def test_without_shots_webquestions_keeps_its_hint_a_segment_of_its_own(scheme, form):
    assert canonical(generation(scheme, task="webqs_dg")).encoding_scheme == form


@pytest.mark.parametrize("scheme", SEGMENTING_SCHEMES)
def test_a_description_keeps_schemes_apart_without_shots(scheme):
    assert canonical(generation(scheme, description="Read.")).encoding_scheme == scheme


@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("segment", [None, "mean"])
@pytest.mark.parametrize("example", [None, "mean"])
def test_the_single_vector_of_concat_all_examples_needs_no_aggregation(shots, segment, example):
    config = generation("concat_all_examples", shots, segment_agg_scheme=segment, example_agg_scheme=example)
    assert canonical(config) == generation("concat_all_examples", shots)


def test_soft_cluster_of_a_single_vector_is_none():
    assert canonical(similarity("concat_all_examples", 5, example_agg_scheme="soft_cluster")) == similarity(
        "concat_all_examples", 5
    )
    config = similarity("concat_each_example", 5, example_agg_scheme="soft_cluster")
    assert canonical(config) == config


def test_the_single_segment_of_each_example_needs_no_segment_aggregation():
    config = generation("concat_each_example", 5, segment_agg_scheme="mean", example_agg_scheme="mean")
    assert canonical(config) == generation("concat_each_example", 5, example_agg_scheme="mean")


def test_without_shots_example_aggregation_has_one_vector_of_averaged_segments():
    config = generation("sentence_level_segmentation", segment_agg_scheme="mean", example_agg_scheme="mean")
    assert canonical(config) == generation("sentence_level_segmentation", segment_agg_scheme="mean")
    merged = generation("merge_all_segments", 5, segment_agg_scheme="mean", example_agg_scheme="mean")
    assert canonical(merged) == generation("merge_all_segments", 5, segment_agg_scheme="mean")


def test_choices_that_are_encoded_like_the_context_need_no_setting_of_their_own():
    config = similarity(
        "concat_each_example", 5, encoding_layer="E", out_encoding_layer="E", out_word_agg_scheme="mean"
    )
    assert canonical(config) == similarity("concat_each_example", 5, encoding_layer="E")


def control(shots=0, description="", **settings) -> RunConfig:
    return replace(similarity("no_context", shots, **settings), description=description)


def test_without_context_neither_shots_nor_description_make_another_configuration():
    bare = RunConfig(model="dist_gen", pretrained="x", task="hellaswag_dg", encoding_scheme="no_context")
    assert canonical(bare) == bare
    assert canonical(replace(bare, num_fewshot=5, description="Read.")) == bare
    assert canonical(control(5, "Read.")) == control()


@pytest.mark.parametrize(
    ("stated", "canonical_form"),
    [
        ({"out_word_agg_scheme": "w1mean"}, {"word_agg_scheme": "w1mean"}),
        ({"out_word_agg_scheme": "mean", "norm": "L2"}, {"norm": "L2"}),
        ({"encoding_layer": "E", "out_encoding_layer": "1"}, {"encoding_layer": "1"}),
        ({"encoding_layer": "1", "out_encoding_layer": "-1"}, {}),
        ({"encoding_layer": "1", "out_encoding_layer": "OE"}, {"out_encoding_layer": "OE"}),
        ({"word_agg_scheme": "relu|last", "norm": "zNorm"}, {"word_agg_scheme": "relu|last"}),
        ({"norm": "zNorm", "out_word_agg_scheme": "last"}, {"word_agg_scheme": "last"}),
    ],
)
def test_without_context_the_settings_of_the_choices_are_all_that_counts(stated, canonical_form):
    assert canonical(control(**stated)) == control(**canonical_form)
    assert canonical(control(**canonical_form)) == control(**canonical_form)


# --- what is not merged ---


@pytest.mark.parametrize(
    "config",
    [
        generation("concat_all_examples", 5, word_agg_scheme="concat", segment_agg_scheme="mean"),
        generation("concat_all_examples", 5, word_agg_scheme="concat", example_agg_scheme="mean"),
        generation("concat_all_examples", 0, word_agg_scheme="relu|concat", example_agg_scheme="mean"),
        generation("concat_each_example", 5, word_agg_scheme="concat", segment_agg_scheme="mean"),
        generation("concat_all_examples", 5, word_agg_scheme="chunk2", segment_agg_scheme="mean"),
        generation("concat_all_examples", 0, word_agg_scheme="relu|chunk3", example_agg_scheme="mean"),
        generation("concat_all_examples", 5, word_agg_scheme="last", norm="L2", segment_agg_scheme="mean"),
        generation("concat_each_example", 5, word_agg_scheme="relu|last", norm="zNorm", segment_agg_scheme="mean"),
        generation("concat_each_example", 5, example_agg_scheme="mean"),
        generation("segment_each_example", 5, segment_agg_scheme="mean", example_agg_scheme="mean"),
        generation("sentence_level_segmentation", 5, segment_agg_scheme="mean", example_agg_scheme="mean"),
        generation("sentence_level_segmentation", 0, example_agg_scheme="mean"),
        generation("merge_all_segments", 5, example_agg_scheme="mean"),
        generation("segment_each_example", 0, task="webqs_dg", example_agg_scheme="mean"),
        generation("sentence_level_segmentation", 0, "hellaswag_dg", "Read.", example_agg_scheme="mean"),
        similarity("concat_all_examples", 5, out_encoding_layer="E"),
        similarity("concat_all_examples", 5, out_word_agg_scheme="last"),
        similarity("no_context"),
        similarity("no_context", norm="L2", encoding_layer="middle", similarity_func="dot_product"),
    ],
)
def test_configurations_that_compute_different_numbers_are_kept_apart(config):
    assert canonical(config) == config


def test_ordinary_scoring_is_its_own_form():
    for config in (
        RunConfig(model="hf", pretrained="x", task="webqs"),
        RunConfig(model="dist_gen", pretrained="x", task="hellaswag_dg", encoding_scheme="cross_encoding"),
    ):
        assert canonical(config) is config


NORMS = (None, "L2", "varNorm", "zNorm")


def settings(base: str, norm: str | None) -> Iterator[dict[str, str | None]]:
    for segment, example in itertools.product((None, "mean"), repeat=2):
        yield {
            "word_agg_scheme": base,
            "segment_agg_scheme": segment,
            "example_agg_scheme": example,
            "norm": norm,
        }


@functools.cache
def encoded(text: str, reduction: Reduction) -> torch.Tensor:
    """The vectors of a segment, its tokens drawn at random but by its text."""
    seed = int.from_bytes(text.encode()[-7:], "big")
    tokens = torch.randn(1, 3, 16, generator=torch.Generator().manual_seed(seed))
    return aggregate_tokens(tokens, torch.ones(1, 3, dtype=torch.bool), [reduction], torch.relu)[reduction]


def concept_vectors(config: RunConfig, examples) -> torch.Tensor:
    """The concept vectors of a context."""
    query, *shots = examples
    dataset = TASKS[config.task].dataset
    context = build_context(dataset, query, tuple(shots), str(config.encoding_scheme), config.description)
    vectors = config.vectors
    reduction = Reduction.of(vectors.context_aggregation, vectors.norm)
    samples = [torch.cat([encoded(segment, reduction) for segment in sample]) for sample in context.samples]
    return aggregate_contexts(
        torch.cat(samples),
        torch.tensor([len(sample) for sample in samples]),
        torch.tensor([len(samples)]),
        segment_agg=vectors.segment_agg_scheme,
        example_agg=vectors.example_agg_scheme,
        norm=vectors.norm,
    ).vectors


@pytest.mark.parametrize("scheme", SEGMENTING_SCHEMES)
@pytest.mark.parametrize("shots", [0, 2])
@pytest.mark.parametrize("task", ["hellaswag_dg", "webqs_dg"])
@pytest.mark.parametrize("norm", NORMS)
def test_what_is_merged_has_the_same_concept_vectors(scheme, shots, task, norm):
    make = hellaswag_row if task == "hellaswag_dg" else webqs_row
    examples = [TASKS[task].dataset.read_row(make(number), "") for number in range(shots + 1)]
    for base, description in itertools.product(("mean", "w1mean", "relu|last", "concat", "chunk2"), ("", "Read.")):
        for chosen in settings(base, norm):
            config = generation(scheme, shots, task, description, **chosen)
            if (form := canonical(config)) == config:
                continue
            own, merged = concept_vectors(config, examples), concept_vectors(form, examples)
            assert own.shape == merged.shape
            assert torch.allclose(own, merged, rtol=0, atol=1e-6), chosen


@pytest.mark.parametrize("scheme", SEGMENTING_SCHEMES)
@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("base", ["mean", "last", "concat", "chunk2"])
def test_the_form_of_a_form_is_itself(scheme, shots, base):
    for norm in NORMS:
        for chosen in settings(base, norm):
            form = canonical(generation(scheme, shots, **chosen))
            assert canonical(form) == form


@pytest.mark.parametrize(
    ("stated", "canonical_form"),
    [
        ({"encoding_layer": "-1"}, {}),
        ({"encoding_layer": "-1", "out_encoding_layer": "-1"}, {}),
        ({"out_encoding_layer": "-1"}, {}),
        ({"encoding_layer": "0", "out_encoding_layer": "0"}, {"encoding_layer": "0"}),
        ({"encoding_layer": "0", "out_encoding_layer": "-1"}, {"encoding_layer": "0", "out_encoding_layer": "-1"}),
        ({"encoding_layer": "-2"}, {"encoding_layer": "-2"}),
    ],
)
def test_the_last_layer_need_not_be_named(stated, canonical_form):
    def form(**vectors):
        settings = VectorSettings.parse(word_agg_scheme="mean", similarity_func="dot_product", **vectors)
        return RunConfig(
            model="dist_sim", pretrained="x", task="hellaswag_d", encoding_scheme="segment_each_example",
            num_fewshot=1, vectors=settings,
        )  # fmt: skip

    assert canonical(form(**stated)) == form(**canonical_form)


# --- passes ---


def test_configurations_that_differ_in_their_vectors_alone_share_a_pass():
    first = generation("concat_each_example", 5)
    assert pass_key(first) == pass_key(generation("concat_each_example", 5, norm="L2", encoding_layer="middle"))
    assert pass_key(first) != pass_key(generation("concat_each_example", 5, add_pos="True"))
    assert pass_key(first) != pass_key(generation("concat_each_example", 4))
    assert pass_key(first) != pass_key(generation("concat_all_examples", 5))


# --- identity ---


@pytest.fixture
def config(tmp_path) -> RunConfig:
    return RunConfig(
        model="dist_gen",
        pretrained=str(write_model_folder(tmp_path / "model")),
        task="hellaswag_dg",
        encoding_scheme="concat_each_example",
        num_fewshot=2,
        limit=Limit(0, 5),
        data_dir=str(write_world(tmp_path / "data")),
        vectors=VectorSettings.parse(word_agg_scheme="mean"),
    )


def name(config: RunConfig) -> str:
    return fingerprint(identify(config))


@pytest.mark.parametrize(
    "change",
    [
        {"limit": Limit(0, 6)},
        {"limit": Limit(1, 5)},
        {"limit": Limit()},
        {"num_fewshot": 3},
        {"num_fewshot": 0},
        {"encoding_scheme": "segment_each_example"},
        {"dtype": "float32"},
        {"dtype": "bfloat16"},
        {"description": "Read."},
        {"task": "webqs_dg"},
        {"data_dir": None},
        {"pretrained": "some/model"},
        {"vectors": VectorSettings.parse(word_agg_scheme="w1mean")},
        {"vectors": VectorSettings.parse(word_agg_scheme="mean", norm="L2")},
        {"vectors": VectorSettings.parse(word_agg_scheme="mean", example_agg_scheme="mean")},
        {"vectors": VectorSettings.parse(word_agg_scheme="mean", encoding_layer="E")},
        {"vectors": VectorSettings.parse(word_agg_scheme="mean", add_pos="True")},
        {"vectors": VectorSettings.parse(word_agg_scheme="mean", decoding_scheme="parameterless_attention")},
    ],
)
def test_whatever_decides_the_numbers_is_part_of_the_identity(config, change):
    assert name(replace(config, **change)) != name(config)


def test_a_hub_model_is_known_by_its_name_and_revision(config):
    names = {
        name(replace(config, pretrained=pretrained, revision=revision))
        for pretrained, revision in itertools.product(["some/model", "some/other"], [None, "main", "v2"])
    }
    assert len(names) == 6


def test_a_local_model_is_known_by_the_content_of_all_its_files(config, tmp_path):
    others = [
        write_model_folder(tmp_path / "weights", "other weights"),
        write_model_folder(tmp_path / "config", n_layer=3),
        write_model_folder(tmp_path / "tokenizer"),
    ]
    (others[2] / "tokenizer.json").write_text("[]")
    names = {name(replace(config, pretrained=str(folder))) for folder in others}
    assert len(names | {name(config)}) == 4


def test_a_model_folder_whose_content_changes_is_another_model(config, tmp_path):
    before = name(config)
    (tmp_path / "model" / "model.safetensors").write_text("retrained")
    assert name(config) != before


def test_the_place_of_model_and_data_is_no_part_of_the_identity(config, tmp_path):
    shutil.copytree(tmp_path / "model", tmp_path / "elsewhere" / "another name")
    shutil.copytree(tmp_path / "data", tmp_path / "elsewhere" / "data")
    moved = replace(
        config, pretrained=str(tmp_path / "elsewhere" / "another name"), data_dir=str(tmp_path / "elsewhere" / "data")
    )
    assert name(moved) == name(config)
    assert identify(moved) == identify(config)


def test_hidden_files_and_subfolders_of_a_model_are_no_part_of_it(config, tmp_path):
    before = name(config)
    (tmp_path / "model" / ".cache").write_text("x")
    (tmp_path / "model" / "logs").mkdir()
    (tmp_path / "model" / "logs" / "x").write_text("x")
    assert name(config) == before


@pytest.mark.parametrize("split", ["validation", "train"])
def test_changed_data_are_other_data(config, tmp_path, split):
    before = name(config)
    write_rows(tmp_path / "data" / "hellaswag" / f"{split}.jsonl", [hellaswag_row(number) for number in range(7)])
    assert name(config) != before


def test_training_rows_do_not_matter_without_shots(config, tmp_path):
    bare = replace(config, num_fewshot=0)
    before = name(bare)
    write_rows(tmp_path / "data" / "hellaswag" / "train.jsonl", [hellaswag_row(3)])
    assert name(bare) == before
    (tmp_path / "data" / "hellaswag" / "train.jsonl").unlink()
    assert name(bare) == before


@pytest.mark.parametrize("spelling", ["5", 5, "0:5", ":5", " 5 "])
def test_equal_limits_are_one_however_they_are_spelt(config, spelling):
    assert name(replace(config, limit=Limit.parse(spelling))) == name(config)


def test_neither_shots_nor_training_rows_nor_description_are_part_of_a_control(config, tmp_path):
    bare = replace(config, encoding_scheme="no_context", vectors=VectorSettings(), num_fewshot=0)
    told = replace(bare, num_fewshot=5, description="Read.")
    before = name(bare)
    assert name(told) == before
    (tmp_path / "data" / "hellaswag" / "train.jsonl").unlink()
    assert name(told) == before
    assert name(replace(bare, limit=Limit(0, 6))) != before
    assert name(replace(bare, encoding_scheme="cross_encoding")) != before
    assert name(replace(bare, vectors=VectorSettings.parse(decoding_scheme="parameterless_attention"))) != before


def test_configurations_that_are_merged_have_one_identity(config):
    aggregated = replace(config, vectors=replace(config.vectors, segment_agg_scheme="mean"))
    assert identify(aggregated) == identify(config)


def test_a_missing_model_folder_or_data_file_is_refused(config, tmp_path):
    with pytest.raises(ConfigurationError, match=r"nowhere.* does not exist; it must hold the validation rows"):
        identify(replace(config, data_dir=str(tmp_path / "nowhere")))
    with pytest.raises(ConfigurationError, match="no such model folder"):
        identify(replace(config, pretrained=str(tmp_path / "nowhere")))


def test_the_order_of_an_identity_does_not_change_its_fingerprint(config):
    identity = identify(config)
    assert fingerprint(dict(reversed(identity.items()))) == fingerprint(identity)


def test_settings_are_looked_up_in_any_order_and_never_among_those_of_other_types():
    identity = {"model": "dist_sim", "num_fewshot": 0, "settings": {"NORM": "L2", "ADD_POS": "True"}}
    assert settings_key(identity) == settings_key(
        {**identity, "settings": {"ADD_POS": "True", "NORM": "L2"}, "limit": "3"}
    )
    others = ({**identity, "num_fewshot": False}, {**identity, "settings": {"NORM": "L2", "ADD_POS": True}}, {})
    assert all(settings_key(other) != settings_key(identity) for other in others)
