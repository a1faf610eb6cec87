"""The card itself, and the package on a machine with few packages."""

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata

import torch

from benchmarks.gpu_report import Report, Setup
from lm_eval.evaluator import simple_evaluate
from lm_eval.models.model_list import DEMO
from lm_eval.scheduling.hardware import local_machine

PACKAGES = (
    "torch", "transformers", "accelerate", "numpy", "pandas", "safetensors", "tokenizers", "jaxtyping", "pydantic",
    "jinja2", "pyyaml", "psutil", "nvidia-ml-py", "peft", "tqdm", "huggingface_hub", "ray", "datasets", "fire",
)  # fmt: skip
PRODUCT = "matrix product, bfloat16"
_IMPORT_ALL = """
import importlib, json, pkgutil, lm_eval
errors, modules = {}, [found.name for found in pkgutil.walk_packages(lm_eval.__path__, "lm_eval.")]
for name in modules:
    if not name.endswith("__main__"):
        try:
            importlib.import_module(name)
        except BaseException as error:
            errors[name] = repr(error)
print("\\n" + json.dumps([len(modules), errors]))
"""


def median_seconds(work: Callable[[], object], *, on_card: bool, times: int = 9) -> float:
    """Return the median time of some work, by the card's own clock where there is a card."""
    for _ in range(2):
        work()
    found: list[float] = []
    for _ in range(times):
        if on_card:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            work()
            end.record()
            end.synchronize()
            found.append(start.elapsed_time(end) / 1e3)
        else:
            began = time.perf_counter()
            work()
            found.append(time.perf_counter() - began)
    return statistics.median(found)


def product_tflops(device: str, dtype: torch.dtype, size: int) -> float:
    """Return the speed of a square matrix product of random numbers, in TFLOP/s."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    out = torch.empty_like(a)
    seconds = median_seconds(lambda: torch.matmul(a, b, out=out), on_card=device.startswith("cuda"))
    return 2 * size**3 / seconds / 1e12


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


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
            speed = product_tflops(setup.device, dtype, size)
            report.row(name, {"TFLOP/s": speed, "size": size, "precision": torch.get_float32_matmul_precision()})
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
