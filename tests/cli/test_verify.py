"""A run is verified the plain way, document by document."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lm_eval.cli.evaluate import main
from lm_eval.errors import ConfigurationError
from lm_eval.evaluator import simple_evaluate
from tests.support.tiny_models import FAMILIES, save_tiny


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> Callable[[str], Path]:
    """The folder of a tiny model of each family, written once."""
    folder = tmp_path_factory.mktemp("verified")
    return functools.cache(lambda family: save_tiny(family, folder / family, max_length=512))


@pytest.mark.parametrize(
    ("model", "tasks", "model_args", "task_args"),
    [
        ("dist_gen", "hellaswag_dg", "", "encoding_scheme=cross_encoding"),
        ("dist_gen", "hellaswag_dg", "", "encoding_scheme=no_context"),
        ("dist_sim", "hellaswag_d", ",WORD_AGG_SCHEME=mean,SIMILARITY_FUNC=dot_product", "encoding_scheme=no_context"),
        ("dist_gen", "hellaswag_dg", ",WORD_AGG_SCHEME=mean,ENCODING_LAYER=1", "encoding_scheme=concat_each_example"),
        (
            "dist_sim",
            "hellaswag_d",
            ",WORD_AGG_SCHEME=w1mean,SIMILARITY_FUNC=cosine_sim",
            "encoding_scheme=merge_all_segments",
        ),
        ("hf", "webqs", "", ""),
        (
            "dist_gen",
            "hellaswag_dg",
            ",WORD_AGG_SCHEME=last,DECODING_SCHEME=parameterless_attention",
            "encoding_scheme=sentence_level_segmentation",
        ),
    ],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_is_verified_the_plain_way(family, model, tasks, model_args, task_args, data_dir, folders):
    result = simple_evaluate(
        model=model,
        model_args=f"pretrained={folders(family)}{model_args}",
        tasks=tasks,
        task_args=f"{task_args},data_dir={data_dir}".lstrip(","),
        num_fewshot=2,
        limit=6,
        verify=4,
    )
    verification = result["verification"][tasks]
    assert verification["num_documents"] == 4
    assert verification["largest_difference"] < 1e-4
    assert verification["flipped"] == []


def test_a_verification_finds_what_the_engine_gets_wrong(folders, data_dir, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("lm_eval.inference.prefix_sharing.Row.positions", lambda row: torch.arange(len(row)))
    arguments = [
        "--model",
        "dist_gen",
        "--model_args",
        f"pretrained={folders('gpt2')}",
        "--tasks",
        "hellaswag_dg",
        "--limit",
        "5",
    ]
    more = ["--task_args", f"encoding_scheme=cross_encoding,data_dir={data_dir}", "--output_dir", str(tmp_path)]
    assert main([*arguments, *more, "--verify", "5"]) == 0
    printed = capsys.readouterr().out
    assert "verified 5 documents the plain way: largest difference" in printed
    (path,) = tmp_path.glob("*.json")
    assert json.loads(path.read_text())["verification"]["hellaswag_dg"]["largest_difference"] > 1e-3


def test_a_negative_number_of_documents_to_verify_is_refused(folders, data_dir):
    with pytest.raises(ConfigurationError, match="verify must be a non-negative number of documents, got -1"):
        simple_evaluate(model="hf", model_args=f"pretrained={folders('gpt2')}", tasks="webqs", verify=-1)
