"""The flags of the grid scripts."""

import re

import pytest

from lm_eval.config.checkpoint import CHECKPOINT_KEYS, Checkpoint
from lm_eval.errors import ConfigurationError
from lm_eval.grid.flags import FLAGS, flag_rows
from lm_eval.grid.options import Options, read_options

DEFAULTS = {
    "shutdown_at_exit": False,
    "overwrite_results": False,
    "NUM_GPUS_PER_RUN": 1,
    "cluster": "local",
    "models": None,
    "limit": None,
    "seed": 42,
    "data_dir": None,
    "results_dir": None,
    "dry_run": False,
    "list": False,
    "retry_failed": False,
    "fail_fast": False,
    "dtype": None,
    "log_samples": False,
    "log_texts": False,
    "wandb": None,
    "tasks": None,
    "include_path": None,
    "stall_timeout": 900,
    "grid": None,
    "write_grid": None,
    "loading": None,
    "slurm": None,
    "slurm_jobs": 1,
    "slurm_setup": None,
}


def read(*argv: str) -> Options:
    return read_options(argv, name="run_parallel_x.py", description="Score endings.\n\nIn a grid.")


def options(**changes) -> Options:
    return Options(**{**DEFAULTS, **changes})


def test_without_flags_everything_has_its_default():
    assert read() == options()


def test_loading_says_how_every_model_is_loaded():
    read_so = read("--loading", "revision=v1,load_in_4bit=True,tokenizer=some/other")
    assert read_so.revision == "v1"
    assert read_so.checkpoint == Checkpoint(load_in_4bit=True, tokenizer="some/other")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "NORM=L2",
            "--loading: unknown key NORM; choose from revision, subfolder, gguf_file, tokenizer, peft",
        ),
        ("load_in_8bit=maybe", "load_in_8bit=maybe: must be True or False"),
        ("revision", "--loading: expected KEY=value,KEY=value, got 'revision'"),
    ],
)
def test_what_is_not_about_loading_is_refused(text, message):
    with pytest.raises(ConfigurationError, match=message):
        read("--loading", text)


SWITCHES = ("shutdown_at_exit", "overwrite_results", "dry_run", "retry_failed", "fail_fast", "log_samples")
TEXTS = ("cluster", "models", "data_dir", "results_dir", "tasks", "include_path")


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("value", ["", "=True", " True"])
def test_a_switch_is_on_when_it_is_named(switch, value):
    expected = options(**{switch: True})
    for name in (switch, switch.replace("_", "-")):
        assert read(*f"--{name}{value}".split()) == expected


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("form", ["--{}=False", "--{} False"])
def test_a_switch_can_be_set_off(switch, form):
    assert read(*form.format(switch).split()) == options()


@pytest.mark.parametrize(
    ("argv", "changes"),
    [
        (["-s"], {"shutdown_at_exit": True}),
        (["-o"], {"overwrite_results": True}),
        (["-N", "2"], {"NUM_GPUS_PER_RUN": 2, "has_num_gpus": True}),
        (["-N=2"], {"NUM_GPUS_PER_RUN": 2, "has_num_gpus": True}),
        (["-c", "auto"], {"cluster": "auto"}),
        (["-c=10.0.0.1:6379"], {"cluster": "10.0.0.1:6379"}),
        (
            ["-s", "-o", "-N", "4", "-c", "auto"],
            {
                "shutdown_at_exit": True,
                "overwrite_results": True,
                "NUM_GPUS_PER_RUN": 4,
                "cluster": "auto",
                "has_num_gpus": True,
            },
        ),
    ],
)
def test_the_flags_of_every_script_have_short_forms(argv, changes):
    assert read(*argv) == options(**changes)


@pytest.mark.parametrize("form", [["--NUM_GPUS_PER_RUN", "3"], ["--NUM-GPUS-PER-RUN=3"]])
def test_the_number_of_gpus_has_a_long_form(form):
    assert read(*form) == options(NUM_GPUS_PER_RUN=3, has_num_gpus=True)


VALUES = [
    *("a,b-c", "1e5", "[x]", "(1,2)", "{'a': 1}", "0x10", "True", "12", "1+1", "a=b", "--x", "a b", "it's", 'say "x"'),
    *("back\\slash\\n", "ünï", "~/x", "./x/", "#x", "'quoted'", "x,y,", "1_000", "-5"),
]


@pytest.mark.parametrize("flag", TEXTS)
@pytest.mark.parametrize("value", VALUES)
def test_a_text_is_kept_as_it_was_written(flag, value):
    expected = options(**{flag: value})
    assert read(f"--{flag}={value}") == expected
    assert read(f"--{flag.replace('_', '-')}={value}") == expected
    if not value.startswith("--"):
        assert read(f"--{flag}", value) == expected


@pytest.mark.parametrize("value", ["7", "0:10", "3:", ":4", "None"])
@pytest.mark.parametrize("form", ["--limit={}", "--limit {}"])
def test_a_limit_is_kept_as_text(form, value):
    assert read(*form.format(value).split()) == options(limit=value)


