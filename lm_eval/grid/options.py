"""The flags of the grid scripts: read with python-fire into a checked object, before anything runs (experiment §6).

Fire calls a function before it notices an unknown flag, so the function that it calls here only holds the values.
"""

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import fire

from lm_eval.common.text import choices_text, parse_pairs
from lm_eval.config.checkpoint import CHECKPOINT_KEYS, Checkpoint
from lm_eval.config.run_config import DTYPES, Limit
from lm_eval.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user asks of a grid script."""

    shutdown_at_exit: bool
    overwrite_results: bool
    NUM_GPUS_PER_RUN: int
    cluster: str
    models: str | None
    limit: str | None
    data_dir: str | None
    results_dir: str | None
    dry_run: bool
    retry_failed: bool
    fail_fast: bool
    dtype: str | None
    log_samples: bool
    tasks: str | None = None
    include_path: str | None = None
    loading: str | None = None
    has_num_gpus: bool = False
    """Whether the number of GPUs was given, so that it holds whatever a model needs."""
    own_switches: frozenset[str] = frozenset()
    """Those of the script's own switches that are on."""

    def __post_init__(self) -> None:
        for name in _SWITCHES:
            _check_switch(name, getattr(self, name))
        gpus = self.NUM_GPUS_PER_RUN
        if type(gpus) is not int or gpus < 1:
            raise ConfigurationError(f"--NUM_GPUS_PER_RUN must be a whole number of at least 1, got {gpus!r}")
        if self.dtype not in (None, *DTYPES):
            raise ConfigurationError(f"--dtype: unknown value {self.dtype!r}; choose from {choices_text(DTYPES)}")
        Limit.parse(self.limit)
        self.checkpoint  # noqa: B018  (refuses what is wrong)

    @property
    def checkpoint(self) -> Checkpoint:
        """What is loaded of every model, and how.

        Raises:
            ConfigurationError: a key that isn't about loading, or a value that it can't have.
        """
        pairs = parse_pairs(self.loading, "--loading")
        if unknown := [key for key in pairs if key not in _MODEL_KEYS]:
            raise ConfigurationError(
                f"--loading: unknown key {choices_text(unknown)}; choose from {choices_text(_MODEL_KEYS)} "
                "(settings of vectors stand in the grid at the top of the script)"
            )
        return Checkpoint.pick(pairs)

    @property
    def revision(self) -> str | None:
        """The branch, tag or commit of every model."""
        return parse_pairs(self.loading, "--loading").get("revision")


_MODEL_KEYS = ("revision", *CHECKPOINT_KEYS)


def _check_switch(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"--{name} is a switch: leave its value out, or give True or False, got {value!r}")


def _flags(  # noqa: PLR0913  (a flag is a parameter)
    *,
    shutdown_at_exit: bool = False,
    overwrite_results: bool = False,
    NUM_GPUS_PER_RUN: int = 1,  # noqa: N803
    cluster: str = "local",
    models: str | None = None,
    limit: str | None = None,
    data_dir: str | None = None,
    results_dir: str | None = None,
    dry_run: bool = False,
    retry_failed: bool = False,
    fail_fast: bool = False,
    dtype: str | None = None,
    log_samples: bool = False,
    tasks: str | None = None,
    include_path: str | None = None,
    loading: str | None = None,
) -> Options:
    """Hold the flags of a grid script.

    Args:
        shutdown_at_exit: Shut this machine down at the end, also after a failure.
        overwrite_results: Run configurations again whose result is already in the folder.
        NUM_GPUS_PER_RUN: GPUs of a run; above 1 the model is spread over them. Left out, a large model gets more and
            small ones share one. Ignored on machines without a GPU.
        cluster: 'local' uses this machine, 'auto' joins the Ray cluster that runs on it, an address joins another.
        models: Comma list of hub names or folders in place of the grid's models; 'demo' for the embedded ones.
        limit: Documents to score: N for the first N, or START:END.
        data_dir: Folder that holds <dataset>/<split>.jsonl (or .parquet, or a saved dataset), in place of the hub.
        results_dir: Folder for the result files in place of the script's own.
        dry_run: Show what would run and why, what is done already, how long it should take, and run nothing.
        retry_failed: Run again what failed in an earlier call; otherwise that is only reported.
        fail_fast: Stop at the first failure.
        dtype: float32, bfloat16 or float16; left out, what the hardware computes natively (float32 without a GPU).
        log_samples: Store the scores of every document too, for comparisons; results without them are run again.
        tasks: Comma list of tasks or groups in place of the grid's, such as arc_easy,piqa; _d or _dg may be left out.
        include_path: Folder with task files (YAML) of your own or of the upstream harness.
        loading: How every model is loaded, KEY=value,KEY=value: revision, subfolder, tokenizer, peft, load_in_8bit,
            load_in_4bit, trust_remote_code.
    """
    return Options(**locals())


