"""One run, from the command line and from Python."""

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lm_eval.cli.evaluate import main
from lm_eval.errors import ConfigurationError
from lm_eval.evaluator import simple_evaluate
from tests.support.tiny_models import save_tiny, tiny_model
from tests.support.worlds import hellaswag_row, webqs_row, write_rows, write_world

SIMILARITY = "WORD_AGG_SCHEME=mean,SIMILARITY_FUNC=cosine_sim"


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory) -> Path:
    return save_tiny("gpt2", tmp_path_factory.mktemp("models") / "tiny-gpt2", max_length=512)


def arguments(pretrained: Path | str, data_dir: Path | str, **changes: str) -> list[str]:
    flags = {
        "model": "dist_sim",
        "model_args": f"pretrained={pretrained},{SIMILARITY}",
        "tasks": "hellaswag_d",
        "task_args": f"encoding_scheme=concat_each_example,data_dir={data_dir}",
        "num_fewshot": "1",
        "limit": "4",
        **changes,
    }
    return [part for key, value in flags.items() for part in (f"--{key}", value)]


def test_a_run_prints_its_metrics_and_writes_its_result(gpt2, data_dir, tmp_path, capsys):
    path = tmp_path / "result.json"
    assert main([*arguments(gpt2, data_dir), "--output_path", str(path), "--log_samples"]) == 0
    printed = capsys.readouterr().out
    content = json.loads(path.read_text())
    assert f"hellaswag_d     acc        {content['results']['hellaswag_d']['acc']:.4f}" in printed
    assert content["config"]["num_fewshot"] == 1
    assert content["config"]["limit"] == "4"
    assert content["config"]["task_args"] == f"encoding_scheme=concat_each_example,data_dir={data_dir}"
    samples = content["samples"]["hellaswag_d"]
    assert [sample["doc_id"] for sample in samples] == [0, 1, 2, 3]
    assert all(sum(sample["scores"]) == pytest.approx(1) and len(sample["scores"]) == 4 for sample in samples)


