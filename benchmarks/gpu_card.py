"""The card itself, and the package on a machine with few packages."""

import json
import platform
import subprocess
import sys
from importlib import metadata

import torch

from benchmarks.gpu_report import Report, Setup
from benchmarks.speeds import matrix_speed, median_seconds
from lm_eval.evaluator import simple_evaluate
from lm_eval.models.model_list import DEMO
from lm_eval.scheduling.hardware import local_machine

PACKAGES = (
    "torch", "transformers", "accelerate", "numpy", "pandas", "safetensors", "tokenizers", "jaxtyping", "pydantic",
    "jinja2", "pyyaml", "psutil", "nvidia-ml-py", "peft", "tqdm", "huggingface_hub", "ray", "datasets", "fire",
)  # fmt: skip
PRODUCT = "matrix product, bfloat16"
_IMPORT_ALL = """
import gc, importlib, json, pkgutil, lm_eval
gc.disable()
errors, modules = {}, [module.name for module in pkgutil.walk_packages(lm_eval.__path__, "lm_eval.")]
for name in modules:
    if not name.endswith("__main__"):
        try:
            importlib.import_module(name)
        except BaseException as error:
            errors[name] = repr(error)
print("\\n" + json.dumps([len(modules), errors]))
"""


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "missing"
    return versions


def card(setup: Setup, report: Report) -> None:
    """Measure the card, and ask torch and NVML what it is."""
    versions = _versions()
    report.row("versions", {name: versions[name] for name in ("python", "torch", "transformers")}, versions)
    if setup.on_card:
        facts = torch.cuda.get_device_properties(setup.device)
        free, total = torch.cuda.mem_get_info(setup.device)
        figures = {"name": facts.name, "total GiB": total / 2**30, "free GiB": free / 2**30}
        report.row("card, by torch", figures, {"cuda": torch.version.cuda, "capability": [facts.major, facts.minor]})
    with report.part("machine, by NVML"):
        machine = local_machine()
        figures = {"cores": machine.num_cpus, "host GiB": machine.memory_gib, "cards": len(machine.gpus)}
        shown = [f"{gpu.name}, {gpu.memory_gib} GiB, {gpu.capability}" for gpu in machine.gpus]
        report.row("machine, by NVML", {**figures, "gpus": shown, "ok": bool(machine.gpus) or not setup.on_card})
    size = 256 if setup.tiny else 8192
    for dtype, name in ((torch.bfloat16, PRODUCT), (torch.float32, "matrix product, float32")):
        with report.part(name):
            speed = matrix_speed(size, dtype, setup.device)
            report.row(name, {"TFLOP/s": speed / 1e3, "size": size, "precision": torch.get_float32_matmul_precision()})
    with report.part("copy on the device"):
        source = torch.empty((1 << 20) if setup.tiny else (1 << 32), dtype=torch.uint8, device=setup.device)
        target = torch.empty_like(source)
        seconds = median_seconds(lambda: target.copy_(source), on_card=setup.on_card)
        report.row("copy on the device", {"GB/s read and written": 2 * source.numel() / seconds / 1e9})


def package(setup: Setup, report: Report) -> None:
    """Import every module of the package, without stand-ins, then go the whole public way on the demo's models."""
    command = [sys.executable, "-c", _IMPORT_ALL]
    with report.part("imports"):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=DEMO.parent)  # noqa: S603
        number, errors = json.loads(ended.stdout.splitlines()[-1])
        figures = {"modules": number, "not importable": len(errors), "because of": sorted(set(errors.values()))}
        report.row("imports", figures, {"modules that fail": errors})
    limit = 4 if setup.tiny else 100
    for name, model in (("demo-gpt", "dist_gen"), ("demo-t5", "dist_gen"), ("demo-gpt", "dist_sim")):
        label = f"simple_evaluate, {name}, {model}"
        with report.part(label):
            similarity = ",SIMILARITY_FUNC=dot_product" if model == "dist_sim" else ""
            result = simple_evaluate(
                model=model,
                model_args=f"pretrained={DEMO / 'models' / name},WORD_AGG_SCHEME=mean{similarity}",
                tasks={"dist_gen": "hellaswag_dg", "dist_sim": "hellaswag_d"}[model],
                task_args=f"encoding_scheme=concat_each_example,data_dir={DEMO / 'data'}",
                num_fewshot=2, limit=limit, verify=2,
                device=None if setup.on_card else setup.device,
            )  # fmt: skip
            (run,), (metrics,) = result["run"].values(), result["results"].values()
            figures = {"acc": metrics["acc"], "dtype": run["dtype"], "device": run["device"], "seconds": run["seconds"]}
            report.row(label, figures, {"run": run, "verification": result["verification"]})
