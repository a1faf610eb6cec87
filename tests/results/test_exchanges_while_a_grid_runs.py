"""Weights, adapter, tokenizer and data exchanged at random moments of a grid, by a process beside it.

The files have two contents each, so sixteen worlds in all. Whatever happens, a result that states one of them has the
scores that this one gives undisturbed. LM_EVAL_EXCHANGES=50 exchanges more often than a test of every day.
"""

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from lm_eval.common import digests
from lm_eval.common.text import format_pairs
from lm_eval.config.checkpoint import Checkpoint
from lm_eval.config.runtime import Execution
from lm_eval.grid.grid import Grid
from lm_eval.grid.script import carry_out
from lm_eval.models.info import model_identity
from lm_eval.results.failures import read_failures
from lm_eval.scheduling.executors.in_process import InProcessExecutor
from tests.support import exchanger
from tests.support.grids import options
from tests.support.tiny_models import save_tiny, tiny_model
from tests.support.worlds import hellaswag_row, write_rows

pytestmark = pytest.mark.slow

NUM_EXCHANGES = int(os.environ.get("LM_EVAL_EXCHANGES", "6"))
PAUSE_S = 1.2
"""The longest between two exchanges: a call of the grid takes as long on a machine that is busy."""
SCHEMES = ["concat_all_examples", "concat_each_example", "segment_each_example"]


class World:
    """A folder with a model, an adapter, a tokenizer and data, each of which has another content beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.beside = folder, folder / "beside"
        self.beside.mkdir(parents=True)
        model = save_tiny("gpt2", folder / "model", max_length=1024)
        self._turn_weights(model / "model.safetensors")
        self._make_adapter()
        shutil.copytree(model, folder / "tokenizer", ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
        self._turn_tokenizer(folder / "tokenizer" / "tokenizer.json")
        rows = [hellaswag_row(number) for number in range(12)]
        for split in ("train", "validation"):
            write_rows(folder / "data" / "hellaswag" / f"{split}.jsonl", rows)
        turned = write_rows(self.beside / "turned.jsonl", [{**row, "endings": row["endings"][::-1]} for row in rows])
        self._keep(folder / "data" / "hellaswag" / "validation.jsonl", turned.read_bytes())

    def _keep(self, path: Path, other: bytes) -> None:
        """Keep both contents of a file beside it."""
        assert len(other) == path.stat().st_size
        assert other != path.read_bytes()
        for number, content in enumerate((path.read_bytes(), other)):
            self.contents_of(path)[number].write_bytes(content)

    def contents_of(self, path: Path) -> list[Path]:
        return [self.beside / f"{path.parent.name}-{path.name}.{number}" for number in (0, 1)]

    def _turn_weights(self, path: Path) -> None:
        tensors = load_file(path)
        turned = {name: tensor + 0.3 * torch.randn_like(tensor) for name, tensor in tensors.items()}
        save_file(turned, self.beside / "turned", metadata={"format": "pt"})
        self._keep(path, (self.beside / "turned").read_bytes())

    def _make_adapter(self) -> None:
        network, _ = tiny_model("gpt2")
        lora = LoraConfig(
            r=2, target_modules=["c_attn"], init_lora_weights=False, task_type="CAUSAL_LM", fan_in_fan_out=True
        )
        get_peft_model(network, lora).save_pretrained(self.folder / "adapter")
        self._turn_weights(self.folder / "adapter" / "adapter_model.safetensors")

    def _turn_tokenizer(self, path: Path) -> None:
        before = path.read_text()
        after = before.replace('"add_prefix_space": false', '"add_prefix_space": true ')
        self._keep(path, after.encode())

    @property
    def files(self) -> list[Path]:
        names = ("model/model.safetensors", "adapter/adapter_model.safetensors", "tokenizer/tokenizer.json")
        return [self.folder / name for name in (*names, "data/hellaswag/validation.jsonl")]

    def exchange(self, number: int, seed: int) -> "subprocess.Popen[str]":
        contents = {str(path): [str(one) for one in self.contents_of(path)] for path in self.files}
        plan = {"contents": contents, "number": number, "pause_s": PAUSE_S, "seed": seed}
        (self.folder / "plan.json").write_text(json.dumps(plan))
        command = [sys.executable, exchanger.__file__, str(self.folder / "plan.json")]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def put(self, choice: tuple[int, ...]) -> None:
        for path, number in zip(self.files, choice, strict=True):
            exchanger.by_rename(path, self.contents_of(path)[number].read_bytes())

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(peft=str(self.folder / "adapter"), tokenizer=str(self.folder / "tokenizer"))

    def stated(self) -> str:
        """Return what a result of the files that lie there now states of them."""
        weights = model_identity(str(self.folder / "model"), None, self.checkpoint)
        data = hashlib.sha256(self.files[-1].read_bytes()).hexdigest()
        return content_of({"weights": weights, "data": {"validation": data}})

    def run(self, results: Path) -> int:
        grid = Grid(
            model="dist_gen", task="hellaswag_dg", models=[str(self.folder / "model")], arch_type="decoder-only",
            num_fewshot=[0, 1, 2], encoding_scheme=SCHEMES, settings={"WORD_AGG_SCHEME": ["mean", "last"]},
        )  # fmt: skip
        loading = format_pairs(self.checkpoint.stated())
        chosen = options(
            self.folder / "data", results, limit="3", log_samples=True, retry_failed=True, loading=loading,
            dtype="float32",
        )  # fmt: skip
        return carry_out([grid], chosen, "unused", InProcessExecutor(execution=Execution(log_samples=True)))


def content_of(identity: dict[str, Any]) -> str:
    """Return what an identity states of the files that are exchanged."""
    return json.dumps([identity["weights"], identity["data"]["validation"]], sort_keys=True)


def results_in(folder: Path) -> Iterator[tuple[str, list[list[float]]]]:
    """Yield what each result states and holds."""
    for path in folder.glob("*.json"):
        if not path.name.endswith(".error.json"):
            content = json.loads(path.read_text())
            (stated,) = content["identity"].values()
            (samples,) = content["samples"].values()
            yield json.dumps(stated, sort_keys=True), [sample["scores"] for sample in samples]


@pytest.fixture
def keeping_all(tmp_path, monkeypatch):
    """Digests of the smallest files are kept for the machine too, and almost at once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "_known", {})
    for name, value in (("_WORTH_KEEPING", 0), ("_QUIET_S", 0.1), ("SETTLED_S", 0.1)):
        monkeypatch.setattr(digests, name, value)
    monkeypatch.setattr(digests, "_is_honest", lambda _path: True)