@pytest.mark.parametrize("where", [None, "--output_dir", "--output_path"])
def test_an_interrupted_run_says_what_is_kept_and_where(gpt2, where, data_dir, tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("lm_eval.evaluator.evaluate_request", interrupted)
    place = tmp_path / "results"
    assert main([*arguments(gpt2, data_dir), *([] if where is None else [where, str(place)])]) == 130
    kept = "no result is kept" if where is None else f"tasks that were finished are in {place}"
    if where == "--output_dir":
        kept += "; the same call goes on with the rest"
    assert capsys.readouterr().err == f"interrupted; {kept}\n"


def test_several_tasks_share_a_call_and_get_a_file_each(gpt2, data_dir, tmp_path):
    changes = {
        "model": "dist_gen",
        "tasks": "hellaswag_dg,webqs_dg",
        "model_args": f"pretrained={gpt2},WORD_AGG_SCHEME=mean,ENCODING_LAYER=0",
    }
    assert main([*arguments(gpt2, data_dir, **changes), "--output_dir", str(tmp_path)]) == 0
    tasks = [next(iter(json.loads(path.read_text())["results"])) for path in sorted(tmp_path.glob("*.json"))]
    assert tasks == ["hellaswag_dg", "webqs_dg"]


def test_the_command_line_and_python_give_the_same_result(gpt2, data_dir, tmp_path):
    path = tmp_path / "result.json"
    main([*arguments(gpt2, data_dir), "--output_path", str(path)])
    result = simple_evaluate(
        model="dist_sim",
        model_args=f"pretrained={gpt2},{SIMILARITY}",
        tasks=["hellaswag_d"],
        task_args=f"encoding_scheme=concat_each_example,data_dir={data_dir}",
        num_fewshot=1,
        limit=4,
    )
    stored = json.loads(path.read_text())
    for key in ("results", "versions", "config", "identity"):
        assert stored[key] == json.loads(json.dumps(result[key]))


def test_hf_is_also_spelt_gpt2(gpt2, data_dir):
    task_args = f"data_dir={data_dir}"
    found = [
        simple_evaluate(model=name, model_args=f"pretrained={gpt2}", tasks="hellaswag", task_args=task_args, limit=3)
        for name in ("hf", "gpt2")
    ]
    assert found[0]["results"] == found[1]["results"]
    assert set(found[0]["results"]["hellaswag"]) == {"acc", "acc_stderr", "acc_norm", "acc_norm_stderr"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"tasks": "hellaswagd"},
            "unknown task 'hellaswagd' (did you mean hellaswag_d?); for similarity choose from",
        ),
        ({"tasks": "webqs_dg"}, "task 'webqs_dg' is for generation scoring, but --model dist_sim does similarity"),
        ({"tasks": ","}, "tasks: no task is named"),
        ({"model": "dist"}, "unknown model 'dist'; choose from dist_sim, dist_gen, hf, gpt2"),
        ({"task_args": "encoding_scheme=words"}, "unknown encoding scheme 'words'; choose from concat_all_examples"),
        ({"task_args": ""}, "encoding_scheme= is missing for dist_sim"),
        ({"model_args": "WORD_AGG_SCHEME=mean,SIMILARITY_FUNC=cosine_sim"}, "pretrained= is missing"),
        ({"model_args": f"pretrained=/nowhere,{SIMILARITY}"}, "pretrained=/nowhere: no such model folder"),
        ({"model_args": "pretrained=MODEL,SIMILARITY_FUNC=cosine_sim"}, "WORD_AGG_SCHEME= is missing"),
        ({"model_args": f"pretrained=MODEL,{SIMILARITY},NORM=L3"}, "NORM: unknown value 'L3'; choose from None, L2"),
        (
            {"model_args": f"pretrained=MODEL,{SIMILARITY},NORMS=L2"},
            "model_args: unknown key NORMS (did you mean 'NORM'?); choose",
        ),
        ({"model_args": f"pretrained=MODEL,{SIMILARITY},ENCODING_LAYER=4"}, "ENCODING_LAYER=4: out of range"),
        (
            {"model_args": f"pretrained=MODEL,{SIMILARITY},dtype=int8"},
            "dtype: unknown value 'int8'; choose from float32",
        ),
        ({"model_args": f"pretrained=MODEL,{SIMILARITY},device_map=x"}, "device_map: unknown value 'x'"),
        ({"limit": "0"}, "limit '0' selects no document"),
        ({"limit": "99:"}, "selects no document; there are 10 in hellaswag validation"),
        ({"num_fewshot": "50"}, "num_fewshot=50: hellaswag has only 12 rows to draw shots from"),
        ({"batch_size": "0"}, "batch_size must be a positive integer of at most 9 digits or auto, got '0'"),
        ({"batch_size": "9" * 5000}, "batch_size must be a positive integer of at most 9 digits or auto, got '9"),
        ({"model_args": f"pretrained=MODEL,{SIMILARITY},device_map=auto", "device": "cpu"}, "exclude each other"),
        ({"device": "nonsense"}, "device 'nonsense' is not available on this machine"),
        ({"task_args": "encoding_scheme=concat_each_example,data_dir=/nowhere"}, "/nowhere/hellaswag/validation.jsonl"),
    ],
)
def test_a_wrong_call_ends_in_one_message_and_status_2(gpt2, data_dir, capsys, changes, message):
    filled = {key: value.replace("MODEL", str(gpt2)) for key, value in changes.items()}
    assert main(arguments(gpt2, data_dir, **filled)) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""


@pytest.mark.parametrize(
    ("unknown", "message"),
    [
        (["--numfewshot", "3"], "unknown flag --numfewshot (did you mean --num_fewshot?)"),
        (["--NORM", "L2"], "unknown flag --NORM: NORM is set in --model_args, as --model_args …,NORM=VALUE"),
        (["--encoding-layer=3"], "unknown flag --encoding-layer: ENCODING_LAYER is set in --model_args"),
        (["--data_dir=x"], "unknown flag --data_dir: data_dir is set in --task_args, as --task_args …,data_dir=VALUE"),
        (["3"], "unexpected argument '3'; every value must follow its flag"),
    ],
)
def test_an_unknown_flag_is_refused_with_status_2_and_what_was_meant(unknown, message, gpt2, data_dir, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*arguments(gpt2, data_dir), *unknown])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--output_path", "/proc/nowhere/x.json", "cannot be written"),
        ("--output_path", "/tmp", "this is a folder"),
        ("--output_dir", "/proc/nowhere", "cannot be written"),
        ("--description_dict_path", "/nowhere.json", "not a readable JSON file"),
    ],
)
def test_places_that_cannot_be_written_or_read_are_refused_before_the_run(gpt2, data_dir, capsys, flag, value, message):
    assert main([*arguments(gpt2, data_dir), flag, value]) == 2
    assert message in capsys.readouterr().err


