"""Tables for the tests of figures, and what of a figure a reader sees first."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lm_eval.analysis.scores import add_scores
from tests.support.results import BASELINE, table_of

GEN = {"ENCODING_LAYER": "0"}
SCHEMES = ("concat_all_examples", "concat_each_example", "segment_each_example", "sentence_level_segmentation")
SIM = {"kind": "dist_sim", "task": "hellaswag_d", "SIMILARITY_FUNC": "dot_product", "WORD_AGG_SCHEME": "w1mean"}


def model(name: str, size_b: float | None = 1.0, family: str | None = None, num_layers: int | None = None) -> dict:
    return {
        "pretrained": f"some/{name}",
        "model": name,
        "family": family or name.partition("-")[0],
        "size_b": np.nan if size_b is None else size_b,
        "num_layers": num_layers,
    }


def scored(*rows: dict) -> pd.DataFrame:
    return add_scores(table_of(*rows).astype({"size_b": float})).table


def one_model() -> pd.DataFrame:
    """Main configurations of a model at 0 and 5 shots, and a better run at 5."""
    rows = [{**model("tiny-1b"), **BASELINE, "num_fewshot": number} for number in (0, 5)]
    rows += [{**model("tiny-1b"), **GEN, "num_fewshot": 5, "encoding_scheme": scheme} for scheme in SCHEMES]
    rows += [{**model("tiny-1b"), **GEN, "num_fewshot": 0, "encoding_scheme": scheme} for scheme in SCHEMES[::3]]
    rows += [{**model("tiny-1b"), **GEN, "NORM": "L2", "acc": 0.45}]
    return scored(*rows)


def many_models(number: int = 20) -> pd.DataFrame:
    rows = []
    for index in range(number):
        of_model = model(f"{'abcd'[index % 4]}-{index}b", float(index + 1))
        rows.append({**of_model, **BASELINE})
        rows += [{**of_model, **GEN, "encoding_scheme": scheme, "acc": 0.3 + index / 100} for scheme in SCHEMES]
    return scored(*rows)


def layered(num_layers: int | None = None) -> pd.DataFrame:
    """Runs of a model at some layers, and worse ones with a norm."""
    of_model = model("a", num_layers=num_layers)
    rows = [{**of_model, **BASELINE}]
    for layer, acc in {"E": 0.2, "0": 0.3, "1": 0.35, "3": 0.4, "middle": 0.33, None: 0.45}.items():
        rows.append({**of_model, "ENCODING_LAYER": layer, "acc": acc})
        rows.append({**of_model, "ENCODING_LAYER": layer, "acc": acc - 0.05, "NORM": "L2"})
    return scored(*rows)


def first_shown(figure: go.Figure, kind: str, name: str | None = None) -> list:
    """The traces of a type that a reader sees first."""
    return [t for t in figure.data if t.type == kind and t.visible is not False and name in (None, t.name)]


def other_shown(figure: go.Figure, kind: str, name: str | None = None) -> list:
    """Those that the other button shows."""
    return [t for t in figure.data if t.type == kind and t.visible is False and name in (None, t.name)]


def values(traces: list) -> list[float]:
    return [float(value) for trace in traces for value in trace.y if value is not None]


def texts(figure: go.Figure) -> str:
    """All that is written on a figure, where it stands by itself."""
    layout = figure.layout
    axes = [axis.title.text or "" for axis in (*figure.select_xaxes(), *figure.select_yaxes())]
    return "\n".join([layout.title.text, *axes, *(note.text for note in layout.annotations)])
