"""What is settled before a grid runs is settled once: tasks, the one form of each configuration, identities."""

from collections import Counter
from dataclasses import replace

import pytest

from lm_eval.grid import grid
from lm_eval.grid import preflight as preflight_module
from lm_eval.grid.preflight import preflight
from lm_eval.grid.script import carry_out
from lm_eval.results import canonical_form, identity
from lm_eval.scheduling.executors.in_process import InProcessExecutor
from lm_eval.scheduling.hardware import Gpu, local_machine
from lm_eval.tasks import registry
from tests.support.grids import options, small_grid


@pytest.fixture
def calls(monkeypatch) -> Counter:
    """How often a task is looked up, a configuration brought to its one form, and a model or data folder hashed."""
    counts: Counter = Counter()

    def counted(module, name):
        original = getattr(module, name)

        def count(*arguments, **named):
            counts[name] += 1
            return original(*arguments, **named)

        return count

    for module, name in ((registry, "find_task"), (canonical_form, "canonical")):
        wrapped = counted(module, name)
        for user in (registry, canonical_form, identity, grid, preflight_module):
            if name in vars(user):
                monkeypatch.setattr(user, name, wrapped)
    for name in ("model_identity", "data_identity"):
        monkeypatch.setattr(identity, name, counted(identity, name))
    return counts


def test_tasks_and_forms_are_settled_once_from_the_call_to_the_result_files(gpt2, data_dir, tmp_path, calls):
    assert carry_out([small_grid(gpt2)], options(data_dir, tmp_path), "unused", InProcessExecutor()) == 0
    assert len(list(tmp_path.glob("*.json"))) == 3
    combinations = 4  # of the grid's lists, of which two mean the same run
    assert calls["find_task"] == 1
    assert calls["canonical"] == combinations


def test_a_model_and_its_data_are_looked_at_once_for_all_runs(gpt2, data_dir, tmp_path, calls):
    checked = preflight([small_grid(gpt2)], options(data_dir, tmp_path), lambda: [local_machine()])
    assert len(checked.runs) == 3
    assert calls["model_identity"] == 1
    assert calls["data_identity"] == 2  # with shots, and without


def test_runs_state_the_dtype_and_are_found_by_what_they_say(gpt2, data_dir, tmp_path):
    checked = preflight([small_grid(gpt2)], options(data_dir, tmp_path, dtype="bfloat16"), lambda: [local_machine()])
    assert {run.config.dtype for run in checked.runs} == {run.identity["dtype"] for run in checked.runs} == {"bfloat16"}
    assert all(run.config == run.form for run in checked.runs)
    assert len({run.name for run in checked.runs}) == 3
    assert list(checked.models) == [str(gpt2)]


def test_the_folders_that_machines_need_are_those_of_model_data_and_task_files(gpt2, data_dir, tmp_path):
    checked = preflight([small_grid(gpt2)], options(data_dir, tmp_path), lambda: [local_machine()])
    run = checked.runs[0]
    assert run.paths == [str(gpt2), str(data_dir / "hellaswag")]
    other = replace(run, config=replace(run.config, include_path="/tasks"))
    assert other.paths[-1] == "/tasks"


@pytest.mark.parametrize(("dtype", "said"), [(None, True), ("float16", False)])
def test_a_plan_says_which_models_leave_the_dtype_of_older_gpus_and_why(
    t5, data_dir, tmp_path, capsys, monkeypatch, dtype, said
):
    gpu = Gpu(name="Tesla T4", memory_gib=16.0, capability=(7, 5))
    machine = replace(local_machine(), gpus=(gpu,))
    monkeypatch.setattr(InProcessExecutor, "machines", lambda self: [machine])
    chosen = options(data_dir, tmp_path, dry_run=True, dtype=dtype)
    assert carry_out([small_grid(t5, arch_type="encoder-decoder")], chosen, "unused", InProcessExecutor()) == 0
    shown = capsys.readouterr()
    reason = (
        "tiny-t5: float32, for float16 overflows in such models, and GPUs before Ampere (Tesla T4) have no bfloat16"
    )
    assert (reason in shown.err) is said
    assert f"parameters in {dtype or 'float32'}, about" in shown.out
