"""Package metadata; the dependencies themselves are declared in env_files, which pip-compile locks."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def requirements(name: str) -> list[str]:
    """Read the requirements of `env_files/<name>.in`, without comments."""
    lines = (ROOT / "env_files" / f"{name}.in").read_text(encoding="utf-8").splitlines()
    return [requirement for line in lines if (requirement := line.partition("#")[0].strip())]


setup(
    name="lm_eval",
    version="0.1.0",
    description="Evaluates language models on concept vectors: similarity, generation and the ordinary baseline",
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["lm_eval", "lm_eval.*"]),
    package_data={"lm_eval": ["py.typed", "tasks/builtin/*.yaml", "analysis/report/static/*"]},
    install_requires=requirements("lme"),
    entry_points={"console_scripts": ["lm_eval = lm_eval.cli.evaluate:main"]},
    extras_require={"dev": requirements("dev"), "quantised": ["bitsandbytes"], "wandb": ["wandb>=0.19.10"]},
)
