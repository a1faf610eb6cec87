"""What is measured on a GPU: models of Pythia's shapes with random weights, and documents as long as HellaSwag's.

The tokenizer is the demo's, of 1,024 tokens; the models have Pythia's vocabulary of 50,304. Documents are made of two
of the demo's stories each, which with this tokenizer makes five shots about 500 tokens and a choice about 25.
"""

import gc
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPTNeoXConfig

from benchmarks.engine import GEN, SIM, Settings, make_config, resolve_all, time_engine
from benchmarks.gpu_report import Setup
from benchmarks.subjects import Subject
from lm_eval.config.runtime import Execution
from lm_eval.inference.loading import wrap_model
from lm_eval.models.model_list import DEMO
from lm_eval.results.identity import Run
from lm_eval.scoring.evaluation import Evaluation
from tests.support.plain_text import read_rows

MOST_DOCUMENTS, TRAINING = 2_000, 8_000
"""Rows that are scored and rows that shots are drawn from: enough that few shots recur, as in HellaSwag's 39,905."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a GPT-NeoX is made of."""

    name: str
    layers: int
    hidden: int
    heads: int
    vocabulary: int = 50_304


SHAPES = (
    Shape(name="0.4 B", layers=24, hidden=1024, heads=16),
    Shape(name="1.4 B", layers=24, hidden=2048, heads=16),
    Shape(name="6.9 B", layers=32, hidden=4096, heads=32),
)
_TINY = Shape(name="tiny", layers=3, hidden=32, heads=4, vocabulary=1024)


def shapes(setup: Setup) -> tuple[Shape, ...]:
    """Return the shapes that are measured; in a rehearsal small ones."""
    return (_TINY,) if setup.tiny else SHAPES


def middle_shape(setup: Setup) -> Shape:
    """Return the shape for what is measured on one alone."""
    return _TINY if setup.tiny else SHAPES[1]


@dataclass(frozen=True, kw_only=True)
class GpuWork:
    """A piece of work."""

    name: str
    model: str
    scheme: str
    settings: Settings

    def run(self, subject: Subject, documents: int) -> Run:
        """Return its run over a number of documents, with five shots."""
        config = make_config(
            self.model, self.scheme, self.settings, num_fewshot=5, documents=documents, data_dir=subject.data_dir
        )
        return resolve_all([config])[0]

    def evaluate(
        self, subject: Subject, documents: int, execution: Execution | None = None
    ) -> tuple[float, Evaluation]:
        """Evaluate a number of documents; return seconds, with all that the card does, and the evaluation."""
        seconds, (evaluation,) = time_engine(subject, [self.run(subject, documents)], execution)
        return seconds, evaluation


_MEAN: Settings = {"WORD_AGG_SCHEME": "mean"}
CROSS = GpuWork(name="cross_encoding, 5 shots", model=GEN, scheme="cross_encoding", settings={})
WORKS = (
    CROSS,
    GpuWork(
        name="dist_sim, 5 shots, last layer",
        model=SIM,
        scheme="concat_each_example",
        settings={**_MEAN, "SIMILARITY_FUNC": "cosine_sim"},
    ),
    GpuWork(name="dist_gen, 5 shots, last layer", model=GEN, scheme="concat_each_example", settings=_MEAN),
    GpuWork(
        name="dist_gen, 5 shots, layer 0",
        model=GEN,
        scheme="concat_each_example",
        settings={**_MEAN, "ENCODING_LAYER": 0},
    ),
)


def free_memory(setup: Setup) -> None:
    """Give back what a model took that is gone, and measure peaks anew."""
    gc.collect()
    if setup.on_card:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def write_documents(folder: Path, *, documents: int, training: int) -> Path:
    """Write rows of HellaSwag's form and length, if they aren't there, and return the folder for `data_dir=`."""
    target = folder / "hellaswag"
    if not target.is_dir():
        target.mkdir(parents=True)
        rnd = random.Random(0)  # noqa: S311
        stories = read_rows(DEMO / "data" / "hellaswag" / "validation.jsonl")
        for split, number in (("validation", documents), ("train", training)):
            rows = (json.dumps(_row(number, *rnd.sample(stories, 3))) for number in range(number))
            (target / f"{split}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def _row(number: int, first: dict[str, Any], second: dict[str, Any], third: dict[str, Any]) -> dict[str, Any]:
    context = f"{first['ctx_a']} Later that day: {second['ctx_a']}"
    endings = [f"{one} Then somebody {other}" for one, other in zip(second["endings"], third["endings"], strict=True)]
    return {**second, "ind": number, "ctx_a": context, "endings": endings}


def make_subject(setup: Setup, shape: Shape, dtype: torch.dtype = torch.bfloat16) -> Subject:
    """Make a model of a shape with random weights, directly on the device, and the documents."""
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        hidden_size=shape.hidden, num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        intermediate_size=4 * shape.hidden, vocab_size=shape.vocabulary, max_position_embeddings=2048,
    )  # fmt: skip
    with torch.device(setup.device):
        network = AutoModelForCausalLM.from_config(config, dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(DEMO / "models" / "demo-gpt")
    numbers = (40, 60) if setup.tiny else (MOST_DOCUMENTS, TRAINING)
    data_dir = write_documents(setup.folder / "data", documents=numbers[0], training=numbers[1])
    return Subject(wrap_model(network.eval(), tokenizer, name=f"pythia {shape.name}"), data_dir)


@contextmanager
def plain_ready(subject: Subject) -> Iterator[None]:
    """Let the plain way, which knows nothing of devices and dtypes, use the model where and as it is."""
    network = subject.model.network

    def to_dtype(_module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:  # noqa: ANN401
        inputs = kwargs.get("inputs_embeds")
        return args, kwargs if inputs is None else {**kwargs, "inputs_embeds": inputs.to(subject.model.dtype)}

    hook = network.register_forward_pre_hook(to_dtype, with_kwargs=True)
    try:
        with torch.device(subject.model.device):
            yield
    finally:
        hook.remove()
