"""Tasks by name: the built-in ones and those of `include_path`, each dataset in all its forms (experiment §2).

Two built-in datasets are Python modules, the rest are YAML files in `builtin/`, like those that users write.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lm_eval.common.text import did_you_mean
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.tasks.base import FORM_OF_MODEL, Form, Task
from lm_eval.tasks.hellaswag import HELLASWAG
from lm_eval.tasks.webqs import WEBQS
from lm_eval.tasks.yaml_tasks.build import SUFFIXES, make_tasks
from lm_eval.tasks.yaml_tasks.index import TaskIndex, open_index
from lm_eval.tasks.yaml_tasks.parser import read_task_file

_MODULES = (
    Task(name="hellaswag", dataset=HELLASWAG, form="standard", metrics=("acc", "acc_norm_unspaced")),
    Task(name="hellaswag_d", dataset=HELLASWAG, form="similarity", metrics=("acc", "rand_acc")),
    Task(name="hellaswag_dg", dataset=HELLASWAG, form="generation", metrics=("acc", "rand_acc", "acc_norm", "em")),
    Task(name="webqs", dataset=WEBQS, form="standard", metrics=("acc_em",)),
    Task(name="webqs_dg", dataset=WEBQS, form="generation", metrics=("acc_em",)),
)
BUILTIN = Path(__file__).parent / "builtin"
_FILES = tuple(task for path in sorted(BUILTIN.glob("*.yaml")) for task in make_tasks(read_task_file(path)).values())
TASKS = {task.name: task for task in (*_MODULES, *_FILES)}


def find_task(kind: str, name: str, include_path: str | None = None) -> Task:
    """Return a task; one in the folder of task files wins over a built-in one of the same name.

    Args:
        kind: the model kind (dist_sim, dist_gen, hf), which decides the form.
        name: with the suffix of that form.
        include_path: a folder of task files.

    Raises:
        ConfigurationError: no task has that name, or its form is not the one that the model scores; or its file is
            wrong.
    """
    form = FORM_OF_MODEL[kind]
    if include_path is not None:
        task = _find_in(open_index(include_path), kind, name)
        if task is not None:
            return task
    if name in TASKS and TASKS[name].form == form:
        return TASKS[name]
    if name in TASKS:
        of_form = {other: task for other, task in TASKS.items() if task.form == form}
        same = [other for other, task in of_form.items() if task.dataset is TASKS[name].dataset]
        raise _wrong_form(TASKS[name], kind, same or list(of_form))
    raise ConfigurationError(_unknown(name, form, include_path))


def _find_in(index: TaskIndex, kind: str, name: str) -> Task | None:
    """Return the task that a file of the index defines, or None."""
    form = FORM_OF_MODEL[kind]
    base = name.removesuffix(SUFFIXES[form])
    if base + SUFFIXES[form] == name and (tasks := index.tasks(base)) is not None:
        if form not in tasks:
            raise _wrong_form(tasks["standard"], kind, [])
        return tasks[form]
    for other, suffix in SUFFIXES.items():
        base = name.removesuffix(suffix)
        if other != form and base + suffix == name and (tasks := index.tasks(base)) is not None:
            raise _wrong_form(tasks.get(other, tasks["standard"]), kind, [tasks[form].name] if form in tasks else [])
    return None


def _wrong_form(task: Task, kind: str, fitting: Sequence[str]) -> ConfigurationError:
    wanted = FORM_OF_MODEL[kind]
    remedy = f"choose from {', '.join(fitting)}" if fitting else f"it has no choices to compare for {wanted}"
    return ConfigurationError(
        f"task {task.name!r} is for {task.form} scoring, but --model {kind} does {wanted}; {remedy}"
    )


def _unknown(name: str, form: Form, include_path: str | None) -> str:
    fitting = [other for other, task in TASKS.items() if task.form == form]
    base = without_form(name)
    valid = f"for {form} choose from {', '.join(fitting)}"
    if include_path is not None:
        index = open_index(include_path)
        number = len(index.names)
        there = f"or from the {number} names in" if number else "for `task` stands in no file of"
        return f"unknown task {name!r}{index.remarks(base)}; {valid}, {there} {index.folder}"
    near = did_you_mean(base, {without_form(other): other for other in fitting})
    return f"unknown task {name!r}{near}; {valid}, or name a folder with task files (include_path)"


def without_form(name: str) -> str:
    """Return a task's name without the suffix of its form (`_d`, `_dg`)."""
    return name.removesuffix("_dg").removesuffix("_d")


def find_groups(names: Sequence[str], model: str, include_path: str | None) -> dict[str, list[str]]:
    """Return the groups and tags among names, each with the names of its tasks.

    Args:
        names: names of tasks, groups or tags, with the suffix of the form that the model scores.
        model: a model kind.
        include_path: the folder of task files that has the groups; None for none.

    Raises:
        ConfigurationError: a group that cannot be followed.
    """
    form = FORM_OF_MODEL.get(model)
    if include_path is None or form is None:
        return {}
    index, suffix = open_index(include_path), SUFFIXES[form]
    groups = {}
    for name in names:
        base = name.removesuffix(suffix)
        is_task = base + suffix != name or index.tasks(base) is not None or name in TASKS
        members = None if is_task else index.members(base)
        if members is not None:
            groups[name] = [member + suffix for member in members]
    return groups


def expand_tasks(names: Sequence[str], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Return task names, each once, with every group replaced by its tasks."""
    return list(dict.fromkeys(task for name in names for task in groups.get(name, [name])))


def in_form(name: str, model: str) -> str:
    """Return a task's name with the suffix of the form that a model kind scores, given with it or without."""
    suffix = SUFFIXES[FORM_OF_MODEL[model]]
    return name if name.endswith(suffix) else name + suffix


def known_task(kind: str, name: str, include_path: str | None = None) -> Task | None:
    """Return a task, such as that of a stored result, or None where its definition is not available."""
    try:
        return find_task(kind, name, include_path)
    except ConfigurationError:
        return None


def dataset_name(config: RunConfig) -> str:
    """Return the name that a task has in all its forms, whether or not its definition is available."""
    task: Task | None = TASKS.get(config.task)
    if task is not None:
        return task.dataset.name
    return config.task.removesuffix(SUFFIXES[FORM_OF_MODEL[config.model]])
