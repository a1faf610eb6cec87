"""Lists and `KEY=value` pairs as text."""

from collections.abc import Mapping, Sequence

from lm_eval.errors import ConfigurationError


def choices_text(names: Sequence[str]) -> str:
    """List valid choices for a message."""
    return ", ".join(names)


def parse_pairs(text: str | None, what: str) -> dict[str, str | None]:
    """Read `KEY=value,KEY=value`; `None` stands for no value.

    Raises:
        ConfigurationError: a part without `=`, or a key given twice.
    """
    pairs: dict[str, str | None] = {}
    for part in (text or "").split(","):
        if not part.strip():
            continue
        key, equals, value = part.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or not key:
            raise ConfigurationError(
                f"{what}: expected KEY=value,KEY=value, got {part!r} (values cannot contain a comma)"
            )
        if not value:
            raise ConfigurationError(f"{what}: {key}= has no value; write {key}=None or leave it out")
        if key in pairs:
            raise ConfigurationError(f"{what}: {key} is given twice")
        pairs[key] = None if value == "None" else value
    return pairs


def format_pairs(pairs: Mapping[str, object]) -> str:
    """Write `KEY=value,KEY=value`, the inverse of `parse_pairs`."""
    return ",".join(f"{key}={value}" for key, value in pairs.items())


def first_line(message: object) -> str:
    """Return the first line of an error or a text."""
    return str(message).strip().partition("\n")[0]