def test_flags_come_in_any_order():
    argv = ["--models", "a,b", "-o", "--limit=5", "--dry-run", "--data_dir", "d", "-N", "2", "--results-dir", "r"]
    assert read(*argv) == options(
        models="a,b",
        overwrite_results=True,
        limit="5",
        dry_run=True,
        data_dir="d",
        NUM_GPUS_PER_RUN=2,
        results_dir="r",
        has_num_gpus=True,
    )


VALID = ", ".join(f"--{name}" for name in DEFAULTS)


@pytest.mark.parametrize(
    ("flag", "hint"),
    [
        ("--overwrite-result", " (did you mean --overwrite_results?)"),
        ("--model", " (did you mean --models?)"),
        ("--limits=3", " (did you mean --limit?)"),
        ("--num_gpus_per_run", " (did you mean --NUM_GPUS_PER_RUN?)"),
        ("--ENCODING_LAYERS=3", " (did you mean --ENCODING_LAYER?)"),
        ("-x", ""),
        ("-d", ""),
        ("--", ""),
        ("-", ""),
    ],
)
def test_an_unknown_flag_is_refused_with_the_nearest_and_all_that_there_are(flag, hint):
    message = f"unknown flag {flag.partition('=')[0]}{hint}; choose from {VALID}"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        read(flag)


def test_every_list_of_the_grid_is_a_flag_of_its_own_name():
    argv = ["--num_fewshot", "0,5", "--ENCODING_LAYER", "-1,0,middle", "--WORD_AGG_SCHEME", "-relu|mean,chunk4"]
    assert read(*argv, "--NORM=None,L2", "--limit", "3") == options(
        limit="3",
        lists={
            "num_fewshot": [0, 5],
            "ENCODING_LAYER": [-1, 0, "middle"],
            "WORD_AGG_SCHEME": ["-relu|mean", "chunk4"],
            "NORM": [None, "L2"],
        },
    )
    assert read("--encoding-scheme", "no_context").lists == {"encoding_scheme": ["no_context"]}


@pytest.mark.parametrize(
    ("flag", "how"),
    [
        ("--norm", "the list NORM of a grid is set by --NORM VALUE,VALUE"),
        ("--encoding-layer=3", "the list ENCODING_LAYER of a grid is set by --ENCODING_LAYER VALUE,VALUE"),
        ("--load_in_4bit", "load_in_4bit is set for all models by --loading load_in_4bit=VALUE"),
        ("--pretrained", "models are named by --models A,B"),
        ("--model_args=NORM=L2", "each setting has a flag of its own, such as --NORM None,L2"),
    ],
)
def test_an_unknown_flag_that_names_a_setting_says_how_it_is_set(flag, how):
    with pytest.raises(ConfigurationError, match=re.escape(f"unknown flag {flag.partition('=')[0]}: {how}")):
        read(flag)


@pytest.mark.parametrize("flag", [*(f"--{name}" for name in (*TEXTS, "limit", "NORM")), "-c", "--data-dir"])
def test_a_text_flag_without_value_is_refused(flag):
    for argv in ([flag], [f"{flag}="], [flag, "--dry_run"], [flag, ""]):
        with pytest.raises(ConfigurationError, match=f"^{flag} needs a value$"):
            read(*argv)


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("value", ["maybe", "1", "0", "yes", "true", "None"])
def test_a_switch_takes_true_and_false_alone(switch, value):
    message = f"--{switch} is a switch: leave its value out, or give True or False, got "
    for argv in ([f"--{switch}={value}"], [f"--{switch}", value]):
        with pytest.raises(ConfigurationError, match=re.escape(message)):
            read(*argv)


