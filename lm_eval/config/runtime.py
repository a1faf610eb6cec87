"""`Execution`: how a run is computed. Recorded in its result, but no part of what decides it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lm_eval.common.text import read_pairs
from lm_eval.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Device, batch size and storage of samples of a run."""

    batch_size: int | None = None
    """Rows a batch; None leaves it to a budget of tokens."""
    device: str | None = None
    """A torch device; None takes a GPU where there is one."""
    spread: bool = False
    """Whether the model is spread over all visible GPUs."""
    gpu_share: float = 1.0
    """Fraction of the GPU's memory that this run may use; below 1 where several runs share the GPU."""
    log_samples: bool = False
    """Whether the scores of every document are stored."""

    @classmethod
    def parse(
        cls,
        *,
        batch_size: str | int | None,
        device: str | None,
        model_args: str | Mapping[str, object],
        log_samples: bool = False,
    ) -> "Execution":
        """Read the flags of the command line, and `device_map=auto` among the `model_args`.

        Raises:
            ConfigurationError: a batch size that is no positive integer, or another device map.
        """
        device_map = read_pairs(model_args, "model_args").get("device_map")
        if device_map not in (None, "auto"):
            raise ConfigurationError(f"device_map: unknown value {device_map!r}; choose from None, auto")
        if device_map is not None and device is not None:
            raise ConfigurationError(f"device={device} and device_map={device_map} exclude each other; leave one out")
        spread = device_map == "auto"
        return cls(batch_size=_parse_batch_size(batch_size), device=device, spread=spread, log_samples=log_samples)


def _parse_batch_size(batch_size: str | int | None) -> int | None:
    if batch_size is None or batch_size == "auto":
        return None
    if isinstance(batch_size, bool) or not re.fullmatch("[1-9][0-9]{0,8}", str(batch_size)):
        raise ConfigurationError(
            f"batch_size must be a positive integer of at most 9 digits or auto, got {batch_size!r}"
        )
    return int(batch_size)
