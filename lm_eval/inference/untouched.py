"""A network that belongs to somebody else: in evaluation mode while it is used, and as it was afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lm_eval.inference.patches import OF_CAPTURING, origin

_INSTALLED = "_output_capturing_hooks_installed"
"""By which transformers marks a model that has its hooks."""


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode; put back modes, hooks and buffers at the end.

    The hooks by which transformers lists hidden states come last meanwhile: so they see what all others have made.
    """
    modules = list(network.modules())
    modes = [module.training for module in modules]
    rotary = [_values_of(module) if hasattr(module, "rope_type") else None for module in modules]
    hooks = [dict(module._forward_hooks) for module in modules]  # noqa: SLF001
    marks = [vars(module).get(_INSTALLED) for module in modules]
    for module in modules:
        _order_hooks(module, {})
        vars(module).pop(_INSTALLED, None)
    network.eval()
    try:
        yield
    finally:
        for place, module in enumerate(modules):
            module.training = modes[place]
            _put_back(module, rotary[place])
            _order_hooks(module, hooks[place])
            vars(module).pop(_INSTALLED, None)
            if marks[place] is not None:
                setattr(module, _INSTALLED, marks[place])


_Values = tuple[dict[str, Any], dict[str, tuple[torch.Tensor | None, torch.Tensor | None]]]


def _values_of(module: nn.Module) -> _Values:
    """Return the numbers and buffers that a module keeps: some rotary positions change with the lengths they see."""
    numbers = {name: value for name, value in vars(module).items() if isinstance(value, int | float | None)}
    buffers = module._buffers.items()  # noqa: SLF001
    return numbers, {name: (buffer, None if buffer is None else buffer.clone()) for name, buffer in buffers}


def _put_back(module: nn.Module, before: _Values | None) -> None:
    """Put back a module's values; of others, let no buffer stay that was made in inference mode, without gradients."""
    own = module._buffers  # noqa: SLF001
    if before is None:
        with torch.inference_mode(mode=False):
            own.update(
                {name: buffer.clone() for name, buffer in own.items() if buffer is not None and buffer.is_inference()}
            )
        return
    numbers, buffers = before
    vars(module).update({name: value for name, value in numbers.items() if name != "training"})
    own.clear()
    own.update({name: buffer for name, (buffer, _) in buffers.items()})
    for buffer, value in buffers.values():
        if buffer is not None and value is not None and not torch.equal(buffer, value):
            buffer.copy_(value)


def _order_hooks(module: nn.Module, before: dict[int, Any]) -> None:
    """Take away the hooks by which transformers lists hidden states, but for those of before, in their order."""
    own = module._forward_hooks  # noqa: SLF001
    current = {key: hook for key, hook in own.items() if origin(hook) != OF_CAPTURING}
    kept = {key: hook for key, hook in before.items() if key in current or origin(hook) == OF_CAPTURING}
    own.clear()
    own.update({**kept, **current})
