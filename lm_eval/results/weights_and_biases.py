"""Results as runs of Weights & Biases (`--wandb PROJECT`): one run a result, under the result's own fingerprint.

So a second call adds nothing twice. Nothing of the package is imported unless it is asked for.
"""

import hashlib
import importlib.util
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval.common.text import count_of, say_cause
from lm_eval.config.run_config import RunConfig
from lm_eval.errors import ConfigurationError, RunError
from lm_eval.results.identity import Identity, fingerprint, loading_of
from lm_eval.results.result_file import StoredResult
from lm_eval.tasks.registry import dataset_name

_SUMMARY = (
    "num_documents",
    "num_truncated_segments",
    "vectors_per_context",
    "tokens_per_vector",
    "seconds",
    "parameters",
)
"""What a result states of its run that its summary shows beside the metrics."""


def check_wandb(project: str | None) -> None:
    """Check, without importing it, that the package is there for a project.

    Raises:
        ConfigurationError: it isn't, or the project has no usable name.
    """
    if project is None:
        return
    if not project.strip() or any(letter in project for letter in "/\\#?%:"):
        raise ConfigurationError(f"--wandb must be a project's name without / \\ # ? % or :, got {project!r}")
    found = importlib.util.find_spec("wandb")
    if found is None or found.origin is None:  # a folder of that name, which its offline mode makes, is no package
        raise ConfigurationError(
            f"--wandb {project}: the package wandb is not installed; python -m pip install wandb, or leave --wandb out"
        )


@dataclass(frozen=True, kw_only=True)
class LoggedResult:
    """A result as it is sent."""

    config: RunConfig
    identity: Identity
    metrics: Mapping[str, float | None]
    run: Mapping[str, Any]
    """What its file states of how it came about."""

    @classmethod
    def of(cls, stored: StoredResult) -> "LoggedResult":
        """Take a stored result."""
        run = (stored.content.get("run") or {}).get(stored.config.task) or {}
        return cls(config=stored.config, identity=stored.identity, metrics=stored.metrics, run=run)

    @classmethod
    def of_file(cls, config: RunConfig, result: Mapping[str, Any]) -> "LoggedResult":
        """Take the content of a result file."""
        task = config.task
        return cls(
            config=config,
            identity=result["identity"][task],
            metrics=result["results"][task],
            run=result["run"][task],
        )

    @property
    def name(self) -> str:
        """Its fingerprint."""
        return fingerprint(self.identity)

    @property
    def title(self) -> str:
        """What its run is called."""
        config = self.config
        return " ".join([config.task, config.model_name, config.encoding_scheme or config.model])

    def settings(self) -> dict[str, Any]:
        """Return what its run shows as its config; what isn't set is the text None, so that axes show it."""
        config = self.config
        named = {
            "task": config.task,
            "dataset": dataset_name(config),
            "model": config.model_name,
            "pretrained": config.pretrained,
            "kind": config.model,
            "encoding_scheme": config.encoding_scheme,
            **config.vectors.public(),
            "limit": config.limit,
            "dtype": self.identity.get("dtype") or config.dtype,
            "loading": loading_of(config),
            "data_dir": config.data_dir,
            "description": config.description,
        }
        return {
            **{key: str(value) for key, value in named.items()},
            "num_fewshot": config.num_fewshot,
            "seed": config.seed,
        }

    def summary(self) -> dict[str, float]:
        """Return its metrics with their standard errors, and how it came about."""
        stated = {**self.metrics, **{key: self.run.get(key) for key in _SUMMARY}}
        return {key: value for key, value in stated.items() if isinstance(value, int | float)}


def log_results(project: str, results: Iterable[LoggedResult]) -> str:
    """Send results, each once, and return what was done in words.

    Raises:
        RunError: Weights & Biases can't be reached, or refuses them.
    """
    known, sent = 0, 0
    with _sending(project):
        for result in {one.name: one for one in results}.values():
            if _is_here(result.name):
                known += 1
                continue
            with _run(project, id=result.name, name=result.title, config=result.settings()) as run:
                run.summary.update(result.summary())
            sent += 1
    before = f", {known} {'was' if known == 1 else 'were'} there before" if known else ""
    return f"Weights & Biases, project {project}: {count_of(sent, 'result')} sent{before}"


def log_report(project: str, folder: Path) -> str:
    """Send a report's pages and tables as an artifact, named by what they hold, and return what was done in words.

    Raises:
        RunError: Weights & Biases can't be reached, or refuses them.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix in (".html", ".csv", ".md", ".tex"))
    content = hashlib.sha256()
    for path in files:
        content.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    name = f"report-{content.hexdigest()[:32]}"
    if _is_here(name):
        return f"Weights & Biases, project {project}: the report was there before"
    with _sending(project), _run(project, id=name, name="report", job_type="report") as run:
        import wandb  # noqa: PLC0415  (an optional package)

        artifact = wandb.Artifact("report", type="report")
        for path in files:
            artifact.add_file(str(path))
        run.log_artifact(artifact)
    return f"Weights & Biases, project {project}: the report sent"


@contextmanager
def _run(project: str, **named: Any) -> Iterator[Any]:  # noqa: ANN401  (of an optional package)
    import wandb  # noqa: PLC0415

    run = wandb.init(
        project=project,
        resume="allow",
        reinit="finish_previous",
        settings=wandb.Settings(silent=True, console="off"),
        **named,
    )
    try:
        yield run
    except BaseException:
        run.finish(exit_code=1)
        if os.environ.get("WANDB_MODE") == "offline":  # or the next call would take it for complete
            shutil.rmtree(Path(run.dir).parent, ignore_errors=True)
        raise
    run.finish()


@contextmanager
def _sending(project: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of the package, the network, the server
        raise RunError(
            f"--wandb {project}: not all was sent to Weights & Biases ({say_cause(error)}); the results are "
            "kept as without it; with WANDB_MODE=offline runs are kept here until `wandb sync` sends them"
        ) from error


def _is_here(name: str) -> bool:
    """Whether a run of this name is kept here already, until it is synchronised."""
    if os.environ.get("WANDB_MODE") != "offline":
        return False  # the server knows runs by their names, and goes on with the one of this name
    folder = Path(os.environ.get("WANDB_DIR", ".")) / "wandb"
    return folder.is_dir() and any(folder.glob(f"offline-run-*-{name}"))
