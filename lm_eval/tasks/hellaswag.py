"""HellaSwag: which of four endings continues a short description (Zellers et al. 2019; experiment §2)."""

import re

from lm_eval.errors import DataError
from lm_eval.tasks.base import Dataset, Example, Row, as_choices, require, require_texts


def clean(text: str) -> str:
    """Remove the markup of WikiHow texts: titles end a sentence, other brackets go, double blanks shrink once."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def read_row(row: Row, source: str) -> Example:
    """Make an example of a hub row (`activity_label`, `ctx_a`, `ctx_b`, `endings`, `label`)."""
    activity, ctx_a, ctx_b = (require(row, key, str, source) for key in ("activity_label", "ctx_a", "ctx_b"))
    endings = require_texts(row, "endings", 2, source)
    label = str(row["label"]) if isinstance(row.get("label"), int) else require(row, "label", str, source)
    if not label.isdecimal() or int(label) >= len(endings):
        raise DataError(f"{source}: field 'label' must be an index into {len(endings)} endings, got {label!r}")
    return Example(
        question=(clean(f"{activity}: {ctx_a} {ctx_b.capitalize()}"),),
        choices=as_choices([clean(ending) for ending in endings], "endings", source),
        gold=(int(label),),
        source=source,
    )


HELLASWAG = Dataset(
    name="hellaswag",
    hub_path="Rowan/hellaswag",
    training_split="train",
    evaluation_split="validation",
    read_row=read_row,
)
