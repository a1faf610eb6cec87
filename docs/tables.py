#!/usr/bin/env python3
"""The generated parts of the documentation: tables of settings, flags, model families and tasks, made from the code.

They stand in the pages between `<!-- table: NAME -->` and `<!-- end -->`, so that the pages also read as plain
Markdown. `python docs/tables.py` writes them anew; `tests/system/test_docs.py` fails where one differs from the code.
"""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # lm_eval of this checkout, installed or not

from lm_eval.cli import evaluate
from lm_eval.common.field_docs import field_docs
from lm_eval.config.checkpoint import CHECKPOINT_KEYS, Checkpoint
from lm_eval.config.run_config import MODEL_KEYS, TASK_KEYS, RunConfig
from lm_eval.config.settings import VectorSettings
from lm_eval.errors import ConfigurationError
from lm_eval.grid.flags import flag_rows
from lm_eval.models.families import FAMILIES, MAX_LENGTH_UNLIMITED, Family
from lm_eval.scoring.metrics import METRICS
from lm_eval.tasks.base import FORM_OF_MODEL, Form
from lm_eval.tasks.registry import TASKS

DOCS = Path(__file__).resolve().parent


def linked_docs(cls: type) -> dict[str, str]:
    """Return the string under each field of a class, with links to the sections of the experiment that it cites."""
    citation = re.compile(r"experiment §[\d.]*\d")
    return {name: citation.sub(r"[\g<0>](experiment.md)", text) for name, text in field_docs(cls).items()}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    cells = [[cell.replace("<", "&lt;") if "`" not in cell else cell for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *cells))


def code(names: Iterable[object]) -> str:
    """Return names as code, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)


def values_of(setting: str) -> tuple[list[str], list[str]]:
    """Return the values of a setting and the prefixes that they can have, as the refusal of a wrong one lists them."""
    wrong = f"pretrained=any,{setting}=?"
    try:
        RunConfig.parse(model="dist_gen", model_args=wrong, task="", task_args="", num_fewshot=0)
    except ConfigurationError as error:
        values, _, prefixes = str(error).partition("choose from ")[2].partition(", optionally after one of ")
    named = [value.removeprefix("or ") for value in values.split(", ")]
    return list(dict.fromkeys(["None", *named])), prefixes.split(", ") if prefixes else []


def settings() -> str:
    """Return the table of the settings of concept vectors."""
    rows = []
    for field, text in linked_docs(VectorSettings).items():
        values, prefixes = values_of(field.upper())
        spelled = ", ".join(value if value.startswith("an ") else f"`{value}`" for value in values)
        rows.append([f"`{field.upper()}`", spelled + (", with or without a prefix (below)" if prefixes else ""), text])
    return table(["setting", "values", "meaning"], rows)


def prefixes() -> str:
    """Return the list of prefixes of WORD_AGG_SCHEME."""
    return "\n".join(f"- `{prefix}`" for prefix in values_of("WORD_AGG_SCHEME")[1])


def model_keys() -> str:
    """Return the table of what else `model_args` takes."""
    texts = {**linked_docs(RunConfig), **linked_docs(Checkpoint)}
    rows = [[f"`{key}`", texts[key]] for key in (*MODEL_KEYS, *CHECKPOINT_KEYS)]
    return table(["key", "meaning"], [*rows, ["`device_map`", "`auto` lays the model over all visible GPUs."]])


def task_keys() -> str:
    """Return the table of what `task_args` takes."""
    texts = linked_docs(RunConfig)
    return table(["key", "meaning"], [[f"`{key}`", texts[key]] for key in TASK_KEYS])


def _longest(family: Family) -> str:
    if family.limit_from_tokenizer:
        return "the tokenizer's"
    return "the config's" if family.max_positions else f"none ({MAX_LENGTH_UNLIMITED:,} here)"


_READ_ONCE = {"row": "in one row with its choices", "cache": "from a cache", "none": "no: once for each choice"}


def families() -> str:
    """Return the table of model families."""
    rows = [
        [
            f"`{name}`",
            family.architecture,
            _longest(family),
            "yes" if family.position_embedding else "-",
            _READ_ONCE[family.sharing],
        ]
        for name, family in FAMILIES.items()
    ]
    return table(["`model_type`", "architecture", "longest sequence", "`ADD_POS`", "a context is read once"], rows)


def _metrics(dataset: str, form: Form) -> str:
    of_form = [task for task in TASKS.values() if task.dataset.name == dataset and task.form == form]
    return code(dict.fromkeys(METRICS[metric].name for task in of_form for metric in task.metrics)) or "-"


def tasks() -> str:
    """Return the table of the built-in tasks, with the metrics that each form reports."""
    datasets = {task.dataset.name: task.dataset.hub_title for task in TASKS.values()}
    rows = [
        [f"`{name}`", title, *(_metrics(name, form) for form in FORM_OF_MODEL.values())]
        for name, title in datasets.items()
    ]
    suffixes = {"hf": "", "dist_sim": "_d", "dist_gen": "_dg"}
    forms = [f"name{suffixes[kind]} (`{kind}`)" for kind in FORM_OF_MODEL]
    return table(["name", "on the hub", *forms], rows)


def run_flags() -> str:
    """Return the table of the flags of `python -m lm_eval`, those that must be given first."""
    rows = []
    for action in sorted(evaluate.build_parser()._actions, key=lambda action: not action.required):  # noqa: SLF001  (the only list)
        if action.dest != "help":
            form = "" if action.nargs == 0 else action.metavar or action.dest.upper()
            text = f"{action.help}; must be given" if action.required else str(action.help)
            rows.append([code(action.option_strings), code(str(form).split("|")) if form else "", text])
    return table(["flag", "value", "meaning"], rows)


def flags() -> str:
    """Return the table of the flags of the grid scripts."""
    rows = []
    for name, short, form, default, text in flag_rows():
        names = ", ".join(code([one]) for one in (short, name) if one)
        rows.append([names, code(form.split("|")) if form else "", code([default]) if default else "", text])
    return table(["flag", "value", "default", "meaning"], rows)


TABLES: dict[str, Callable[[], str]] = {
    "settings": settings,
    "prefixes": prefixes,
    "model keys": model_keys,
    "task keys": task_keys,
    "flags": flags,
    "run flags": run_flags,
    "families": families,
    "tasks": tasks,
}
_PLACE = re.compile(r"(<!-- table: (?P<name>[^>]+?) -->\n)(?P<old>.*?)(<!-- end -->)", re.DOTALL)


def renew(page: str) -> str:
    """Return a page with its tables made from the code."""

    def fill(place: re.Match[str]) -> str:
        return f"{place[1]}\n{TABLES[place['name']]()}\n\n{place[4]}"

    return _PLACE.sub(fill, page)


def main() -> int:
    """Write the tables of all pages anew, and name the pages that changed."""
    for path in sorted(DOCS.rglob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = renew(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"docs: the tables of {path.relative_to(DOCS)} were out of date and are renewed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
