"""A small made-up world: rows in the form of the dataset hub, few enough to follow by hand."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]

_SCENES = (
    ("Kite flying", "man", "kite"),
    ("Baking", "cook", "cake"),
    ("Rowing", "girl", "boat"),
    ("Chess", "boy", "pawn"),
    ("Gardening", "woman", "rose"),
    ("Painting", "child", "wall"),
    ("Fishing", "uncle", "net"),
    ("Sewing", "tailor", "coat"),
    ("Cycling", "nurse", "bike"),
    ("Archery", "scout", "bow"),
    ("Pottery", "monk", "jar"),
    ("Skiing", "guide", "slope"),
    ("Juggling", "clown", "ball"),
    ("Drumming", "king", "drum"),
    ("Carving", "smith", "spoon"),
    ("Swimming", "twin", "pool"),
    ("Knitting", "aunt", "scarf"),
    ("Surfing", "lad", "wave"),
    ("Bowling", "judge", "pin"),
    ("Welding", "maid", "pipe"),
    ("Hiking", "priest", "trail"),
    ("Dancing", "queen", "shoe"),
)
NUM_TRAINING, NUM_EVALUATION = 12, 10


def hellaswag_row(number: int, **changes: Any) -> Row:
    """A HellaSwag row of two sentences and a beginning; rows of different numbers share no text."""
    activity, actor, thing = _SCENES[number]
    row = {
        "ind": number,
        "activity_label": activity,
        "ctx_a": f"A {actor} sees a {thing}. It is old.",
        "ctx_b": f"the {thing}",
        "endings": [
            f"is kept by the {actor}. All is well.",
            f"breaks near the {actor}.",
            "[step] sinks at once.",
            f"turns into {number} stones.",
        ],
        "label": str(number % 4),
    }
    return {**row, **changes}


def webqs_row(number: int, **changes: Any) -> Row:
    """A WebQuestions row with one to three accepted answers."""
    activity, actor, thing = _SCENES[number]
    answers = [f"The {thing}", f"Mr. {actor.capitalize()}", activity][: 1 + number % 3]
    return {"url": "", "question": f"what did the {actor} of {activity} see?", "answers": answers, **changes}


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as JSONL and return the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_world(folder: Path) -> Path:
    """Write both datasets, each with 12 training rows and 10 rows to score, as `data_dir=` reads them."""
    training = range(NUM_EVALUATION, NUM_EVALUATION + NUM_TRAINING)
    for dataset, evaluation_split, make in (
        ("hellaswag", "validation", hellaswag_row),
        ("webqs", "test", webqs_row),
    ):
        write_rows(folder / dataset / "train.jsonl", map(make, training))
        write_rows(folder / dataset / f"{evaluation_split}.jsonl", map(make, range(NUM_EVALUATION)))
    return folder


def write_model_folder(folder: Path, weights: str = "weights", **config: Any) -> Path:
    """Write what identifies a model, without anything that could be loaded."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_layer": 2, **config}))
    (folder / "model.safetensors").write_text(weights)
    (folder / "tokenizer.json").write_text("{}")
    return folder