@pytest.mark.parametrize(
    ("argv", "got"),
    [
        (["-N", "0"], "0"),
        (["-N", "-1"], "-1"),
        (["-N", "1.5"], "1.5"),
        (["-N", "x"], "'x'"),
        (["-N", "True"], "True"),
        (["-N"], "True"),
        (["--NUM_GPUS_PER_RUN=[1]"], "[1]"),
        (["--NUM_GPUS_PER_RUN="], "''"),
    ],
)
def test_the_number_of_gpus_is_a_whole_number_of_at_least_1(argv, got):
    message = f"--NUM_GPUS_PER_RUN must be a whole number of at least 1, got {got}"
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        read(*argv)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("x", "limit must be an integer N or START:END, both non-negative, got 'x'"),
        ("-1", "limit must be an integer N or START:END, both non-negative, got '-1'"),
        ("1e5", "limit must be an integer N or START:END, both non-negative, got '1e5'"),
        ("5:5", "limit '5:5' selects no document; START must be below END"),
    ],
)
def test_a_limit_that_selects_nothing_is_refused(value, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        read("--limit", value)


@pytest.mark.parametrize("argv", [["demo"], ["--dry_run", "True", "demo"], ["--limit=5", "demo"]])
def test_an_argument_without_its_flag_is_refused(argv):
    with pytest.raises(
        ConfigurationError, match="unexpected argument 'demo'; every value must follow its flag: --shut"
    ):
        read(*argv)


@pytest.mark.parametrize("argv", [["--help"], ["-h"], ["--limit", "5", "--help"]])
def test_help_is_a_plain_page_that_names_every_flag_and_ends_with_status_0(argv, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        read(*argv)
    assert ended.value.code == 0
    page, errors = capsys.readouterr()
    assert errors == ""
    assert page.startswith("usage: run_parallel_x.py [FLAG …]\n\nScore endings.\n\nIn a grid.\n")
    assert max(map(len, page.splitlines())) < 80
    told = " ".join(page.split())
    for flag in FLAGS:
        short = f"-{flag.short}, " if flag.short else ""
        default = "" if flag.default in (None, False) else f" (default: {flag.default})"
        form = f" {flag.form}" if flag.form else ""
        assert f"{short}--{flag.name}{form} {' '.join(flag.help.split())}{default}" in told, flag.name


@pytest.mark.parametrize("argv", [["--limit", "5", "--limit=6"], ["-o", "--overwrite-results"]])
def test_a_flag_given_twice_is_refused(argv):
    with pytest.raises(ConfigurationError, match=r"--\w+ is given twice"):
        read(*argv)


OWN = {"controls": "Also score without context.", "twice": "Do it again."}


def read_with_own(*argv: str) -> Options:
    return read_options(argv, name="run_parallel_x.py", description="Score endings.", own_switches=OWN)


@pytest.mark.parametrize(
    ("argv", "own"),
    [
        ([], set()),
        (["--controls"], {"controls"}),
        (["--controls=True", "--twice", "True"], {"controls", "twice"}),
        (["--controls=False", "--twice"], {"twice"}),
    ],
)
def test_a_script_can_have_switches_of_its_own(argv, own):
    assert read_with_own(*argv, "--limit", "5") == options(limit="5", own_switches=frozenset(own))


def test_the_switch_of_one_script_is_unknown_to_another():
    with pytest.raises(ConfigurationError, match=f"unknown flag --controls; choose from {VALID}, or, for the lists"):
        read("--controls")
    with pytest.raises(
        ConfigurationError, match=r"unknown flag --control \(did you mean --controls\?\); .*--twice, or, "
    ):
        read_with_own("--control")


@pytest.mark.parametrize("argv", [["--controls=maybe"], ["--controls", "1"]])
def test_a_switch_of_a_script_takes_true_and_false_alone_too(argv):
    with pytest.raises(ConfigurationError, match="--controls is a switch: leave its value out, or give True or False"):
        read_with_own(*argv)


def test_the_short_forms_stay_with_the_flags_of_every_script():
    assert read_with_own("-c", "auto") == options(cluster="auto")


def test_help_names_the_switches_of_a_script(capsys):
    with pytest.raises(SystemExit):
        read_with_own("--help")
    page = capsys.readouterr().out
    assert "      --controls          Also score without context.\n      --twice             Do it again.\n" in page
    assert "  -c, --cluster local|none|auto|HOST:PORT\n" in page


@pytest.mark.parametrize(("flag", "needed"), [("--list", "--dry_run"), ("--log_texts", "--log_samples")])
def test_a_switch_that_does_nothing_by_itself_is_refused_with_the_one_it_needs(flag, needed):
    with pytest.raises(ConfigurationError, match=f"^{flag} does nothing without {needed}; give both, or leave it out"):
        read(flag)
    assert getattr(read(flag, needed), flag[2:]) is True


def test_reading_flags_prints_nothing(capsys):
    read("--limit", "5")
    assert capsys.readouterr() == ("", "")


def test_a_table_has_a_row_for_each_flag():
    rows = flag_rows()
    assert [row[0] for row in rows] == [f"--{name}" for name in DEFAULTS]
    assert {short for _, short, *_ in rows} == {"", "-s", "-o", "-N", "-c", "-m", "-f", "-t", "-i", "-g", "-w"}
    shown = {flag: (form, default) for flag, _, form, default, _ in rows}
    assert shown["--dry_run"] == ("", "")
    assert shown["--NUM_GPUS_PER_RUN"] == ("N", "1")
    assert shown["--cluster"] == ("local|none|auto|HOST:PORT", "local")
    assert shown["--limit"] == ("N|START:END", "")


def test_the_help_of_loading_names_every_key():
    (loading,) = [flag.help for flag in FLAGS if flag.name == "loading"]
    assert loading.endswith(f": revision, {', '.join(CHECKPOINT_KEYS)}.")


def test_a_text_that_is_no_text_is_refused():
    with pytest.raises(ConfigurationError, match="--limit must be a text, got 4"):
        options(limit=4)
    with pytest.raises(ConfigurationError, match="--cluster must be a text, got None"):
        options(cluster=None)
