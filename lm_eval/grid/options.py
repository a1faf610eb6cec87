"""Reading the flags of a grid script, with python-fire, into a checked object before anything runs (experiment §6).

Fire calls a function before it notices an unknown flag, so the function that it calls here only returns the values.
The flags are declared in `lm_eval.grid.flags`.
"""

import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import fire

from lm_eval.common.text import did_you_mean, parse_pairs
from lm_eval.config.checkpoint import CHECKPOINT_KEYS, Checkpoint
from lm_eval.config.limit import Limit
from lm_eval.config.run_config import DTYPES
from lm_eval.errors import ConfigurationError
from lm_eval.grid.flags import FLAGS, Flag, Flags
from lm_eval.grid.help_page import help_page
from lm_eval.grid.lists import LIST_FLAGS, Lists, how_to_set, read_list
from lm_eval.results.weights_and_biases import check_wandb
from lm_eval.scheduling.hardware import Capability

_SHORT = {flag.short: flag.name for flag in FLAGS if flag.short}
_TEXTS = frozenset(flag.name for flag in FLAGS if flag.value_type is str)


_NEEDS = {"list": "dry_run", "log_texts": "log_samples", "slurm_jobs": "slurm", "slurm_setup": "slurm"}
"""Flags that do nothing without another."""


@dataclass(frozen=True, kw_only=True)
class Options(Flags):
    """The flags of a grid script as the user gave them, checked."""

    has_num_gpus: bool = False
    """Whether the user set the number of GPUs, so that a model's memory need is ignored."""
    own_switches: frozenset[str] = frozenset()
    """The script's own switches that are on."""
    lists: Lists = field(default_factory=dict)
    """The lists of the grid that flags of their names give, in place of its own."""
    capabilities: tuple[Capability | None, ...] | None = None
    """Compute capabilities of the GPUs that decide the dtype; None takes those of the machines at hand."""
    revision: str | None = field(init=False)
    """The branch, tag or commit of every model; from `loading`."""
    checkpoint: Checkpoint = field(init=False)
    """How every model's checkpoint is loaded; from `loading`."""

    def __post_init__(self) -> None:
        for flag in FLAGS:
            _check_type(flag, getattr(self, flag.name))
        if self.dtype not in (None, *DTYPES):
            raise ConfigurationError(f"--dtype: unknown value {self.dtype!r}; choose from {', '.join(DTYPES)}")
        for asked, needed in _NEEDS.items():
            if getattr(self, asked) != getattr(Flags, asked) and not getattr(self, needed):
                raise ConfigurationError(f"--{asked} does nothing without --{needed}; give both, or leave it out")
        Limit.parse(self.limit)
        check_wandb(self.wandb)
        revision, checkpoint = _parse_loading(self.loading)
        object.__setattr__(self, "revision", revision)
        object.__setattr__(self, "checkpoint", checkpoint)


def _check_type(flag: Flag, value: object) -> None:
    if flag.value_type is bool and type(value) is not bool:
        raise ConfigurationError(
            f"--{flag.name} is a switch: leave its value out, or give True or False, got {value!r}"
        )
    least = 0 if flag.name == "seed" else 1
    if flag.value_type is int and (type(value) is not int or value < least):
        raise ConfigurationError(f"--{flag.name} must be a whole number of at least {least}, got {value!r}")
    if flag.value_type is str and not isinstance(value, str) and value is not flag.default:
        raise ConfigurationError(f"--{flag.name} must be a text, got {value!r}")


_MODEL_KEYS = ("revision", *CHECKPOINT_KEYS)


def _parse_loading(text: str | None) -> tuple[str | None, Checkpoint]:
    """Return the revision and the checkpoint that `--loading` states.

    Raises:
        ConfigurationError: an unknown key, or an invalid value.
    """
    pairs = parse_pairs(text, "--loading")
    if unknown := [key for key in pairs if key not in _MODEL_KEYS]:
        raise ConfigurationError(
            f"--loading: unknown key {', '.join(unknown)}; choose from {', '.join(_MODEL_KEYS)} "
            "(each setting of vectors has a flag of its own, such as --NORM None,L2)"
        )
    return pairs.get("revision"), Checkpoint.pick(pairs)


