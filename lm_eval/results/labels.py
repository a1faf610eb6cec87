"""Labels of settings and their values, the same in tables, reports and figures.

The words stand beside each setting, in `lm_eval.config.settings`; what else a figure says, in
`lm_eval.analysis.figures.labels`.
"""

from lm_eval.config.settings import SETTINGS

LABELS = {"encoding_scheme": "encoding scheme", **{key: setting.label for key, setting in SETTINGS.items()}}
SHORT_LABELS = {
    "encoding_scheme": "scheme",
    **{key: setting.short_label or setting.label for key, setting in SETTINGS.items()},
}
"""For narrow columns."""
NOTHING = "-"
"""Shown for a missing number, or a setting without effect."""


def say_value(setting: str, value: str | None) -> str:
    """Return the text of a setting's value; for one that isn't set, what that means, such as `last`."""
    if value is not None:
        return value
    return SETTINGS[setting].unset if setting in SETTINGS else "none"


def say_cell(setting: str, value: str | None, *, kind: str, scheme: str | None) -> str:
    """Return the text of a setting's value in a row of a table; `-` where the setting has no effect.

    Args:
        setting: its public name.
        value: its value.
        kind: `dist_sim`, `dist_gen` or `hf`.
        scheme: the encoding scheme; without one, in the baseline and in the control of Test 1 there are no vectors.
    """
    if value is None:
        no_vectors = scheme in (None, "cross_encoding") or (scheme == "no_context" and kind != "dist_sim")
        if no_vectors or SETTINGS[setting].only not in (None, kind):
            return NOTHING
    return say_value(setting, value)


def say_slice(name: str) -> str:
    """Return which documents a slice holds, of its name in a table of runs: `None`, `60`, `60 --seed 7`."""
    return f"all documents{name.removeprefix('None')}" if name.startswith("None") else f"--limit {name}"
