"""The same scores on the card as on the CPU: tiny random models of many families, all three ways of scoring."""

import importlib
import math
from collections.abc import Sequence
from pathlib import Path

from benchmarks.compare import Scores, relative_difference
from benchmarks.engine import GEN, SIM, Settings, make_config, resolve_all, scores_of
from benchmarks.gpu_report import Report, Setup
from lm_eval.config.runtime import Execution
from lm_eval.errors import ConfigurationError
from lm_eval.evaluator import simple_evaluate
from lm_eval.inference.loading import load_model
from lm_eval.models.language_model import LanguageModel
from lm_eval.models.model_list import DEMO
from lm_eval.results.identity import Run
from lm_eval.scoring.run_pass import evaluate_many
from tests.support.worlds import write_world

FAMILIES = (
    "gpt_neox", "gpt2", "llama", "t5", "gpt_neo", "gptj", "bloom", "opt", "mistral", "gemma2", "bart", "t5_relu", "mt5",
    "qwen3", "falcon", "falcon_alibi", "mpt", "phi", "gpt_bigcode", "gemma3_text", "qwen2", "umt5", "t5gemma", "phi3",
    "cohere", "mamba",
)  # fmt: skip
_MEAN: Settings = {"WORD_AGG_SCHEME": "mean"}
WORKS: dict[str, tuple[str, str, Settings]] = {
    "cross_encoding": (GEN, "cross_encoding", {}),
    "dist_gen": (GEN, "concat_each_example", _MEAN),
    "dist_gen, sentences, layer 1": (GEN, "sentence_level_segmentation", {**_MEAN, "ENCODING_LAYER": 1}),
    "no_context": (GEN, "no_context", {}),
    "dist_sim": (SIM, "concat_each_example", {**_MEAN, "SIMILARITY_FUNC": "cosine_sim"}),
}
FLOAT32_BOUND = 1e-4
BFLOAT16_TIMES, BFLOAT16_SLACK = 3.0, 0.02
"""In bfloat16 the card may be no further from float32 than so many times as far as the CPU's own bfloat16, and a
little: both round to 8 bits, in another order. An absolute bound would measure the model: these have weights 15 times
as wide as a fresh one's, and some families' scores move by 6 per cent."""


def save_tiny(family: str, folder: Path) -> Path:
    """Write a tiny random model of a family, as the tests make it, with 1,024 positions; return its folder."""
    tests = importlib.import_module("tests.support.tiny_models")  # mypy would follow an import into the tests
    saved: Path = tests.save_tiny(family, folder, max_length=1024)
    return saved


def count_flips(mine: Scores, theirs: Scores) -> int:
    """Return for how many documents another choice scores best."""
    return sum(_best(a) != _best(b) for a, b in zip(mine, theirs, strict=True))


def _best(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=lambda index: scores[index])


def runs_of(folder: Path, data_dir: Path, documents: int) -> list[Run]:
    """Return one run of each work, of a model in a folder."""
    return resolve_all(
        make_config(
            model, scheme, {**settings, "pretrained": str(folder)}, num_fewshot=2, documents=documents,
            data_dir=data_dir,
        )
        for model, scheme, settings in WORKS.values()
    )  # fmt: skip


def score(model: LanguageModel, runs: Sequence[Run]) -> list[Scores]:
    """Return the scores of each run; each has a pass of its own."""
    return [scores_of(evaluate_many([run], model, Execution())[0]) for run in runs]


def _compare_family(family: str, setup: Setup, report: Report) -> None:
    folder = save_tiny(family, setup.folder / family)
    runs = runs_of(folder, write_world(setup.folder / "world"), 2 if setup.tiny else 8)
    places = {"cpu": ("cpu", "float32"), "card": (setup.device, "float32")}
    places |= {"cpu, rough": ("cpu", "bfloat16"), "card, rough": (setup.device, "bfloat16")}
    scores: dict[str, list[Scores]] = {}
    for name, (device, dtype) in places.items():
        where = f"{family}, {dtype} on {device}"
        with report.part(where):
            try:
                scores[name] = score(load_model(str(folder), dtype=dtype, device=device), runs)
            except ConfigurationError as error:  # as of a release of transformers that gets the family wrong
                report.row(where, {"refused": str(error)})
    if "card" not in scores or "cpu" not in scores:
        return
    exact = dict(zip(WORKS, map(relative_difference, scores["card"], scores["cpu"]), strict=True))
    figures: dict[str, object] = {"float32": max(exact.values()), "flips": _flips(scores["card"], scores["cpu"])}
    is_ok, details = max(exact.values()) <= FLOAT32_BOUND, {"float32 by work": exact}
    if "cpu, rough" in scores and "card, rough" in scores:
        allowed = dict(zip(WORKS, map(relative_difference, scores["cpu, rough"], scores["cpu"]), strict=True))
        rough = dict(zip(WORKS, map(relative_difference, scores["card, rough"], scores["cpu"]), strict=True))
        figures |= {"bfloat16": max(rough.values()), "the CPU's bfloat16": max(allowed.values())}
        figures["bfloat16 flips"] = _flips(scores["card, rough"], scores["cpu"])
        bounds = {work: BFLOAT16_TIMES * allowed[work] + BFLOAT16_SLACK for work in WORKS}
        is_ok &= all(math.isfinite(rough[work]) and rough[work] <= bounds[work] for work in WORKS)
        details |= {"bfloat16 by work": rough, "the CPU's bfloat16 by work": allowed}
    report.row(family, {**figures, "ok": is_ok}, details)


def _flips(mine: Sequence[Scores], theirs: Sequence[Scores]) -> int:
    return sum(map(count_flips, mine, theirs))


def parity(setup: Setup, report: Report) -> None:
    """Compare the card's scores with the CPU's, family by family."""
    families = FAMILIES[:4] if setup.tiny else FAMILIES
    for family in report.in_time(families, str, 90):
        with report.part(family):
            _compare_family(family, setup, report)


def auto(setup: Setup, report: Report) -> None:
    """Compare `device_map=auto` on one card with the model put there whole."""
    families = ("gpt_neox", "t5", "bloom", "demo-gpt")
    for family in families[:1] if setup.tiny else families:
        name = f"device_map=auto, {family}"
        with report.part(name):
            is_demo = family == "demo-gpt"
            folder = DEMO / "models" / family if is_demo else setup.folder / f"auto-{family}"
            if not is_demo:
                save_tiny(family, folder)
            whole, spread = (_evaluate_folder(folder, setup, device_map=which) for which in (None, "auto"))
            difference = relative_difference(spread[1], whole[1])
            figures = {"difference": difference, "flips": count_flips(spread[1], whole[1]), "device": spread[0]}
            report.row(name, {**figures, "ok": difference <= FLOAT32_BOUND})


def _evaluate_folder(folder: Path, setup: Setup, *, device_map: str | None) -> tuple[str, Scores]:
    """Return the device that a model came to, and its scores, by the public way."""
    spread = "" if device_map is None else f",device_map={device_map}"
    result = simple_evaluate(
        model=GEN,
        model_args=f"pretrained={folder},dtype=float32,WORD_AGG_SCHEME=mean{spread}",
        tasks="hellaswag_dg",
        task_args=f"encoding_scheme=concat_each_example,data_dir={write_world(setup.folder / 'world')}",
        num_fewshot=2, limit=4, log_samples=True,
        device=None if spread else setup.device,
    )  # fmt: skip
    (run,), (samples,) = result["run"].values(), result["samples"].values()
    return run["device"], [sample["scores"] for sample in samples]
