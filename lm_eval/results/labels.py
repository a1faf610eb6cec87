"""What settings and their values are called where people read them: the same in tables, reports and figures."""

LABELS = {
    "encoding_scheme": "encoding scheme",
    "WORD_AGG_SCHEME": "token aggregation",
    "SEGMENT_AGG_SCHEME": "segment aggregation",
    "EXAMPLE_AGG_SCHEME": "example aggregation",
    "NORM": "norm",
    "SIMILARITY_FUNC": "similarity",
    "ENCODING_LAYER": "layer",
    "OUT_WORD_AGG_SCHEME": "choices' aggregation",
    "OUT_ENCODING_LAYER": "choices' layer",
    "ADD_POS": "added positions",
    "DECODING_SCHEME": "decoding",
}
SHORT_LABELS = {
    **LABELS,
    "encoding_scheme": "scheme",
    "WORD_AGG_SCHEME": "token agg.",
    "SEGMENT_AGG_SCHEME": "segment agg.",
    "EXAMPLE_AGG_SCHEME": "example agg.",
    "OUT_WORD_AGG_SCHEME": "choices' agg.",
    "ADD_POS": "added pos.",
}
"""Where room is short."""
NOTHING = "-"
"""In place of a number that there isn't, or of a setting that has nothing to do."""

_UNSET = {"ENCODING_LAYER": "last", "OUT_ENCODING_LAYER": "same", "OUT_WORD_AGG_SCHEME": "same"}
_OF_ONE_TEST = {
    "SIMILARITY_FUNC": "dist_sim",
    "OUT_WORD_AGG_SCHEME": "dist_sim",
    "OUT_ENCODING_LAYER": "dist_sim",
    "DECODING_SCHEME": "dist_gen",
}


def say_value(setting: str, value: str | None) -> str:
    """Return a setting's value; of one that isn't set, what that means."""
    return _UNSET.get(setting, "none") if value is None else value


def say_cell(setting: str, value: str | None, *, kind: str, scheme: str | None) -> str:
    """Return a setting's value in a row of a table.

    Args:
        setting: its public name.
        value: its value.
        kind: `dist_sim`, `dist_gen` or `hf`.
        scheme: the encoding scheme; without one, in the baseline and in the control of Test 1 there are no vectors.
    """
    if value is None:
        no_vectors = scheme in (None, "cross_encoding") or (scheme == "no_context" and kind != "dist_sim")
        if no_vectors or _OF_ONE_TEST.get(setting, kind) != kind:
            return NOTHING
    return say_value(setting, value)
