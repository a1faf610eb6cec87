"""Results folders as one table: columns, duplicates, files that can't be read, the cache, thousands of files."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lm_eval.analysis.runs import METRICS, describe_columns, family_of, read_runs
from lm_eval.config.checkpoint import Checkpoint
from lm_eval.config.limit import Limit
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.grid.grid import CommonOptions
from lm_eval.results.failures import Failure, write_failure
from tests.support.grids import expand, grid
from tests.support.results import put, result_of
from tests.support.runs import fake_runs


@pytest.fixture
def config() -> RunConfig:
    (config,) = expand(grid(models=["some/tiny-70m"], num_fewshot=[2]), CommonOptions(limit=Limit(0, 4)))
    return config


def test_a_run_is_a_row_of_settings_metrics_and_provenance(config, tmp_path):
    run = {"num_documents": 4, "seconds": 1.5, "finished": "2026-01-01", "host": "h", "code": {"version": "1"}}
    path = put(tmp_path, "a.json", result_of(config, 0.75, older=False, parameters=70_000_000, **run))
    (row,) = read_runs([tmp_path]).table.to_dict("records")
    expected = {
        "task": "hellaswag_dg", "dataset": "hellaswag", "kind": "dist_gen", "pretrained": "some/tiny-70m",
        "model": "tiny-70m", "family": "tiny", "size_b": 0.07, "encoding_scheme": "concat_each_example",
        "num_fewshot": 2, "limit": "4", "WORD_AGG_SCHEME": "mean", "NORM": None, "dtype": "float32",
        "acc": 0.75, "acc_stderr": 0.1, "rand_acc": 0.25, "num_documents": 4.0, "seconds": 1.5, "host": "h",
        "code": "1", "path": str(path), "is_older": False,
    }  # fmt: skip
    assert {key: row[key] for key in expected} == expected
    assert np.isnan(row["acc_norm"])
    assert list(row) == list(describe_columns())


def test_columns_have_the_same_types_whatever_is_in_the_folder(config, tmp_path):
    put(tmp_path, "a.json", result_of(config))
    (tmp_path / "none").mkdir()
    empty, one = read_runs([tmp_path / "none"]).table, read_runs([tmp_path]).table
    assert len(empty) == 0
    assert dict(empty.dtypes) == dict(one.dtypes)
    assert all(one[metric].dtype == "float64" for metric in METRICS)


def test_one_folder_may_be_given_as_it_is_and_the_same_one_twice_counts_once(config, tmp_path):
    put(tmp_path, "a.json", result_of(config))
    for folders in (tmp_path, str(tmp_path), [str(tmp_path), tmp_path]):
        runs = read_runs(folders)
        assert (len(runs.table), runs.num_duplicates) == (1, 0)


def test_folders_that_are_not_there_are_named_together(tmp_path):
    with pytest.raises(ConfigurationError, match=r"one, .*two: no such folder; .*`make demo` fill"):
        read_runs([tmp_path / "one", tmp_path, tmp_path / "two"])


def test_of_several_results_of_one_configuration_the_newest_counts(config, tmp_path):
    put(tmp_path, "a.json", result_of(config, 0.1), changed=1000)
    put(tmp_path, "b.json", result_of(config, 0.2), changed=3000)
    put(tmp_path / "other", "c.json", result_of(config, 0.3), changed=2000)
    runs = read_runs([tmp_path, tmp_path / "other"])
    assert (list(runs.table["acc"]), runs.num_duplicates) == ([0.2], 2)


def test_other_revisions_adapters_and_bits_of_a_checkpoint_are_other_configurations(config, tmp_path):
    ways = ({"revision": "step1000"}, {"checkpoint": Checkpoint(load_in_4bit=True)}, {"revision": "main"}, {})
    for number, way in enumerate(ways):
        put(tmp_path, f"{number}.json", result_of(replace(config, **way), number / 10), changed=1000 + number)
    runs = read_runs(tmp_path)
    assert runs.num_duplicates == 1
    found = dict(zip(runs.table["loading"], runs.table["acc"], strict=True))
    assert found == {"revision=step1000": 0.0, "load_in_4bit=True": 0.1, None: 0.3}


def test_equal_meanings_are_one_configuration_and_what_differs_is_not(config, tmp_path):
    bare = replace(config, num_fewshot=0)
    put(tmp_path, "a.json", result_of(bare))
    put(tmp_path, "b.json", result_of(replace(bare, encoding_scheme="segment_each_example")))
    put(tmp_path, "c.json", result_of(replace(bare, limit=Limit(0, 5))))
    put(tmp_path, "d.json", result_of(replace(bare, data_dir="/elsewhere")))
    runs = read_runs([tmp_path])
    assert (len(runs.table), runs.num_duplicates) == (3, 1)
    assert set(runs.table["encoding_scheme"]) == {"concat_all_examples"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "Expecting value"),
        ('{"results": {', "Expecting property name"),
        ("[]", "not a result file"),
        ('{"results": {"hellaswag_dg": {"acc": NaN}}}', "acc of hellaswag_dg of results is nan"),
    ],
)
def test_what_cannot_be_read_is_listed_and_the_rest_is_read(config, tmp_path, content, why):
    good = put(tmp_path, "good.json", result_of(config))
    bad = put(tmp_path, "bad.json", content)
    write_failure(tmp_path, *fake_runs([config]), Failure(message="no luck"))
    runs = read_runs([tmp_path])
    assert list(runs.table["path"]) == [str(good)]
    assert list(runs.unreadable) == [bad]
    assert why in runs.unreadable[bad]


def test_a_file_is_only_read_again_when_it_has_changed(config, tmp_path, monkeypatch):
    cache = tmp_path / "cache" / "runs.parquet"
    for number in range(4):
        put(tmp_path, f"{number}.json", result_of(replace(config, num_fewshot=number + 1)))
    first = read_runs([tmp_path], cache=cache)
    asked: list[Path] = []
    read = __import__("lm_eval.analysis.runs", fromlist=["read_results"]).read_results
    monkeypatch.setattr("lm_eval.analysis.runs.read_results", lambda path: asked.append(path) or read(path))
    again = read_runs([tmp_path], cache=cache)
    assert asked == []
    pd.testing.assert_frame_equal(first.table, again.table)
    changed = put(tmp_path, "2.json", result_of(replace(config, num_fewshot=3), 0.75))
    (tmp_path / "0.json").unlink()
    new = put(tmp_path, "9.json", result_of(replace(config, num_fewshot=9)))
    table = read_runs([tmp_path], cache=cache).table
    assert sorted(asked) == sorted([changed, new])
    assert sorted(table["num_fewshot"]) == [2, 3, 4, 9]
    assert table.set_index("num_fewshot")["acc"][3] == 0.75


@pytest.mark.parametrize("damage", [b"", b"PAR1 nonsense", None])
def test_a_damaged_cache_is_made_again(config, tmp_path, damage):
    cache = tmp_path / "runs.parquet"
    put(tmp_path, "a.json", result_of(config))
    if damage is None:
        pd.DataFrame({"other": [1]}).to_parquet(cache)
    else:
        cache.write_bytes(damage)
    assert len(read_runs([tmp_path], cache=cache).table) == 1
    assert len(pd.read_parquet(cache)) == 1


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("EleutherAI/pythia-1.4b-deduped", "pythia"),
        ("EleutherAI/gpt-neo-2.7B", "gpt-neo"),
        ("EleutherAI/gpt-j-6B", "gpt-j"),
        ("databricks/dolly-v2-12b", "dolly"),
        ("google/flan-t5-xxl", "flan-t5"),
        ("google/flan-ul2", "flan"),
        ("bigscience/bloomz-7b1", "bloomz"),
        ("/my/models/tiny", "tiny"),
        ("gpt2", "gpt2"),
    ],
)
def test_models_are_grouped_by_the_beginning_of_their_names(name, family):
    assert family_of(name) == family


@pytest.mark.reference
def test_older_files_are_read(reference):
    runs = read_runs([reference / "legacy_results"])
    assert len(runs.table) + runs.num_duplicates == 13
    assert runs.unreadable == {}
    assert runs.table["is_older"].all()


@pytest.mark.reference
def test_the_whole_published_study_is_read_in_seconds(study_dir, tmp_path):
    folders = sorted(study_dir.iterdir())
    began = time.process_time()
    runs = read_runs(folders, cache=tmp_path / "cache.parquet")
    first_s = time.process_time() - began
    began = time.process_time()
    again = read_runs(folders, cache=tmp_path / "cache.parquet")
    again_s = time.process_time() - began
    assert len(runs.table) + runs.num_duplicates == 9103
    pd.testing.assert_frame_equal(runs.table, again.table)
    assert again_s < first_s < 60  # 1.5 s and 0.6 s of a processor
