"""The embedded world and models, and the demonstration that runs both tests on them."""

import json
from pathlib import Path

import pytest

from demo import make_demo
from demo import run_demo as demo
from demo.first_screen import BASELINE, COMPRESSED, CONTROL, draw_first_screen, say_test_2, share_kept
from lm_eval.config.run_config import RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.config.settings import VectorSettings
from lm_eval.inference.loading import load_for
from lm_eval.models.families import FAMILIES
from lm_eval.models.info import read_facts
from lm_eval.models.model_list import DEMO, DEMO_MODELS, demo_models, list_models, read_model_list
from lm_eval.results.identity import resolve
from lm_eval.results.result_file import StoredResult, read_results
from lm_eval.scoring.run_pass import evaluate_many
from tests.support.grid_runs import run_demo
from tests.support.results import put, result_of

MEGABYTE = 1 << 20


@pytest.mark.parametrize("num_fewshot", [0, 5])
@pytest.mark.parametrize("name", DEMO_MODELS)
def test_the_baseline_on_the_embedded_models_is_far_above_chance(name, num_fewshot):
    config = RunConfig.parse(
        model="dist_gen",
        model_args=f"pretrained={DEMO / 'models' / name}",
        task="hellaswag_dg",
        task_args=f"encoding_scheme=cross_encoding,data_dir={DEMO / 'data'}",
        num_fewshot=num_fewshot,
        limit=200,
    )
    evaluation = evaluate_many([resolve(config)], load_for(config, Execution()), Execution())[0]
    assert evaluation.metrics()["acc"] >= 0.6
    assert evaluation.record.num_truncated == 0


def test_the_embedded_models_are_small_and_of_the_stated_architecture():
    size = sum(path.stat().st_size for path in (DEMO / "models").rglob("*") if path.is_file())
    assert size < 6 * MEGABYTE
    for folder in demo_models(None):
        assert read_facts(folder).family.architecture == DEMO_MODELS[Path(folder).name]


def text_of(dataset: str, split: str) -> str:
    return (DEMO / "data" / dataset / f"{split}.jsonl").read_text()


def test_no_embedded_document_is_both_shown_and_scored():
    for dataset, splits in {"hellaswag": ("train", "validation"), "webqs": ("train", "test")}.items():
        shown, scored = (
            {json.dumps({**json.loads(line), "ind": 0}) for line in text_of(dataset, split).splitlines()}
            for split in splits
        )
        assert shown.isdisjoint(scored)


def test_listed_models_are_of_known_families_and_sorted_by_size():
    sizes = [model.size_b for model in read_model_list()]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) > len(list_models()) == 19
    assert len(list_models(arch_type="decoder-only", max_size=14)) == 12
    assert len(list_models(arch_type="encoder-decoder", max_size=14)) == 4
    assert set(FAMILIES) >= {"gpt_neo", "gptj", "gpt_neox", "t5"}


@pytest.mark.slow
@pytest.mark.ray
def test_the_demonstration_runs_everything_once_and_shows_its_point(demo_run):
    results, first = demo_run
    header, *rows = first.partition("Test 1 in five rows")[2].split("\n\n")[1].splitlines()
    assert header.split()[-2:] == ["demo-t5", "demo-gpt"]
    assert [row[2:38].rstrip() for row in rows] == [BASELINE, *COMPRESSED, CONTROL]
    vectors = [row[38:47].split() for row in rows]
    assert vectors == [["35", "tokens"], ["18"], ["5"], ["1"], ["0"]]
    assert "Of what the whole context adds to none (± one standard error),\n  demo-t5" in first
    assert "Test 2 asks for the ending whose vector lies nearest" in first
    screen = first[first.rindex("Test 1 in five rows") :].partition("\nall ")[0]
    assert max(map(len, screen.splitlines())) <= 80
    num_results = sum(len(list(folder.glob("*.json"))) for folder in results.iterdir())
    assert f"\nall {num_results} results as a table" in first
    assert first.count("Test 1 in five rows") == 2  # again at the end, below what has run
    assert run_demo(results).count("  0 to run, ") == 8


def test_a_result_that_the_first_screen_needs_is_named_where_it_is_missing():
    with pytest.raises(LookupError, match="there is no result of demo-t5, cross_encoding, 0 shots, no settings"):
        draw_first_screen([], demo.LAYERS)


def stored(folder: Path, acc: float, error: float, **changes) -> StoredResult:
    """A result of Test 1 or 2 with this accuracy."""
    config = RunConfig(**{"model": "hf", "pretrained": "some/demo-gpt", "task": "hellaswag", **changes})
    content = result_of(config, acc)
    content["results"][config.task]["acc_stderr"] = error
    return read_results(put(folder, f"{acc}.json", content))[0]


def test_the_share_that_is_kept_has_an_error_of_all_three_accuracies(tmp_path):
    some, whole, none = (stored(tmp_path, acc, 0.03) for acc in (0.5, 0.8, 0.2))
    share, error = share_kept(some, whole, none)
    assert share == pytest.approx(0.5)
    assert error == pytest.approx(0.03 * (1 + 0.25 + 0.25) ** 0.5 / 0.6)
    assert share_kept(some, stored(tmp_path, 0.25, 0.03), none) is None  # nothing is told of such a gain


def test_test_2_is_told_in_a_sentence_with_what_it_is_above(tmp_path):
    sim = {
        "model": "dist_sim",
        "task": "hellaswag_d",
        "encoding_scheme": "concat_all_examples",
        "vectors": VectorSettings.parse(word_agg_scheme="mean", similarity_func="dot_product"),
    }
    results = [stored(tmp_path, 0.355, 0.034, **sim), stored(tmp_path, 0.28, 0.032, pretrained="some/demo-t5", **sim)]
    told = " ".join(say_test_2(results, ["demo-t5", "demo-gpt"]).split())
    assert "demo-t5 finds it in 0.280 ± 0.032 of the stories, no more often than guessing could" in told
    assert "demo-gpt finds it in 0.355 ± 0.034 of the stories, more often than by guessing (0.250)." in told
    assert say_test_2(results, ["demo-t5", "other"]) == ""


def test_the_embedded_data_is_what_its_maker_writes(tmp_path):
    assert make_demo.main(["--data-only", "--folder", str(tmp_path)]) == 0
    for path in (DEMO / "data").rglob("*.jsonl"):
        assert (tmp_path / "data" / path.relative_to(DEMO / "data")).read_bytes() == path.read_bytes()