def read_options(
    argv: Sequence[str], *, name: str, description: str, own_switches: Mapping[str, str] | None = None
) -> Options:
    """Read the command line of a grid script; `--help` prints its page and exits.

    Args:
        argv: the arguments, without the script's name.
        name: the script's name, for the help page.
        description: what the script does, for the help page.
        own_switches: further switches that this script alone has, each with its line for the help page; they have no
            short forms.

    Raises:
        ConfigurationError: an unknown flag, a value of the wrong kind, or an argument that no flag takes.
    """
    own = [Flag(name=switch, help=line) for switch, line in (own_switches or {}).items()]
    flags = [*FLAGS, *own]
    given = _separate(argv, [flag.name for flag in flags])
    if "help" in given:
        print(help_page(name, description, flags, LIST_FLAGS))
        raise SystemExit(0)
    lists = {name: read_list(name, given.pop(name)[1]) for name in LIST_FLAGS if name in given}
    command = [f"--{name}{sign}{text}" for name, (sign, text) in given.items()]
    values = fire.Fire(_function_of(flags), command=command, name=name, serialize=lambda _: None)
    chosen = {switch.name: values.pop(switch.name, switch.default) for switch in own}
    for switch in own:
        _check_type(switch, chosen[switch.name])
    return Options(
        **values,
        has_num_gpus="NUM_GPUS_PER_RUN" in values,
        own_switches=frozenset(switch for switch, is_on in chosen.items() if is_on),
        lists=lists,
    )


def _function_of(flags: Sequence[Flag]) -> Callable[..., dict[str, object]]:
    """Return a function for fire, with a parameter for each flag, that returns the values given."""

    def hold(**given: object) -> dict[str, object]:
        return given

    parameters = [
        inspect.Parameter(flag.name, inspect.Parameter.KEYWORD_ONLY, default=flag.default, annotation=flag.value_type)
        for flag in flags
    ]
    hold.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return hold


_VALUE = re.compile(r"[^-]|-\d|-relu|$")
"""How a value begins where it follows its flag as an argument of its own."""


_OF_DASHES = ("slurm",)
"""Flags whose value is options of another program, and so begins with a dash."""


def _separate(argv: Sequence[str], valid: Collection[str]) -> dict[str, tuple[str, str]]:
    """Return, by the flag, a sign `=` or nothing and its value, with texts quoted for fire, but for those of lists.

    Fire would read some texts as numbers, tuples or sums.

    Raises:
        ConfigurationError: an unknown flag, a text flag without its value, or an argument that belongs to no flag.
    """
    given: dict[str, tuple[str, str]] = {}
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
            return {"help": ("", "")}
        _refuse_unknown(flag, name, valid)
        if name in given:
            raise ConfigurationError(f"--{name} is given twice")
        if not equals and rest and (_VALUE.match(rest[0]) or (name in _OF_DASHES and not _is_flag(rest[0], valid))):
            equals, value = "=", rest.pop(0)
        if name in (*_TEXTS, *LIST_FLAGS) and not value:
            raise ConfigurationError(f"{flag} needs a value")
        given[name] = equals, repr(value) if name in _TEXTS else value
    return given


def _is_flag(text: str, valid: Collection[str]) -> bool:
    return text.partition("=")[0].lstrip("-").replace("-", "_") in (*valid, *LIST_FLAGS)


def _refuse_unknown(flag: str, name: str, valid: Collection[str]) -> None:
    if name in valid or name in LIST_FLAGS:
        return
    if (how := how_to_set(name)) is not None:
        raise ConfigurationError(f"unknown flag {flag}: {how}")
    hint = did_you_mean(name, {known: f"--{known}" for known in (*valid, *LIST_FLAGS)})
    raise ConfigurationError(
        f"unknown flag {flag}{hint}; choose from {_list_flags(valid)}, or, for the lists of the grid, "
        f"{_list_flags(LIST_FLAGS)}"
    )


def _list_flags(names: Collection[str]) -> str:
    return ", ".join([f"--{name}" for name in names])
