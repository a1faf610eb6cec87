"""A pass piece by piece gives what one pass over the same blocks gives, to the last bit, and one without any nearly."""

import platform
import random
from dataclasses import replace

import pytest

from lm_eval.common.text import format_pairs
from lm_eval.config.run_config import RunConfig
from lm_eval.config.runtime import Execution
from lm_eval.errors import RunError
from lm_eval.inference.loading import load_for
from lm_eval.results.identity import Run
from lm_eval.results.pieces import Part, PassFolder, read_piece, write_piece
from lm_eval.scoring.assembly import assemble, fitting, gaps
from lm_eval.scoring.evaluation import make_part, make_result
from lm_eval.scoring.run_pass import evaluate_many, read_now
from tests.support.runs import resolved
from tests.support.tiny_models import save_tiny

CPU = Execution(device="cpu", log_samples=True)
BLOCKS = [(0, 3), (3, 4), (4, 8), (8, 10)]
SIM = {"WORD_AGG_SCHEME": "mean", "SIMILARITY_FUNC": "cosine_sim"}
PASSES = {
    "dist_sim": ("hellaswag_d", "sentence_level_segmentation", [SIM, {**SIM, "NORM": "L2"}]),
    "dist_gen": ("hellaswag_dg", "concat_each_example", [{"WORD_AGG_SCHEME": "mean", "ENCODING_LAYER": "0"}]),
    "hf": ("hellaswag", None, [{}]),
}
"""For each kind of model a task, a scheme, and settings that share a pass."""
IN_TIME = ("seconds", "started", "finished", "pass", "batches", "load_s")


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory) -> str:
    return str(save_tiny("gpt2", tmp_path_factory.mktemp("models") / "tiny-gpt2", max_length=512))


@pytest.fixture(params=PASSES)
def loaded(request, gpt2, data_dir):
    """A loaded model and runs that share a pass of 10 documents."""
    task, scheme, settings = PASSES[request.param]
    task_args = {"data_dir": data_dir, **({} if scheme is None else {"encoding_scheme": scheme})}
    configs = [
        RunConfig.parse(
            model=request.param,
            model_args=format_pairs({"pretrained": gpt2, **chosen}),
            task=task,
            task_args=format_pairs(task_args),
            num_fewshot=2,
        )
        for chosen in settings
    ]
    model = load_for(configs[0], CPU)
    return model, read_now(resolved(configs), model)[0]


def parts_of(model, runs: list[Run], pieces: list[list[tuple[int, int]]]) -> list[list[Part]]:
    """What each piece holds of each run."""
    parts: list[list[Part]] = [[] for _ in runs]
    for blocks in pieces:
        for mine, evaluation in zip(parts, evaluate_many(runs, model, CPU, blocks=blocks), strict=True):
            mine.append(make_part(evaluation, model, CPU, (blocks[0][0], blocks[-1][1])))
    return parts


def test_pieces_in_any_order_score_as_one_pass_over_their_blocks_to_the_last_bit(loaded, tmp_path):
    model, runs = loaded
    whole = [make_result(one, model, CPU) for one in evaluate_many(runs, model, CPU, blocks=BLOCKS)]
    pieces = [BLOCKS[2:3], BLOCKS[:2], BLOCKS[3:]]
    folder = PassFolder(tmp_path / "pass")
    for parts, run, expected in zip(parts_of(model, runs, pieces), runs, whole, strict=True):
        for part in parts:  # by way of files
            write_piece(folder.file("c0de", (part.start, part.end), "driver"), {run.name: part})
        files = [file for file in folder.files() if run.name in read_piece(file)]
        assert [file.span for file in files] == [(0, 4), (4, 8), (8, 10)]
        read = [read_piece(file)[run.name] for file in files]
        assert read == sorted(parts, key=lambda part: part.start)
        made = assemble(run, fitting(read, run), log_samples=True, num_resumed=4)
        task = run.config.task
        record, wanted = made["run"].pop(task), expected["run"].pop(task)
        assert made == expected
        assert (record.pop("num_documents_resumed"), wanted.pop("num_documents_resumed")) == (4, 0)
        assert {**record, **dict.fromkeys(IN_TIME)} == {**wanted, **dict.fromkeys(IN_TIME)}
        assert record["batches"]["num_batches"] == wanted["batches"]["num_batches"]
        assert list(record) == list(dict.fromkeys([*record, *wanted]))


def test_blocks_change_scores_by_no_more_than_rounding(loaded):
    model, runs = loaded
    cut, uncut = evaluate_many(runs, model, CPU, blocks=BLOCKS), evaluate_many(runs, model, CPU)
    for one, other in zip(cut, uncut, strict=True):
        for mine, theirs in zip(one.documents, other.documents, strict=True):
            assert mine.scores == pytest.approx(theirs.scores, rel=1e-5, abs=1e-5)
        assert one.compression == other.compression


def test_what_two_parts_hold_is_counted_once_and_all_devices_are_stated(loaded):
    model, runs = loaded
    (whole, *_), (cut, *_) = parts_of(model, runs, [BLOCKS]), parts_of(model, runs, [BLOCKS[:2], BLOCKS[1:]])
    cut = [replace(one, blocks=tuple(block._replace(num_truncated=3) for block in one.blocks)) for one in cut]
    elsewhere = {**cut[1].made_on, "device": "cuda:0", "gpus": ["a card"], "host": "there"}
    cut[1] = replace(cut[1], made_on=elsewhere, asked={"batch_size": 8, "device": None})
    task = runs[0].config.task
    expected = assemble(runs[0], whole, log_samples=False, num_resumed=0)
    made = assemble(runs[0], cut, log_samples=False, num_resumed=0)
    assert made["results"] == expected["results"]
    record = made["run"][task]
    for count in ("vectors_per_context", "tokens_per_vector"):
        assert record.get(count) == expected["run"][task].get(count)
    assert record["num_truncated_segments"] == 3 * len(BLOCKS)
    assert (record["device"], record["gpus"]) == ("cpu, cuda:0", ["a card"])
    assert record["host"] == f"{platform.node()}, there"
    assert (made["config"]["batch_size"], made["config"]["device"]) == ("auto, 8", "cpu, auto")


def test_other_identities_are_left_out_and_a_missing_document_ends_the_run(loaded):
    model, runs = loaded
    run, (parts, *_) = runs[0], parts_of(model, runs, [[block] for block in BLOCKS])
    other = replace(parts[0], identity={**parts[0].identity, "dtype": "bfloat16"})
    assert fitting([other, *parts[1:]], run) == parts[1:]
    with pytest.raises(RunError, match="3 documents that were scored have vanished"):
        assemble(run, parts[1:], log_samples=False, num_resumed=0)
    changed = [replace(part, identity={**part.identity, "data": {"validation": "of before"}}) for part in parts]
    with pytest.raises(RunError, match="the data has changed"):
        assemble(run, changed, log_samples=False, num_resumed=0)


def test_gaps_are_what_no_span_covers():
    rnd = random.Random(0)
    for _ in range(200):
        spans = [(start, start + rnd.randint(1, 6)) for start in rnd.sample(range(20), rnd.randint(0, 6))]
        covered = {place for start, end in spans for place in range(start, end)}
        found = [place for start, end in gaps(spans, 20) for place in range(start, end)]
        assert found == [place for place in range(20) if place not in covered]
