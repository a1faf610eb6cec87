"""Grids over other tasks than their own: those that `--tasks` names, built in or found with `--include_path`."""

from dataclasses import replace
from pathlib import Path

from lm_eval.errors import ConfigurationError
from lm_eval.grid import Grid
from lm_eval.tasks import expand_tasks, find_groups, in_form


def with_tasks(grid: Grid, tasks: str | None, include_path: str | None) -> list[Grid]:
    """Return a grid for each task that is asked for in place of its own, with groups' tasks in place of groups.

    Args:
        grid: the grid.
        tasks: names separated by commas; None leaves the grid's.
        include_path: folder of task files.

    Raises:
        ConfigurationError: a task that does not exist, or that has no form for the grid's model.
    """
    names = [grid.task]
    if tasks is not None:
        names = [name.strip() for name in tasks.split(",") if name.strip()]
        if not names:
            raise ConfigurationError(f"--tasks {tasks!r} names no task")
        names = [in_form(name, grid.model) for name in names]
    groups = find_groups(names, grid.model, resolve(include_path))
    return [replace(grid, task=name) for name in expand_tasks(names, groups)]


def resolve(include_path: str | None) -> str | None:
    """Return a folder of task files as results state it."""
    return None if include_path is None else str(Path(include_path).expanduser().resolve())
