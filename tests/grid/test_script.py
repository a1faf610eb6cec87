"""Running a grid within this process: planning, skipping, failing, writing, exit statuses."""

import contextlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import lm_eval.results.result_file
import lm_eval.scoring.evaluation
from lm_eval.config.runtime import Execution
from lm_eval.errors import ConfigurationError, RunError
from lm_eval.grid.grid import Grid
from lm_eval.grid.script import carry_out
from lm_eval.results.folder import ResultsFolder
from lm_eval.scheduling.executors.in_process import InProcessExecutor
from lm_eval.scheduling.units import Ended, Outcome
from tests.support.grids import options, small_grid
from tests.support.tiny_models import save_tiny
from tests.support.worlds import write_rows


def run(grid, chosen) -> int:
    return carry_out([grid], chosen, "unused", InProcessExecutor())


def files_of(folder: Path) -> dict[str, bytes]:
    """The result files of a folder, without the records of failures."""
    return {path.name: path.read_bytes() for path in folder.glob("*.json") if not path.name.endswith(".error.json")}


def test_every_configuration_gets_a_file_of_its_own(gpt2, data_dir, tmp_path):
    assert run(small_grid(gpt2), options(data_dir, tmp_path)) == 0
    contents = [json.loads(text) for text in files_of(tmp_path).values()]
    assert sorted(
        (c["config"]["num_fewshot"], "EXAMPLE_AGG_SCHEME=mean" in c["config"]["model_args"]) for c in contents
    ) == [
        (0, False),
        (1, False),
        (1, True),
    ]
    for content in contents:
        assert set(content["config"]) == {
            *("model", "model_args", "task_args", "num_fewshot", "batch_size", "device", "no_cache", "limit"),
            *("bootstrap_iters", "description_dict"),
        }
        assert content["versions"] == {"hellaswag_d": 0}
        assert content["config"]["limit"] == "4"


def test_a_second_call_runs_nothing_and_touches_no_file(gpt2, data_dir, tmp_path, capsys):
    run(small_grid(gpt2), options(data_dir, tmp_path))
    before = files_of(tmp_path)
    assert run(small_grid(gpt2), options(data_dir, tmp_path)) == 0
    assert files_of(tmp_path) == before
    assert "0 to run, 3 done" in capsys.readouterr().out


def test_a_deleted_file_is_one_run(gpt2, data_dir, tmp_path, capsys):
    run(small_grid(gpt2), options(data_dir, tmp_path))
    before = files_of(tmp_path)
    victim = min(before)
    (tmp_path / victim).unlink()
    run(small_grid(gpt2), options(data_dir, tmp_path))
    assert "1 to run, 2 done" in capsys.readouterr().out
    after = files_of(tmp_path)
    assert json.loads(after[victim])["results"] == json.loads(before[victim])["results"]
    assert {name: text for name, text in after.items() if name != victim} == {
        name: text for name, text in before.items() if name != victim
    }


def test_overwriting_runs_everything_again_into_the_same_files(gpt2, data_dir, tmp_path, capsys):
    run(small_grid(gpt2), options(data_dir, tmp_path))
    before = files_of(tmp_path)
    run(small_grid(gpt2), options(data_dir, tmp_path, overwrite_results=True))
    assert "3 to run, 0 done" in capsys.readouterr().out
    assert files_of(tmp_path).keys() == before.keys()


@pytest.mark.parametrize("change", [{"limit": "5"}, {"limit": "1:4"}, {"limit": None}])
def test_another_limit_is_another_configuration(gpt2, data_dir, tmp_path, capsys, change):
    run(small_grid(gpt2), options(data_dir, tmp_path))
    run(small_grid(gpt2), options(data_dir, tmp_path, **change))
    assert capsys.readouterr().out.count("3 to run, 0 done") == 2
    assert len(files_of(tmp_path)) == 6