_PARAMETERS = inspect.signature(_flags).parameters
_SWITCHES = tuple(name for name, parameter in _PARAMETERS.items() if parameter.default is False)
_TEXTS = tuple(name for name in _PARAMETERS if name not in (*_SWITCHES, "NUM_GPUS_PER_RUN"))


_INITIALS = [name[0] for name in _PARAMETERS]
_SHORT = {name[0]: name for name in _PARAMETERS if _INITIALS.count(name[0]) == 1}
"""One-letter forms, which fire allows wherever they are unique."""


def read_options(
    argv: Sequence[str], *, name: str, description: str, own_switches: Mapping[str, str] | None = None
) -> Options:
    """Read the command line of a grid script; `--help` shows python-fire's page and exits.

    Args:
        argv: the arguments, without the script's name.
        name: the script's name, for the help page.
        description: what the script does, for the help page.
        own_switches: further switches that this script alone has, each with its line for the help page; they have no
            short forms.

    Raises:
        ConfigurationError: an unknown flag, a value of the wrong kind, or an argument that no flag takes.
    """
    own = own_switches or {}
    spelled = _spell_out(argv, (*_PARAMETERS, *own))
    options = fire.Fire(_documented(description, own), command=spelled, name=name, serialize=lambda _: None)
    assert isinstance(options, Options)  # noqa: S101  (an argument that fire could take for anything else was refused)
    return replace(options, has_num_gpus=any(flag.startswith("--NUM_GPUS_PER_RUN") for flag in spelled))


def _documented(description: str, own: Mapping[str, str]) -> Callable[..., Options]:
    @functools.wraps(_flags)
    def flags(**values: object) -> Options:
        chosen = {name: values.pop(name) for name in own if name in values}
        for name, value in chosen.items():
            _check_switch(name, value)
        options = _flags(**values)  # type: ignore[arg-type]
        return replace(options, own_switches=frozenset(name for name, is_on in chosen.items() if is_on))

    further = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=bool) for name in own]
    flags.__signature__ = inspect.Signature([*_PARAMETERS.values(), *further])  # type: ignore[attr-defined]
    arguments = inspect.cleandoc(str(_flags.__doc__)).partition("\n")[2]
    for initial in {name[0] for name in own} & _SHORT.keys():  # fire's page leaves out initials that two flags have
        arguments = arguments.replace(f"    {_SHORT[initial]}: ", f"    {_SHORT[initial]}: (-{initial}) ")
    told = "".join(f"\n    {name}: {line}" for name, line in own.items())
    flags.__doc__ = f"{inspect.cleandoc(description)}\n{arguments}{told}"
    return flags


def _spell_out(argv: Sequence[str], valid: Collection[str]) -> list[str]:
    """Return the arguments as `--flag=value`, with texts quoted, which fire would else read as numbers, tuples or sums.

    Raises:
        ConfigurationError: an unknown flag, a text flag without its value, or an argument that belongs to no flag.
    """
    spelled: list[str] = []
    rest = list(argv)
    while rest:
        flag, equals, value = rest.pop(0).partition("=")
        if not flag.startswith("-"):
            raise ConfigurationError(
                f"unexpected argument {flag!r}; every value must follow its flag: {_list_flags(valid)}"
            )
        name = flag.lstrip("-").replace("-", "_")
        name = _SHORT.get(name, name)
        if name in ("help", "h"):
            return ["--help"]
        _refuse_unknown(flag, name, valid)
        if any(earlier.startswith(f"--{name}=") or earlier == f"--{name}" for earlier in spelled):
            raise ConfigurationError(f"--{name} is given twice")
        has_value = bool(rest) and (not rest[0].startswith("-") or rest[0][1:2].isdecimal())
        if not equals and has_value:
            equals, value = "=", rest.pop(0)
        if name in _TEXTS:
            if not value:
                raise ConfigurationError(f"{flag} needs a value")
            value = repr(value)
        spelled.append(f"--{name}{equals}{value}")
    return spelled


def _refuse_unknown(flag: str, name: str, valid: Collection[str]) -> None:
    if name not in valid:
        near = difflib.get_close_matches(name, valid, n=1)
        hint = f" (did you mean --{near[0]}?)" if near else ""
        raise ConfigurationError(f"unknown flag {flag}{hint}; choose from {_list_flags(valid)}")


def _list_flags(names: Collection[str]) -> str:
    return choices_text([f"--{name}" for name in names])
