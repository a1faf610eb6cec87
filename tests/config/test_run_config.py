"""Configurations: what goes together, the limit, and the strings of the command line and of result files."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lm_eval.config.limit import Limit
from lm_eval.config.run_config import ENCODING_SCHEMES, SEGMENTING_SCHEMES, RunConfig
from lm_eval.config.settings import VectorSettings
from lm_eval.errors import ConfigurationError

SIMILARITY = "WORD_AGG_SCHEME=mean,SIMILARITY_FUNC=dot_product,pretrained=x"
GENERATION = "WORD_AGG_SCHEME=mean,pretrained=x"


def parse(model: str, model_args: str, task_args: str | None = "encoding_scheme=concat_all_examples", **changes):
    fields = {"task": "any", "num_fewshot": 0, **changes}
    return RunConfig.parse(model=model, model_args=model_args, task_args=task_args, **fields)


# --- limit ---


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [
        (None, Limit(0, None), "None"),
        ("None", Limit(0, None), "None"),
        (5, Limit(0, 5), "5"),
        ("5", Limit(0, 5), "5"),
        (" 5 ", Limit(0, 5), "5"),
        ("0:5", Limit(0, 5), "5"),
        (":5", Limit(0, 5), "5"),
        ("3:5", Limit(3, 5), "3:5"),
        ("3:", Limit(3, None), "3:"),
        (":", Limit(0, None), "None"),
        ("0:", Limit(0, None), "None"),
        (Limit(2, 3), Limit(2, 3), "2:3"),
    ],
)
def test_a_limit_is_a_number_of_documents_or_a_slice(value, limit, text):
    assert Limit.parse(value) == limit
    assert str(limit) == text


@given(st.integers(0, 50), st.none() | st.integers(1, 50))
def test_a_limit_is_parsed_back_from_its_text(start, length):
    limit = Limit(start, None if length is None else start + length)
    assert Limit.parse(str(limit)) == limit


@pytest.mark.parametrize("value", [-1, "-1", "x", 1.5, "1.5", True, False, "", "1:2:3", "-1:4", "1:-1", "1-3", "1 2"])
def test_another_form_of_limit_is_refused(value):
    message = f"limit must be an integer N or START:END, both non-negative, got {value!r}"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Limit.parse(value)


@pytest.mark.parametrize("value", [0, "0", "5:5", "9:3", "0:0", ":0"])
def test_a_limit_that_is_empty_whatever_the_data_is_refused(value):
    message = f"limit {value!r} selects no document; START must be below END"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        Limit.parse(value)


# --- what goes together ---


@pytest.mark.parametrize(
    ("model", "model_args", "task_args", "message"),
    [
        ("dist", GENERATION, "", "unknown model 'dist'; choose from dist_sim, dist_gen, hf, gpt2"),
        ("dist_gen", "WORD_AGG_SCHEME=mean", "", "model_args: pretrained= is missing; give a hub name or a local"),
        ("dist_gen", "pretrained=None", "", "model_args: pretrained= is missing; give a hub name or a local folder"),
        ("dist_gen", "", "", "model_args: pretrained= is missing"),
        ("dist_gen", GENERATION, "", "task_args: encoding_scheme= is missing for dist_gen; choose from concat_all_ex"),
        ("dist_sim", SIMILARITY, None, "task_args: encoding_scheme= is missing for dist_sim; choose from concat_all"),
        (
            *("dist_gen", GENERATION, "encoding_scheme=sentences"),
            f"unknown encoding scheme 'sentences'; choose from {', '.join(ENCODING_SCHEMES)}",
        ),
        (
            *("dist_sim", SIMILARITY, "encoding_scheme=cross_encoding"),
            "encoding_scheme=cross_encoding: dist_sim compares vectors of segments, so it needs another scheme; choose",
        ),
        (
            *("dist_gen", GENERATION, "encoding_scheme=cross_encoding"),
            "WORD_AGG_SCHEME=mean: cross_encoding aggregates nothing; leave it out or set it to None",
        ),
        (
            *("dist_gen", f"{GENERATION},NORM=L2,ADD_POS=True", "encoding_scheme=no_context"),
            "WORD_AGG_SCHEME=mean,NORM=L2,ADD_POS=True: no_context aggregates nothing; leave it out or set it to None",
        ),
        (
            *(
                "dist_sim",
                f"{SIMILARITY},SEGMENT_AGG_SCHEME=mean,EXAMPLE_AGG_SCHEME=mean",
                "encoding_scheme=no_context",
            ),
            "SEGMENT_AGG_SCHEME=mean,EXAMPLE_AGG_SCHEME=mean: no_context has no segments, examples or places in a co",
        ),
        (
            *("dist_sim", f"{SIMILARITY},ADD_POS=True", "encoding_scheme=no_context"),
            "ADD_POS=True: no_context has no segments, examples or places in a context; leave it out or set it to None",
        ),
        (
            *("dist_sim", "SIMILARITY_FUNC=dot_product,pretrained=x", "encoding_scheme=no_context"),
            "model_args: WORD_AGG_SCHEME= is missing for dist_sim; choose from mean, w1mean, last",
        ),
        (
            *("dist_sim", GENERATION, "encoding_scheme=no_context"),
            "model_args: SIMILARITY_FUNC= is missing for dist_sim; choose from dot_product, cosine_sim",
        ),
        (
            "hf",
            "pretrained=x",
            "encoding_scheme=no_context",
            "encoding_scheme= is for dist_sim and dist_gen; hf scores",
        ),
    ],
)
def test_a_configuration_that_lacks_or_mixes_things_is_refused(model, model_args, task_args, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        parse(model, model_args, task_args)


@pytest.mark.parametrize(
    ("model", "model_args", "message"),
    [
        (
            *("dist_sim", "WORD_AGG_SCHEME=concat,SIMILARITY_FUNC=cosine_sim,pretrained=x"),
            "WORD_AGG_SCHEME=concat: several vectors a segment are for dist_gen only; choose mean, w1mean or last",
        ),
        (
            *("dist_sim", f"{SIMILARITY},OUT_WORD_AGG_SCHEME=relu|concat"),
            "OUT_WORD_AGG_SCHEME=relu|concat: several vectors a segment are for dist_gen only; choose mean, w1mean or",
        ),
        (
            *("dist_sim", "SIMILARITY_FUNC=dot_product,pretrained=x"),
            "model_args: WORD_AGG_SCHEME= is missing for dist_sim; choose from mean, w1mean, last",
        ),
        (
            *("dist_sim", GENERATION),
            "model_args: SIMILARITY_FUNC= is missing for dist_sim; choose from dot_product, cosine_sim",
        ),
        (
            *("dist_sim", f"{SIMILARITY},DECODING_SCHEME=parameterless_attention"),
            "DECODING_SCHEME=parameterless_attention: dist_sim decodes nothing; leave it out or set it to None",
        ),
        (
            *("dist_gen", "pretrained=x"),
            "model_args: WORD_AGG_SCHEME= is missing for dist_gen; choose from mean, w1mean, last, concat",
        ),
        (
            *("dist_gen", f"{GENERATION},EXAMPLE_AGG_SCHEME=soft_cluster"),
            "EXAMPLE_AGG_SCHEME=soft_cluster is for dist_sim only; choose from None, mean",
        ),
        (
            *("dist_gen", f"{GENERATION},SIMILARITY_FUNC=dot_product,OUT_ENCODING_LAYER=E,OUT_WORD_AGG_SCHEME=last"),
            "SIMILARITY_FUNC=dot_product,OUT_WORD_AGG_SCHEME=last,OUT_ENCODING_LAYER=E: this setting is for dist_sim",
        ),
        (
            *("dist_gen", f"{GENERATION},NOISE=1,x=2"),
            "model_args: unknown key NOISE, x; choose from pretrained, revision, dtype, subfolder, gguf_file",
        ),
        (
            "dist_gen",
            f"{GENERATION},norm=L2",
            "model_args: unknown key norm (did you mean 'NORM'?); choose from pretrained",
        ),
        ("dist_gen", f"{GENERATION},pretrained=y", "model_args: pretrained is given twice"),
        (
            *("dist_gen", f"{GENERATION},dtype=fp16"),
            "dtype: unknown value 'fp16'; choose from float32, float16, bfloat16",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(model, model_args, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        parse(model, model_args)


@pytest.mark.parametrize("setting", ["SEGMENT_AGG_SCHEME=mean", "NORM=L2", "ENCODING_LAYER=0", "ADD_POS=True"])
def test_ordinary_scoring_takes_no_setting_of_vectors(setting):
    for model, task_args, why in (
        ("dist_gen", "encoding_scheme=cross_encoding", "cross_encoding aggregates nothing"),
        ("hf", "", "hf scores text in the ordinary way and aggregates nothing"),
        ("gpt2", "", "hf scores text in the ordinary way and aggregates nothing"),
    ):
        with pytest.raises(ConfigurationError, match=f"{setting}: {why}; leave it out or set it to None"):
            parse(model, f"{setting},pretrained=x", task_args)


def test_the_baseline_and_the_control_may_be_decoded_without_parameters_and_hf_not():
    decoding = "DECODING_SCHEME=parameterless_attention"
    for scheme in ("cross_encoding", "no_context"):
        config = parse("dist_gen", f"{decoding},pretrained=x", f"encoding_scheme={scheme}")
        assert config.vectors == VectorSettings.parse(decoding_scheme="parameterless_attention")
    with pytest.raises(ConfigurationError, match=f"{decoding}: hf scores text in the ordinary way"):
        parse("hf", f"{decoding},pretrained=x", "")


def test_ordinary_scoring_takes_no_encoding_scheme():
    with pytest.raises(ConfigurationError, match="encoding_scheme= is for dist_sim and dist_gen; hf scores the whole"):
        parse("hf", "pretrained=x", "encoding_scheme=cross_encoding")


@pytest.mark.parametrize(
    ("task_args", "meant"),
    [("scheme=x", ""), ("ENCODING_SCHEME=concat_all_examples", " (did you mean 'encoding_scheme'?)")],
)
def test_an_unknown_task_argument_is_refused(task_args, meant):
    message = f"task_args: unknown key {task_args.partition('=')[0]}{meant}; choose from encoding_scheme, data_dir"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        parse("dist_gen", GENERATION, task_args)


@pytest.mark.parametrize("seed", [-1, True, 2**63])
def test_a_seed_is_an_integer_that_every_reader_of_results_takes(seed):
    with pytest.raises(
        ConfigurationError, match=re.escape(f"seed must be an integer from 0 to 2**63 - 1, got {seed!r}")
    ):
        RunConfig(model="hf", pretrained="x", task="any", seed=seed)


@pytest.mark.parametrize("num_fewshot", [-1, True, False])
def test_shots_are_a_non_negative_integer(num_fewshot):
    message = f"num_fewshot must be a non-negative integer, got {num_fewshot!r}"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        RunConfig(model="hf", pretrained="x", task="any", num_fewshot=num_fewshot)


@pytest.mark.parametrize("key", ["pretrained", "data_dir"])
def test_a_comma_in_a_path_is_refused_because_the_strings_could_not_hold_it(key):
    with pytest.raises(ConfigurationError, match=f"{key}: 'a,b' contains a comma, which separates settings; rename it"):
        RunConfig(**{"model": "hf", "pretrained": "x", "task": "any", key: "a,b"})


def test_gpt2_is_another_name_of_hf():
    assert parse("gpt2", "pretrained=x", "") == parse("hf", "pretrained=x", None)
    assert parse("gpt2", "pretrained=x", "").model == "hf"


@pytest.mark.parametrize(
    ("model", "scheme", "expected"),
    [
        ("hf", None, False),
        ("dist_gen", "cross_encoding", False),
        ("dist_gen", "no_context", False),
        ("dist_sim", "no_context", False),
        ("dist_gen", "concat_all_examples", True),
        ("dist_sim", "merge_all_segments", True),
    ],
)
def test_contexts_are_segmented_unless_they_are_scored_in_the_ordinary_way(model, scheme, expected):
    args = {"dist_sim": SIMILARITY, "dist_gen": GENERATION if expected else "pretrained=x", "hf": "pretrained=x"}[model]
    config = parse(model, args, None if scheme is None else f"encoding_scheme={scheme}")
    assert config.is_segmented is expected
    assert config.has_context is (scheme != "no_context")


# --- strings ---


def test_a_result_file_states_older_settings_always_and_others_where_set():
    config = parse("dist_sim", f"{SIMILARITY},NORM=L2,OUT_ENCODING_LAYER=OE,dtype=float16,device_map=auto")
    assert config.model_args() == (
        "WORD_AGG_SCHEME=mean,SEGMENT_AGG_SCHEME=None,EXAMPLE_AGG_SCHEME=None,NORM=L2,SIMILARITY_FUNC=dot_product,"
        "ENCODING_LAYER=None,OUT_ENCODING_LAYER=OE,pretrained=x,dtype=float16"
    )
    assert config.task_args() == "encoding_scheme=concat_all_examples"


def test_ordinary_scoring_states_no_setting():
    assert parse("hf", "NORM=None,pretrained=x,revision=main", "").model_args() == "pretrained=x,revision=main"
    assert parse("hf", "pretrained=x", "").task_args() == ""
    for scheme in ("cross_encoding", "no_context"):
        assert parse("dist_gen", "pretrained=x", f"encoding_scheme={scheme}").model_args() == "pretrained=x"


def test_the_control_in_similarity_states_the_older_settings_as_any_similarity_does():
    assert parse("dist_sim", SIMILARITY, "encoding_scheme=no_context").model_args() == (
        "WORD_AGG_SCHEME=mean,SEGMENT_AGG_SCHEME=None,EXAMPLE_AGG_SCHEME=None,NORM=None,SIMILARITY_FUNC=dot_product,"
        "ENCODING_LAYER=None,pretrained=x"
    )


schemes = st.sampled_from(SEGMENTING_SCHEMES)
prefixes = st.sampled_from(["", "relu|", "-relu|zNorm+|"])
paths = st.text("aB0-_./ =~é", min_size=1).map(str.strip).filter(lambda text: text not in ("", "None"))
layers = st.none() | st.sampled_from(["middle", "E"]) | st.integers(-9, 9).map(str)
common_settings = {
    "segment_agg_scheme": st.sampled_from([None, "mean"]),
    "norm": st.sampled_from([None, "L2", "varNorm", "zNorm"]),
    "encoding_layer": layers,
    "add_pos": st.sampled_from([None, "True"]),
}
similarity_settings = st.fixed_dictionaries(
    {
        **common_settings,
        "word_agg_scheme": st.builds(str.__add__, prefixes, st.sampled_from(["mean", "w1mean", "last"])),
        "out_word_agg_scheme": st.sampled_from([None, "mean", "relu|last"]),
        "out_encoding_layer": layers | st.just("OE"),
        "example_agg_scheme": st.sampled_from([None, "mean", "soft_cluster"]),
        "similarity_func": st.sampled_from(["dot_product", "cosine_sim"]),
    }
)
control_settings = similarity_settings.map(
    lambda drawn: {**drawn, **dict.fromkeys(("segment_agg_scheme", "example_agg_scheme", "add_pos"))}
)
generation_settings = st.fixed_dictionaries(
    {
        **common_settings,
        "word_agg_scheme": st.builds(
            str.__add__, prefixes, st.sampled_from(["mean", "w1mean", "last", "concat", "chunk2"])
        ),
        "example_agg_scheme": st.sampled_from([None, "mean"]),
        "decoding_scheme": st.sampled_from([None, "parameterless_attention"]),
    }
)


def _fields(model: str, scheme: st.SearchStrategy, settings: st.SearchStrategy) -> st.SearchStrategy[dict]:
    return st.fixed_dictionaries(
        {
            "model": st.just(model),
            "pretrained": paths,
            "task": st.sampled_from(["hellaswag_d", "webqs_dg"]),
            "encoding_scheme": scheme,
            "num_fewshot": st.integers(0, 5),
            "limit": st.sampled_from([Limit(), Limit(0, 5), Limit(2, 9), Limit(4, None)]),
            "vectors": settings,
            "revision": st.none() | st.just("main"),
            "dtype": st.sampled_from([None, "float32", "float16", "bfloat16"]),
            "data_dir": st.none() | paths,
            "description": st.sampled_from(["", "Continue the text, please: a=b"]),
        }
    )


fields_of_configs = (
    _fields("dist_sim", schemes, similarity_settings)
    | _fields("dist_gen", schemes, generation_settings)
    | _fields("dist_gen", st.sampled_from(["cross_encoding", "no_context"]), st.just({}))
    | _fields("dist_sim", st.just("no_context"), control_settings)
    | _fields("hf", st.none(), st.just({}))
)


def build(fields: dict) -> RunConfig:
    """Make the configuration; not within a strategy, because the type checker draws random numbers."""
    return RunConfig(**{**fields, "vectors": VectorSettings.parse(**fields["vectors"])})


@given(fields_of_configs)
def test_a_configuration_is_parsed_back_from_its_strings(fields):
    config = build(fields)
    parsed = RunConfig.parse(
        model=config.model,
        model_args=config.model_args(),
        task=config.task,
        task_args=config.task_args(),
        num_fewshot=config.num_fewshot,
        limit=str(config.limit),
        description=config.description,
    )
    assert parsed == config
    assert hash(parsed) == hash(config)