def test_other_data_under_the_same_path_is_another_configuration(gpt2, data_dir, tmp_path, capsys):
    copy = tmp_path / "data" / "hellaswag"
    copy.mkdir(parents=True)
    for split in ("train", "validation"):
        (copy / f"{split}.jsonl").write_bytes((data_dir / "hellaswag" / f"{split}.jsonl").read_bytes())
    chosen = options(tmp_path / "data", tmp_path / "results")
    run(small_grid(gpt2), chosen)
    lines = (copy / "validation.jsonl").read_text().splitlines()
    (copy / "validation.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    capsys.readouterr()
    run(small_grid(gpt2), chosen)
    assert "3 to run (3 of them outdated), 0 done" in capsys.readouterr().out


def test_a_copy_of_the_model_folder_is_the_same_configuration(gpt2, data_dir, tmp_path, capsys):
    run(small_grid(gpt2), options(data_dir, tmp_path / "results"))
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for path in gpt2.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    run(small_grid(copy), options(data_dir, tmp_path / "results"))
    assert "0 to run, 3 done" in capsys.readouterr().out


def test_one_failing_run_is_reported_and_leaves_the_others_alone(gpt2, data_dir, tmp_path, capsys):
    rows = (data_dir / "hellaswag" / "validation.jsonl").read_text()
    folder = tmp_path / "data" / "hellaswag"
    folder.mkdir(parents=True)
    (folder / "validation.jsonl").write_text(rows)
    train = [json.loads(line) for line in (data_dir / "hellaswag" / "train.jsonl").read_text().splitlines()]
    (folder / "train.jsonl").write_text("".join(json.dumps({**row, "ctx_a": "word " * 400}) + "\n" for row in train))
    grid = small_grid(gpt2, settings={**small_grid(gpt2).settings, "ADD_POS": ["True"]})
    assert run(grid, options(tmp_path / "data", tmp_path / "results", limit="4")) == 1
    printed = capsys.readouterr()
    assert len(files_of(tmp_path / "results")) == 1  # without shots the offsets stay within the model's positions
    assert printed.err.count("failed: ") == 2
    assert "ADD_POS=True: a segment starts at token" in printed.err
    assert "Traceback" not in printed.err


def test_a_model_that_cannot_be_loaded_fails_its_runs_and_no_others(gpt2, data_dir, tmp_path, capsys):
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in gpt2.iterdir():
        content = path.read_bytes()
        (broken / path.name).write_bytes(content[: len(content) // 2] if path.suffix == ".safetensors" else content)
    assert run(small_grid(broken, gpt2), options(data_dir, tmp_path / "results")) == 1
    assert len(files_of(tmp_path / "results")) == 3
    printed = capsys.readouterr()
    assert printed.err.count("failed: ") == 3
    assert printed.err.count("the weights cannot be loaded") == 1
    assert "failed (3/6): " in printed.out


def test_a_file_that_is_no_result_is_kept_and_its_configuration_run_again(gpt2, data_dir, tmp_path, capsys):
    run(small_grid(gpt2), options(data_dir, tmp_path))
    victim = min(tmp_path.glob("*.json"))
    victim.write_text('{"results": {')
    assert run(small_grid(gpt2), options(data_dir, tmp_path)) == 0
    printed = capsys.readouterr()
    assert f"not a result, kept and ignored: {victim}" in printed.err
    assert "1 to run, 2 done" in printed.out
    assert victim.read_text() == '{"results": {'
    assert len(files_of(tmp_path)) == 4


def test_cut_segments_are_told_for_each_run(data_dir, tmp_path, capsys):
    short = save_tiny("gpt2", tmp_path / "short", max_length=40)
    run(small_grid(short, encoding_scheme=["concat_all_examples"], num_fewshot=[2]), options(data_dir, tmp_path / "r"))
    assert "(warning: 4 segments were longer than the model takes and were cut" in capsys.readouterr().out


def test_older_results_are_taken_with_a_remark_and_superseded_when_run_again(gpt2, data_dir, tmp_path, capsys):
    run(small_grid(gpt2), options(data_dir, tmp_path))
    for number, path in enumerate(tmp_path.glob("*.json")):
        content = json.loads(path.read_text())
        older = {key: content[key] for key in ("results", "versions", "config")}
        (tmp_path / f"{number:040x}.json").write_text(json.dumps(older))
        path.unlink()
    capsys.readouterr()
    assert run(small_grid(gpt2), options(data_dir, tmp_path)) == 0
    printed = capsys.readouterr()
    assert "0 to run, 3 done" in printed.out
    assert "3 are in files of the older form" in printed.err
    run(small_grid(gpt2), options(data_dir, tmp_path, overwrite_results=True))
    assert len(files_of(tmp_path)) == 6
    assert len(list(ResultsFolder(tmp_path))) == 3
    assert not any(stored.is_older_form for stored in ResultsFolder(tmp_path))


def test_a_dry_run_writes_nothing_and_counts_or_names_every_run(gpt2, data_dir, tmp_path, capsys):
    assert run(small_grid(gpt2), options(data_dir, tmp_path / "results", dry_run=True)) == 0
    assert "task=hellaswag_d, model=tiny-gpt2\n" in capsys.readouterr().out
    assert run(small_grid(gpt2), options(data_dir, tmp_path / "results", dry_run=True, list=True)) == 0
    assert capsys.readouterr().out.count("to run: hellaswag_d") == 3
    assert not (tmp_path / "results").exists()


def test_models_of_the_wrong_architecture_are_refused(gpt2, t5, data_dir, tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"tiny-t5: encoder-decoder, but this script is for decoder-only models"
    ):
        run(small_grid(gpt2, t5), options(data_dir, tmp_path))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"ENCODING_LAYER": [9]},
            r"ENCODING_LAYER=9: out of range; choose from -4 to 3, middle, E or None, for .*tiny-gpt2 has 3 layers",
        ),
        ({"OUT_ENCODING_LAYER": [-5]}, r"OUT_ENCODING_LAYER=-5: out of range"),
        (
            {"WORD_AGG_SCHEME": ["median"]},
            r"WORD_AGG_SCHEME: unknown value 'median' .*; choose from mean, w1mean",
        ),
        ({"NOISE": ["x"]}, r"grid: unknown setting NOISE; choose from WORD_AGG_SCHEME"),
        ({"NORM": []}, r"grid: NORM must be a list with at least one value"),
    ],
)
def test_an_impossible_grid_is_refused_before_anything_runs(gpt2, data_dir, tmp_path, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        run(
            small_grid(gpt2, settings={**small_grid(gpt2).settings, **settings}),
            options(data_dir, tmp_path / "results"),
        )
    assert not (tmp_path / "results").exists()


def controls(*models: Path) -> list[Grid]:
    """Three grids of different kinds, tasks and architectures."""
    sim = {"SIMILARITY_FUNC": ["dot_product"]}
    bare = {"encoding_scheme": ["no_context"], "num_fewshot": [2, 0]}
    return [
        small_grid(*models, model="dist_gen", task="hellaswag_dg", arch_type=None, settings={}, **bare),
        small_grid(*models, arch_type="decoder-only", settings={**sim, "WORD_AGG_SCHEME": ["w1mean"]}, **bare),
        small_grid(*models, arch_type="encoder-decoder", settings={**sim, "WORD_AGG_SCHEME": ["mean"]}, **bare),
    ]


def test_grids_of_several_kinds_run_as_one_each_model_in_those_of_its_architecture(
    gpt2, t5, data_dir, tmp_path, capsys
):
    grids = controls(gpt2, t5)
    assert carry_out(grids, options(data_dir, tmp_path), "unused", InProcessExecutor()) == 0
    assert "4 to run, 0 done" in capsys.readouterr().out
    assert {
        (c.task, c.model_name, c.num_fewshot, c.vectors.public()["WORD_AGG_SCHEME"])
        for c in (stored.config for stored in ResultsFolder(tmp_path))
    } == {
        ("hellaswag_dg", "tiny-gpt2", 0, None),
        ("hellaswag_dg", "tiny-t5", 0, None),
        ("hellaswag_d", "tiny-gpt2", 0, "w1mean"),
        ("hellaswag_d", "tiny-t5", 0, "mean"),
    }
    assert carry_out(grids, options(data_dir, tmp_path), "unused", InProcessExecutor()) == 0
    assert "0 to run, 4 done" in capsys.readouterr().out


def test_models_that_are_named_go_to_the_grids_of_their_architecture(gpt2, t5, data_dir, tmp_path, capsys):
    chosen = options(data_dir, tmp_path, models=str(t5), dry_run=True, list=True)
    assert carry_out(controls(gpt2), chosen, "unused", InProcessExecutor()) == 0
    assert capsys.readouterr().out.count("to run: hellaswag_d") == 2
    with pytest.raises(ConfigurationError, match="tiny-t5: encoder-decoder, but this script is for decoder-only mo"):
        carry_out(controls(gpt2)[1:2], chosen, "unused", InProcessExecutor())


def test_what_two_grids_have_in_common_is_run_once(gpt2, data_dir, tmp_path, capsys):
    grids = [small_grid(gpt2), small_grid(gpt2, num_fewshot=[0, 2])]
    assert carry_out(grids, options(data_dir, tmp_path, dry_run=True), "unused", InProcessExecutor()) == 0
    assert "5 to run, 0 done" in capsys.readouterr().out


def test_the_demo_data_are_only_for_grids_of_the_demo_models_alone(gpt2, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "lm_eval.tasks.documents.select_documents", lambda dataset, data_dir, *_: asked.append(data_dir) or []
    )
    chosen = options(None, tmp_path, models=f"demo,{gpt2}", dry_run=True)
    carry_out(controls(gpt2), chosen, "unused", InProcessExecutor())
    assert asked == []  # nothing but the hub's, which is not asked before something runs
    carry_out(controls(gpt2), replace(chosen, models="demo"), "unused", InProcessExecutor())
    assert {Path(folder).parts[-2:] for folder in asked} == {("demo", "data")}


def test_a_results_folder_that_cannot_be_made_is_refused(gpt2, data_dir, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"results folder .*: cannot be written"):
        run(small_grid(gpt2), options(data_dir, tmp_path / "file" / "results"))


def fill_disk(monkeypatch: pytest.MonkeyPatch, is_full) -> None:
    """Let the disk be full, for whichever files a function says."""
    write = lm_eval.common.atomic.write_json

    def write_if_room(path: Path, content: object, **how: bool) -> None:
        if is_full(path):
            raise OSError(28, "No space left on device")
        write(path, content, **how)

    monkeypatch.setattr("lm_eval.results.folder.write_json", write_if_room)
    monkeypatch.setattr("lm_eval.scheduling.result_writer.RETRY_S", 0.05)
    monkeypatch.setattr("lm_eval.scheduling.result_writer.GIVE_UP_S", 1.0)


def test_results_for_which_there_is_no_room_are_told_and_written_elsewhere(
    gpt2, data_dir, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / "results"
    fill_disk(monkeypatch, lambda path: path.parent == folder)
    assert run(small_grid(gpt2), options(data_dir, folder)) == 1
    told = capsys.readouterr().err
    assert told.count("CANNOT WRITE to") == 3
    assert f"NOT WRITTEN to {folder}: 3 results" in told
    (rescue,) = tmp_path.glob("lm_eval-results-*")
    assert f"they are in {rescue}; move its files there once there is room" in told
    assert files_of(folder) == {}
    monkeypatch.undo()
    for path in rescue.glob("*.json"):
        shutil.move(path, folder)
    assert run(small_grid(gpt2), options(data_dir, folder)) == 0
    assert "0 to run, 3 done" in capsys.readouterr().out


def test_results_are_written_once_there_is_room_again(gpt2, data_dir, tmp_path, monkeypatch, capsys):
    asked: list[Path] = []
    fill_disk(monkeypatch, lambda path: not asked.append(path) and len(asked) <= 5)
    assert run(small_grid(gpt2), options(data_dir, tmp_path)) == 0
    printed = capsys.readouterr()
    assert "CANNOT WRITE to" in printed.err
    assert "done (3/3)" in printed.out
    assert len(files_of(tmp_path)) == 3


def test_demo_models_bring_the_demo_data(tmp_path, capsys):
    chosen = options(None, tmp_path / "results", models="demo", dry_run=True)
    assert run(small_grid("unused/unused"), chosen) == 0
    assert "demo-gpt" in capsys.readouterr().out


def test_loading_holds_for_every_run_and_makes_another_run(gpt2, data_dir, tmp_path):
    run(small_grid(gpt2), options(data_dir, tmp_path))
    assert run(small_grid(gpt2), options(data_dir, tmp_path, loading=f"tokenizer={gpt2}")) == 0
    told = [json.loads(text)["config"]["model_args"] for text in files_of(tmp_path).values()]
    assert sorted(f"tokenizer={gpt2}" in model_args for model_args in told) == [False] * 3 + [True] * 3


def test_every_machine_needs_all_folders_that_a_run_reads(gpt2, data_dir, tmp_path):
    class Shared(InProcessExecutor):
        def check_paths(self, paths):
            asked.extend(paths)

    asked: list[str] = []
    tokenizer = tmp_path / "tokenizer"
    shutil.copytree(gpt2, tokenizer)
    chosen = options(data_dir, tmp_path / "results", loading=f"tokenizer={tokenizer}")
    assert carry_out([small_grid(gpt2)], chosen, "unused", Shared()) == 0
    assert asked == sorted([str(Path(data_dir) / "hellaswag"), str(gpt2), str(tokenizer)])


def test_a_missing_model_folder_is_named(data_dir, tmp_path):
    with pytest.raises(ConfigurationError, match=r"pretrained=/nowhere/model: no such model folder"):
        run(small_grid("unused/unused"), options(data_dir, tmp_path, models="/nowhere/model"))


def test_a_model_folder_without_config_is_named(data_dir, tmp_path):
    with pytest.raises(ConfigurationError, match=r"the folder has no config.json, so it holds no model"):
        run(small_grid(tmp_path), options(data_dir, tmp_path))


class VanishingData(InProcessExecutor):
    """Runs in this process, and moves the data away before it hands a result over."""

    def __init__(self, data: Path) -> None:
        super().__init__()
        object.__setattr__(self, "data", data)

    def run(self, queue, workforce):
        for event in list(super().run(queue, workforce)):
            if isinstance(event, Ended) and self.data.exists():
                self.data.rename(self.data.with_name("moved"))
            yield event


def test_results_state_what_they_were_computed_from_though_the_data_goes_away(gpt2, tmp_path, data_dir):
    data = tmp_path / "data"
    shutil.copytree(data_dir, data)
    chosen = options(data, tmp_path / "results")
    assert carry_out([small_grid(gpt2)], chosen, "unused", VanishingData(data)) == 0
    assert len(files_of(tmp_path / "results")) == 3
    (tmp_path / "moved").rename(data)
    before = files_of(tmp_path / "results")
    assert run(small_grid(gpt2), chosen) == 0
    assert files_of(tmp_path / "results") == before


def test_results_without_samples_are_run_again_where_samples_are_wanted(gpt2, data_dir, tmp_path, capsys):
    run(small_grid(gpt2), options(data_dir, tmp_path))
    before = files_of(tmp_path)
    wanted = options(data_dir, tmp_path, log_samples=True)
    capsys.readouterr()
    with_samples = InProcessExecutor(execution=Execution(log_samples=True))
    assert carry_out([small_grid(gpt2)], wanted, "unused", with_samples) == 0
    assert "3 to run, 0 done" in capsys.readouterr().out
    after = files_of(tmp_path)
    assert after.keys() == before.keys()
    for text in after.values():
        samples = json.loads(text)["samples"]["hellaswag_d"]
        assert [sample["doc_id"] for sample in samples] == [0, 1, 2, 3]
        assert all(len(sample["scores"]) == 4 for sample in samples)
    assert carry_out([small_grid(gpt2)], wanted, "unused", with_samples) == 0
    assert "0 to run, 3 done" in capsys.readouterr().out
    with_texts = options(data_dir, tmp_path, log_samples=True, log_texts=True)
    assert carry_out([small_grid(gpt2)], with_texts, "unused", with_samples) == 0
    assert "3 to run, 0 done" in capsys.readouterr().out
    for text in files_of(tmp_path).values():
        for sample in json.loads(text)["samples"]["hellaswag_d"]:
            assert len(sample["choices"]) == len(sample["scores"]) == 4
            assert all(segment for texts in sample["context"] for segment in texts)
    assert carry_out([small_grid(gpt2)], with_texts, "unused", with_samples) == 0
    assert "0 to run, 3 done" in capsys.readouterr().out


def test_what_another_driver_has_overwritten_meanwhile_is_not_computed_again(gpt2, data_dir, tmp_path, capsys):
    chosen = options(data_dir, tmp_path, overwrite_results=True)
    run(small_grid(gpt2), chosen)

    class Late(InProcessExecutor):
        """Lets another driver overwrite everything before it begins."""

        def run(self, queue, workforce):
            run(small_grid(gpt2), chosen)
            yield from super().run(queue, workforce)

    capsys.readouterr()
    assert carry_out([small_grid(gpt2)], chosen, "unused", Late()) == 0
    assert capsys.readouterr().out.count("done elsewhere (") == 3


def test_a_finished_grid_needs_no_folder_that_can_be_written(gpt2, data_dir, tmp_path, monkeypatch, capsys):
    run(small_grid(gpt2), options(data_dir, tmp_path))

    def refuse(path):
        raise ConfigurationError("cannot be written")

    monkeypatch.setattr("lm_eval.grid.job.check_writable", refuse)
    assert run(small_grid(gpt2), options(data_dir, tmp_path)) == 0
    assert "± s.e." in capsys.readouterr().out
    with pytest.raises(ConfigurationError, match="cannot be written"):
        run(small_grid(gpt2), options(data_dir, tmp_path, limit="3"))


class InterruptedWriting:
    """Interrupts when the n-th result is about to be written."""

    def __init__(self, monkeypatch, number: int) -> None:
        self.left = number
        self.write = lm_eval.common.atomic.write_json
        monkeypatch.setattr("lm_eval.results.folder.write_json", self)

    def __call__(self, path: Path, content: object, **how: bool) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        self.write(path, content, **how)


@pytest.mark.parametrize("number", [1, 2])
def test_an_interrupt_loses_nothing_of_a_pass_that_is_finished(gpt2, data_dir, tmp_path, monkeypatch, number):
    InterruptedWriting(monkeypatch, number)
    with pytest.raises(KeyboardInterrupt):
        run(small_grid(gpt2), options(data_dir, tmp_path))
    assert len(files_of(tmp_path)) == 2  # the first pass has two


def test_the_first_failure_loses_nothing_of_its_pass(gpt2, data_dir, tmp_path, monkeypatch):
    make = lm_eval.scoring.evaluation.make_result

    def fail_first(evaluation, *arguments, **flags):
        if evaluation.run.config.vectors.example_agg_scheme is None and evaluation.config.num_fewshot:
            raise RunError("no luck")
        return make(evaluation, *arguments, **flags)

    monkeypatch.setattr("lm_eval.scoring.evaluation.make_result", fail_first)
    assert run(small_grid(gpt2), options(data_dir, tmp_path, fail_fast=True)) == 1
    assert len(files_of(tmp_path)) == 1
    assert len(list(tmp_path.glob("*.error.json"))) == 1


def test_a_log_on_a_full_disk_ends_nothing(gpt2, data_dir, tmp_path, monkeypatch):
    fill_disk(monkeypatch, lambda path: path.parent == tmp_path / "results" and len(files_of(path.parent)) >= 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with contextlib.suppress(OSError), Path("/dev/full").open("w") as full:  # closing it fails, too
        monkeypatch.setattr(sys, "stderr", full)
        run(small_grid(gpt2), options(data_dir, tmp_path / "results"))
    monkeypatch.undo()
    assert len(files_of(tmp_path / "results")) == 1
    (rescue,) = tmp_path.glob("lm_eval-results-*")
    assert len(files_of(rescue)) == 2


def test_a_run_that_failed_for_another_driver_meanwhile_is_not_computed_again(
    gpt2, data_dir, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("lm_eval.results.identity.documents_of", lambda *_: 1 / 0)
    chosen = options(data_dir, tmp_path)

    class Late(InProcessExecutor):
        def run(self, queue, workforce):
            run(small_grid(gpt2), chosen)
            monkeypatch.setattr(
                "lm_eval.scheduling.executors.worker.Worker.run", lambda *_: pytest.fail("it is computed again")
            )
            yield from super().run(queue, workforce)

    assert carry_out([small_grid(gpt2)], chosen, "unused", Late()) == 1
    assert capsys.readouterr().out.count("failed (") == 6


def test_a_driver_that_was_away_writes_nothing_beside_its_heir_s_results(gpt2, data_dir, tmp_path, capsys):
    chosen = options(data_dir, tmp_path)

    class Suspended(InProcessExecutor):
        """Holds its first pass back while its leases pass to another driver."""

        def run(self, queue, workforce):
            events = list(super().run(queue, workforce))
            for lease in (tmp_path / ".grid" / "leases").iterdir():
                lease.unlink()
            run(small_grid(gpt2), chosen)
            yield from events

    assert carry_out([small_grid(gpt2)], chosen, "unused", Suspended()) == 0
    assert capsys.readouterr().out.count("done elsewhere (") == 3
    assert len(files_of(tmp_path)) == 3


def test_an_heir_writes_nothing_beside_what_one_that_woke_meanwhile_has_written(gpt2, data_dir, tmp_path, capsys):
    class Heir(InProcessExecutor):
        """Holds all leases, and is told of its results while another writes the same."""

        def run(self, queue, workforce):
            for event in super().run(queue, workforce):
                if isinstance(event, Outcome):
                    ResultsFolder(tmp_path).write(event.config, event.result)
                yield event

    assert carry_out([small_grid(gpt2)], options(data_dir, tmp_path), "unused", Heir()) == 0
    assert capsys.readouterr().out.count("done elsewhere (") == 3
    assert len(files_of(tmp_path)) == 3


def test_results_of_another_model_than_planned_are_kept_and_told_as_failures(gpt2, data_dir, tmp_path, capsys):
    model = tmp_path / "model"
    shutil.copytree(gpt2, model)

    class Other(InProcessExecutor):
        """Works where the model has another file."""

        def run(self, queue, workforce):
            (model / "merges.txt").write_text("other")
            yield from super().run(queue, workforce)

    assert carry_out([small_grid(model)], options(data_dir, tmp_path / "results"), "unused", Other()) == 1
    assert "the model or the data differ from those of the plan" in capsys.readouterr().err
    assert len(files_of(tmp_path / "results")) == 3
    assert run(small_grid(model), options(data_dir, tmp_path / "results")) == 0


def test_where_no_lease_can_be_taken_the_grid_runs_and_the_user_is_told_once(gpt2, data_dir, tmp_path, capsys):
    (tmp_path / ".grid").mkdir()
    (tmp_path / ".grid" / "leases").write_text("in the way")
    assert run(small_grid(gpt2), options(data_dir, tmp_path)) == 0
    assert capsys.readouterr().err.count("no lease can be taken (") == 1
    assert len(files_of(tmp_path)) == 3


def test_tasks_of_files_run_in_place_of_the_grids_own_wherever_the_files_lie(gpt2, tmp_path, capsys):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    keys = "dataset_path: x/y\nvalidation_split: v\noutput_type: multiple_choice\ndoc_to_text: '{{a}} and'\n"
    for name, target in (("first", "0"), ("second", "1")):
        (here / f"{name}.yaml").write_text(
            f"task: {name}\ntag: both\n{keys}doc_to_choice: b\ndoc_to_target: {target}\n"
        )
        write_rows(here / name / "v.jsonl", [{"a": f"Row {number}.", "b": ["one", "two"]} for number in range(5)])
    shutil.copytree(here, there)
    chosen = options(here, tmp_path / "results", tasks="both", include_path=str(here))
    assert run(small_grid(gpt2), chosen) == 0
    assert "6 to run, 0 done" in (told := capsys.readouterr().out)
    assert "4 passes" in told
    results = {stored.config.task for stored in ResultsFolder(tmp_path / "results")}
    assert results == {"first_d", "second_d"}
    moved = options(there, tmp_path / "results", tasks="second_d,first", include_path=str(there), dry_run=True)
    assert run(small_grid(gpt2), moved) == 0
    assert "0 to run, 6 done" in capsys.readouterr().out
    (there / "first.yaml").write_text((there / "first.yaml").read_text().replace("and", "or"))
    assert run(small_grid(gpt2), moved) == 0
    assert "3 to run, 3 done" in capsys.readouterr().out
    shutil.rmtree(here)
    assert len(list(ResultsFolder(tmp_path / "results"))) == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": ","}, "--tasks ',' names no task"),
        ({"tasks": "nothing"}, "unknown task 'nothing_d'; for similarity choose from hellaswag_d"),
        ({"tasks": "lambada"}, "unknown task 'lambada_d'"),
        ({"tasks": "piqa", "include_path": "/nowhere"}, "include_path: /nowhere is not a folder"),
    ],
)
def test_tasks_that_do_not_exist_are_refused_before_anything_runs(changes, message, gpt2, data_dir, tmp_path):
    with pytest.raises(ConfigurationError, match=message):
        run(small_grid(gpt2), options(data_dir, tmp_path / "results", **changes))
    assert not (tmp_path / "results").exists()
