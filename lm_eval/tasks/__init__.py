"""The tasks by name: each dataset in the forms that make sense for it (SPEC §2, task names)."""

from lm_eval.config import RunConfig
from lm_eval.errors import ConfigurationError
from lm_eval.settings import choices_text
from lm_eval.tasks.base import FORM_OF_MODEL, Dataset, Example, Task
from lm_eval.tasks.hellaswag import HELLASWAG
from lm_eval.tasks.webqs import WEBQS

__all__ = ["TASKS", "Dataset", "Example", "Task", "find_task"]

_ALL = (
    Task(name="hellaswag", dataset=HELLASWAG, form="standard", metrics=("acc", "acc_norm_unspaced")),
    Task(name="hellaswag_d", dataset=HELLASWAG, form="similarity", metrics=("acc", "rand_acc")),
    Task(name="hellaswag_dg", dataset=HELLASWAG, form="generation", metrics=("acc", "rand_acc", "acc_norm", "em")),
    Task(name="webqs", dataset=WEBQS, form="standard", metrics=("acc_em",)),
    Task(name="webqs_dg", dataset=WEBQS, form="generation", metrics=("acc_em",)),
)
TASKS = {task.name: task for task in _ALL}


def find_task(config: RunConfig) -> Task:
    """Return the task of a configuration.

    Raises:
        ConfigurationError: no task has that name, or its form is not the one that the model scores.
    """
    if config.task not in TASKS:
        raise ConfigurationError(f"unknown task {config.task!r}; choose from {choices_text(tuple(TASKS))}")
    task = TASKS[config.task]
    wanted = FORM_OF_MODEL[config.model]
    if task.form != wanted:
        fitting = tuple(name for name, other in TASKS.items() if other.form == wanted)
        raise ConfigurationError(
            f"task {task.name!r} is for {task.form} scoring, but --model {config.model} does {wanted}; "
            f"choose from {choices_text(fitting)}"
        )
    return task