def test_an_empty_choice_is_named_with_file_and_line(gpt2, tmp_path, capsys):
    write_world(tmp_path)
    rows = [hellaswag_row(0), hellaswag_row(1, endings=["walks.", "[step]", "runs.", "sits."])]
    write_rows(tmp_path / "hellaswag" / "validation.jsonl", rows)
    assert main(arguments(gpt2, tmp_path)) == 2
    assert "validation.jsonl, line 2: endings[1] is empty after cleaning" in capsys.readouterr().err


def test_a_choice_longer_than_the_model_takes_fails_the_run_with_status_1(gpt2, tmp_path, capsys):
    write_world(tmp_path)
    rows = [hellaswag_row(0, endings=["runs. " * 300, "sits.", "walks.", "flies."])]
    write_rows(tmp_path / "hellaswag" / "validation.jsonl", rows)
    changes = {
        "model": "dist_gen",
        "tasks": "hellaswag_dg",
        "model_args": f"pretrained={gpt2},WORD_AGG_SCHEME=mean",
    }
    assert main(arguments(gpt2, tmp_path, **changes)) == 1
    assert "choice 0 has" in capsys.readouterr().err


def test_a_task_that_is_finished_is_written_before_the_next_one_fails(gpt2, tmp_path, capsys):
    write_world(tmp_path)
    rows = [webqs_row(0, answers=["word " * 600])]
    write_rows(tmp_path / "webqs" / "test.jsonl", rows)
    changes = {
        "model": "dist_gen",
        "tasks": "hellaswag_dg,webqs_dg",
        "model_args": f"pretrained={gpt2},WORD_AGG_SCHEME=mean",
        "limit": "1",
    }
    out = tmp_path / "results"
    assert main([*arguments(gpt2, tmp_path, **changes), "--output_dir", str(out)]) == 1
    assert [path.name.partition("_dg")[0] for path in out.glob("*.json")] == ["hellaswag"]


def test_contexts_cut_together_with_a_choice_are_counted(data_dir, tmp_path):
    short = save_tiny("gpt2", tmp_path / "short", max_length=60)
    result = simple_evaluate(
        model="dist_gen",
        model_args=f"pretrained={short}",
        tasks="hellaswag_dg",
        task_args=f"encoding_scheme=cross_encoding,data_dir={data_dir}",
        num_fewshot=2,
        limit=3,
    )
    assert result["run"]["hellaswag_dg"]["num_truncated_segments"] == 3


@pytest.mark.parametrize(
    ("aggregation", "contexts_are_vectors"),
    [("WORD_AGG_SCHEME=chunk4", True), ("WORD_AGG_SCHEME=concat,EXAMPLE_AGG_SCHEME=mean", True), ("", False)],
)
def test_a_result_states_vectors_a_context_and_tokens_a_vector(aggregation, contexts_are_vectors, gpt2, data_dir):
    scheme = "concat_each_example" if contexts_are_vectors else "cross_encoding"
    result = simple_evaluate(
        model="dist_gen",
        model_args=f"pretrained={gpt2},{aggregation}".rstrip(","),
        tasks="hellaswag_dg",
        task_args=f"encoding_scheme={scheme},data_dir={data_dir}",
        num_fewshot=1,
        limit=3,
    )
    run = result["run"]["hellaswag_dg"]
    assert ("vectors_per_context" in run) is ("tokens_per_vector" in run) is contexts_are_vectors
    if "chunk4" in aggregation:
        assert 3.5 < run["tokens_per_vector"] <= 4
    elif contexts_are_vectors:
        assert run["vectors_per_context"] == 1
        assert run["tokens_per_vector"] > 20


