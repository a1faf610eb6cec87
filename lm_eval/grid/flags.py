"""The flags of every grid script, each declared once: its type, its default, its line of help (experiment §6).

Everything else that shows or checks flags is generated from this: python-fire's signature and help page, the short
forms, the table in the docs. Knows nothing of command lines; `lm_eval.grid.options` reads them.
"""

from dataclasses import dataclass, fields
from typing import Annotated, Any, get_args, get_type_hints

from lm_eval.common.field_docs import field_docs
from lm_eval.config.run_config import DTYPES, SEED

# The annotation shows how a value is written; a switch has none.
Text = str | None
Names = Annotated[Text, "A,B"]
Folder = Annotated[Text, "DIR"]


@dataclass(frozen=True, kw_only=True)
class Flags:
    """What a user can ask of every grid script."""

    shutdown_at_exit: bool = False
    """Shut this machine down at the end, also after a failure."""
    overwrite_results: bool = False
    """Run configurations again whose result is already in the folder."""
    NUM_GPUS_PER_RUN: Annotated[int, "N"] = 1
    """GPUs of a run; above 1 the model is spread over them. Left out, a large model gets more and small ones share one.
    Ignored on machines without a GPU."""
    cluster: Annotated[str, "local|none|auto|HOST:PORT"] = "local"
    """'local' uses this machine through Ray; 'none' computes in this one process, which starts soonest and uses one
    GPU; 'auto' joins the Ray cluster that runs here, an address joins another."""
    models: Names = None
    """Comma list of hub names, folders or GGUF files in place of the grid's models; 'demo' for the embedded ones,
    'smollm2' for a real one that `make real` fetches."""
    limit: Annotated[Text, "N|START:END"] = None
    """Documents to score, in their shuffled order: N for the first N, or START:END."""
    seed: Annotated[int, "N"] = SEED
    """Decides the order of the documents and their shots; baselines belong to runs of the same seed."""
    data_dir: Folder = None
    """Folder that holds TASK/SPLIT.jsonl (or .parquet, or a saved dataset), in place of the hub."""
    results_dir: Folder = None
    """Folder for the result files in place of the script's own."""
    dry_run: bool = False
    """Show what would run and why, what is done already, how long it should take, and run nothing."""
    list: bool = False
    """With --dry_run: name every run and why it is to run, rather than count them by model and scheme."""
    retry_failed: bool = False
    """Run again what failed in an earlier call; otherwise that is only reported."""
    fail_fast: bool = False
    """Stop at the first failure."""
    dtype: Annotated[Text, "|".join(DTYPES)] = None
    """float32, bfloat16 or float16; left out, what the hardware computes natively (float32 without a GPU)."""
    log_samples: bool = False
    """Store the scores of every document too, for comparisons; results without them are run again."""
    log_texts: bool = False
    """With --log_samples: store every document's context segments and choices too, to be read beside its scores."""
    wandb: Annotated[Text, "PROJECT"] = None
    """Send the results to this project of Weights & Biases too; needs the package wandb."""
    tasks: Names = None
    """Comma list of tasks or groups in place of the grid's, such as arc_easy,piqa; _d or _dg may be left out."""
    include_path: Folder = None
    """Folder with task files (YAML) of your own or of the upstream harness."""
    stall_timeout: Annotated[int, "SECONDS"] = 900
    """Seconds without a sign of life (a finished batch; while a model is loaded, bytes that arrive) after which a
    worker is replaced."""
    grid: Annotated[Text, "FILE.yaml"] = None
    """File that holds the grid, in place of the script's."""
    write_grid: Annotated[Text, "FILE.yaml"] = None
    """Write the grid, with the lists given here in place of the script's, to a file for --grid, and run nothing."""
    loading: Annotated[Text, "KEY=VALUE,…"] = None
    """How every model is loaded, KEY=value,KEY=value: revision, subfolder, gguf_file, tokenizer, peft, load_in_8bit,
    load_in_4bit, trust_remote_code."""
    slurm: Annotated[Text, "OPTIONS"] = None
    """Submit this call to Slurm, with these options of sbatch, such as "--partition=gpu --gpus=4 --time=4:00:00"."""
    slurm_jobs: Annotated[int, "N"] = 1
    """With --slurm: how many jobs share the work, each on a node of its own or on a part of one."""
    slurm_setup: Annotated[Text, "LINES"] = None
    """With --slurm: lines of shell that each job begins with, such as "module load cuda"."""


@dataclass(frozen=True, kw_only=True)
class Flag:
    """A flag, as shown in help pages and tables."""

    name: str
    value_type: type = bool
    """bool for a switch, int for a whole number, str for a text that is kept as it was written."""
    form: str = ""
    """How its value is written; empty for a switch."""
    default: bool | int | str | None = False
    help: str
    short: str | None = None
    """Its single letter, where no other common flag begins with the same."""


_WITHOUT_SHORT = ("stall_timeout", "slurm", "slurm_jobs", "slurm_setup", "seed", "wandb")
"""Flags that came when others had long had their letter."""


def _flags() -> tuple[Flag, ...]:
    hints, helps = get_type_hints(Flags, include_extras=True), field_docs(Flags)
    initials = [item.name[0] for item in fields(Flags) if item.name not in _WITHOUT_SHORT]
    return tuple(
        Flag(
            name=item.name,
            value_type=_value_type(hints[item.name]),
            form=" ".join(getattr(hints[item.name], "__metadata__", ())),
            default=getattr(Flags, item.name),
            help=helps[item.name],
            short=item.name[0] if item.name not in _WITHOUT_SHORT and initials.count(item.name[0]) == 1 else None,
        )
        for item in fields(Flags)
    )


def _value_type(hint: Any) -> type:  # noqa: ANN401
    """Return bool, int or str: the type of a flag's value, without None."""
    bare = get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
    (value_type,) = [one for one in get_args(bare) or (bare,) if one is not type(None)]
    return value_type  # type: ignore[no-any-return]


FLAGS = _flags()


def flag_rows() -> list[tuple[str, str, str, str, str]]:
    """Return for each flag a row of texts: the flag, its short form, its value, its default, its help."""
    return [
        (
            f"--{flag.name}",
            f"-{flag.short}" if flag.short else "",
            flag.form,
            "" if flag.default in (None, False) else str(flag.default),
            flag.help,
        )
        for flag in FLAGS
    ]
