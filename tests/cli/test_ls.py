"""`python -m lm_eval ls`, and the command that setup.py installs."""

import subprocess
import sys

import pytest

from lm_eval.cli.evaluate import SUBCOMMANDS, build_parser, main
from lm_eval.cli.ls import align
from lm_eval.config.run_config import ENCODING_SCHEMES
from lm_eval.config.token_aggregation import TOKEN_AGGREGATIONS
from lm_eval.models.families import FAMILIES
from lm_eval.tasks.registry import TASKS
from tests.support.paths import TOP


def listed(capsys, *argv: str) -> list[list[str]]:
    assert main(["ls", *argv]) == 0
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_everything_there_is_to_choose_from_is_listed_under_its_kind(capsys):
    words = {word.rstrip(",") for line in listed(capsys) for word in line}
    assert words >= {*TASKS, *ENCODING_SCHEMES, *TOKEN_AGGREGATIONS, *FAMILIES, "soft_cluster", "varNorm", "cosine_sim"}


def test_a_kind_alone_has_a_name_at_the_head_of_each_line(capsys):
    assert [line[0] for line in listed(capsys, "families")] == list(FAMILIES)
    assert [line[0] for line in listed(capsys, "schemes")] == list(ENCODING_SCHEMES)


def test_the_last_column_is_wrapped_in_itself_and_a_task_is_followed_by_its_forms(capsys):
    rows = [("copa", "aps", "copa, copa_d, copa_dg"), ("webqs_long", "stanford", "webqs")]
    assert list(align(rows, indent="  ", width=44)) == [
        "  copa        aps       copa, copa_d,",
        "                        copa_dg",
        "  webqs_long  stanford  webqs",
    ]
    assert next(align(rows, indent="", width=None)) == "copa        aps       copa, copa_d, copa_dg"
    forms = [line[-3:] for line in listed(capsys, "tasks") if line[-1].endswith("_dg") and len(line) >= 5]
    assert forms
    assert all(names == sorted(names) for names in forms)


def test_tasks_groups_and_tags_of_a_folder_are_listed_with_their_files(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.yaml").write_text("task: b_task\ntag: mine\n")
    (tmp_path / "a.yaml").write_text("task: a_task\ntag: [mine, yours]\n")
    (tmp_path / "g.yaml").write_text("group: all\ntask: [mine]\n")
    folder = ["--include_path", str(tmp_path)]
    assert listed(capsys, "tasks", *folder) == [["a_task", "a.yaml"], ["b_task", "in/a.yaml"]]
    groups = [" ".join(line) for line in listed(capsys, "groups", *folder)]
    assert groups == ["all g.yaml", "mine a tag of 2 tasks", "yours a tag of 1 task"]


def test_a_folder_without_groups_says_so_and_a_linked_file_is_shown_whole(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "b.yaml").write_text("task: b_task\n")
    (tmp_path / "in" / "a.yaml").symlink_to(tmp_path / "b.yaml")
    folder = ["--include_path", str(tmp_path / "in")]
    assert listed(capsys, "tasks", *folder) == [["b_task", str(tmp_path / "b.yaml")]]
    assert [" ".join(line) for line in listed(capsys, "groups", *folder)] == [
        f"no task file in {tmp_path / 'in'} has a group or a tag"
    ]


def test_an_unknown_kind_is_refused_with_the_nearest(capsys):
    assert main(["ls", "task"]) == 2
    assert "ls: unknown 'task' (did you mean 'tasks'?); choose from tasks, groups" in capsys.readouterr().err


def test_the_installed_command_is_the_same_as_the_module(monkeypatch):
    text = (TOP / "setup.py").read_text()
    assert '"lm_eval = lm_eval.cli.evaluate:main"' in text
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/lm_eval"])
    assert build_parser().format_usage().startswith("usage: lm_eval ")
    help_text = " ".join(build_parser().format_help().split())
    assert all(f"lm_eval {name} {text}" in help_text for name, text in SUBCOMMANDS.items())


@pytest.mark.parametrize(("word", "nearest"), [("lss", "ls"), ("encod", "encode"), ("hellaswag", None)])
def test_a_misspelt_command_is_answered_by_the_nearest(word, nearest, capsys):
    with pytest.raises(SystemExit) as ended:
        main([word, "tasks"])
    assert ended.value.code == 2
    hint = f" (did you mean {nearest!r}?)" if nearest else ""
    assert (
        f"error: unknown command {word!r}{hint}; there are ls, show, encode, walk, and runs" in capsys.readouterr().err
    )


WRONG = [
    (["--tasks", "piq"], "unknown task 'piq'"),
    (["--tasks", "hellaswag", "--task_args", "data_dir=nowhere"], "nowhere/hellaswag/validation.jsonl does not exist"),
    (["--tasks", "hellaswag", "--wandb", "a/b"], "--wandb must be a project's name"),
]


def test_a_wrong_single_run_ends_before_torch_is_imported():
    code = (
        "import sys, json\nfrom lm_eval.cli.evaluate import main\n"
        f"for argv in {[argv for argv, _ in WRONG]!r}:\n"
        "    print(main(['--model', 'hf', '--model_args', 'pretrained=demo/models/demo-gpt', *argv]))\n"
        "print([name for name in ('torch', 'transformers', 'ray', 'wandb') if name in sys.modules])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=TOP, timeout=120, check=False
    )
    assert ended.stdout.splitlines() == ["2", "2", "2", "[]"]
    assert all(message in ended.stderr for _, message in WRONG)


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_has_a_help_page_of_its_own(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"lm_eval {name}" in capsys.readouterr().out