def test_cut_segments_are_counted_in_one_warning_and_in_the_result(data_dir, tmp_path, caplog):
    short = save_tiny("gpt2", tmp_path / "short", max_length=40)
    result = simple_evaluate(
        model="dist_sim",
        model_args=f"pretrained={short},{SIMILARITY}",
        tasks="hellaswag_d",
        task_args=f"encoding_scheme=concat_all_examples,data_dir={data_dir}",
        num_fewshot=2,
        limit=3,
    )
    assert result["run"]["hellaswag_d"]["num_truncated_segments"] == 3
    warnings = [record.getMessage() for record in caplog.records if record.name.startswith("lm_eval.")]
    assert len(warnings) == 1
    assert "3 segments were longer than the 40 tokens" in warnings[0]


def test_a_description_is_read_recorded_and_part_of_the_identity(gpt2, data_dir, tmp_path):
    (tmp_path / "d.json").write_text(json.dumps({"hellaswag_d": "Choose well."}))
    path = tmp_path / "result.json"
    flags = ["--description_dict_path", str(tmp_path / "d.json"), "--output_path", str(path)]
    assert main([*arguments(gpt2, data_dir), *flags]) == 0
    content = json.loads(path.read_text())
    assert content["config"]["description_dict"] == {"hellaswag_d": "Choose well."}
    assert content["identity"]["hellaswag_d"]["description"] == "Choose well."


def test_a_description_for_another_task_is_refused(gpt2, data_dir):
    with pytest.raises(ConfigurationError, match="description_dict: webqs_dg is none of the tasks hellaswag_d"):
        simple_evaluate(
            model="dist_sim",
            model_args=f"pretrained={gpt2},{SIMILARITY}",
            tasks="hellaswag_d",
            task_args=f"encoding_scheme=concat_each_example,data_dir={data_dir}",
            description_dict={"webqs_dg": "x"},
        )


@pytest.mark.slow
def test_a_terminal_shows_documents_and_a_pipe_nothing_that_moves(gpt2, data_dir):
    command = [sys.executable, "-m", "lm_eval", *arguments(gpt2, data_dir)]
    piped = subprocess.run(command, capture_output=True, text=True, check=True)
    assert piped.stderr == ""
    master, slave = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=slave, env=environment) as shown:
        os.close(slave)
        sent = b""
        with contextlib.suppress(OSError):  # the other side has closed it
            while more := os.read(master, 1 << 16):
                sent += more
    os.close(master)
    assert shown.returncode == 0
    assert "4/4 documents" in sent.decode()


def save_without_end(family: str, folder: Path) -> Path:
    """Write a tiny model whose files state that there is no end-of-text token."""
    network, tokenizer = tiny_model(family, max_length=512, eos_token_id=None)
    tokenizer.eos_token = None
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_model_whose_files_state_no_end_of_text_is_refused_before_loading(data_dir, tmp_path):
    folder = save_without_end("gpt_neox", tmp_path / "endless")
    message = f"encoding_scheme=no_context: choices are scored behind the end-of-text token, but {folder} has no usable"
    (folder / "model.safetensors").write_bytes(b"")
    call = {"model": "dist_gen", "tasks": "hellaswag_dg", "model_args": f"pretrained={folder}"}
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        simple_evaluate(**call, task_args=f"encoding_scheme=no_context,data_dir={data_dir}")
    with pytest.raises(ConfigurationError, match="the weights cannot be loaded"):
        simple_evaluate(**call, task_args=f"encoding_scheme=cross_encoding,data_dir={data_dir}")


def test_a_model_without_end_of_text_fails_its_run_where_only_loading_tells(data_dir, tmp_path, capsys):
    folder = save_without_end("gpt2", tmp_path / "endless")
    stated = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**stated, "tokenizer_class": None}))
    arguments = ["--model", "dist_gen", "--model_args", f"pretrained={folder}", "--tasks", "hellaswag_dg"]
    assert main([*arguments, "--task_args", f"encoding_scheme=no_context,data_dir={data_dir}"]) == 1
    assert "error: the run failed: encoding_scheme=no_context: choices are scored behind" in capsys.readouterr().err


def test_without_context_there_are_never_too_few_rows_for_the_shots(data_dir, tmp_path):
    result = simple_evaluate(
        model="dist_gen",
        model_args=f"pretrained={save_tiny('t5', tmp_path / 't5')}",
        tasks="hellaswag_dg",
        task_args=f"encoding_scheme=no_context,data_dir={data_dir}",
        num_fewshot=99,
        limit=2,
    )
    assert result["identity"]["hellaswag_dg"]["num_fewshot"] == 0