@pytest.mark.usefixtures("keeping_all")
def test_no_result_states_one_content_and_holds_anothers_scores(tmp_path, capsys):
    world, results = World(tmp_path / "world"), tmp_path / "results"
    beside = world.exchange(NUM_EXCHANGES, seed=NUM_EXCHANGES)
    found, seen = [], Counter()
    while beside.poll() is None:
        digests._known.clear()  # as in a process of its own
        seen["calls that failed in part" if world.run(results) else "calls that failed in nothing"] += 1
        found += results_in(results)
        failures = [one.failure for one in read_failures(results).values()]
        seen["failed runs"] += len(failures)
        assert [failure.traceback for failure in failures if failure.traceback] == []
    exchanges = [json.loads(line) for line in beside.communicate()[0].splitlines()]
    assert beside.returncode == 0
    assert digests.cache_file().exists()
    assert len(exchanges) == NUM_EXCHANGES
    assert world.run(results) == 0  # what failed is done once files stay as they are
    found += results_in(results)

    truth, distinct = {}, {stated for stated, _ in found}
    contents_stated = {content_of(json.loads(stated)) for stated in distinct}
    for number, choice in enumerate(itertools.product((0, 1), repeat=len(world.files))):
        world.put(choice)
        if world.stated() in contents_stated:
            assert world.run(tmp_path / f"undisturbed-{number}") == 0
            truth |= dict(results_in(tmp_path / f"undisturbed-{number}"))
    with capsys.disabled():
        kinds = Counter(name for _, name in exchanges)
        print(f"\n{len(exchanges)} exchanges {dict(kinds)}; {dict(seen)}")
        print(f"{len(found)} results were read, of {len(distinct)} identities")
    assert distinct <= truth.keys()
    wrong = [stated for stated, scores in found if scores != [pytest.approx(one, abs=2e-5) for one in truth[stated]]]
    assert wrong == []
