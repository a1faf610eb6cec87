"""A network that belongs to somebody else: in evaluation mode while it is used, and as it was afterwards."""

from collections.abc import Iterator, Mapping
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
    buffers = [dict(module._buffers) for module in modules]  # noqa: SLF001
    rotary = [_plain_values(module) if hasattr(module, "rope_type") else {} for module in modules]
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
            vars(module).update(rotary[place])
            module.training = modes[place]
            _put_back_buffers(module, buffers[place], all_of_them=bool(rotary[place]))
            _order_hooks(module, hooks[place])
            vars(module).pop(_INSTALLED, None)
            if marks[place] is not None:
                setattr(module, _INSTALLED, marks[place])


def _plain_values(module: nn.Module) -> dict[str, Any]:
    """Return the numbers that a module keeps: some rotary positions count how far they have come."""
    return {name: value for name, value in vars(module).items() if isinstance(value, int | float | None)}


def _put_back_buffers(module: nn.Module, before: Mapping[str, torch.Tensor | None], *, all_of_them: bool) -> None:
    """Put back a module's buffers; what else of them was made in inference mode would be in the way of gradients."""
    own = module._buffers  # noqa: SLF001
    for name, buffer in list(own.items()):
        if all_of_them and name not in before:
            del own[name]
        elif all_of_them:
            own[name] = before[name]
        elif buffer is not None and buffer.is_inference():
            with torch.inference_mode(mode=False):
                own[name] = buffer.clone()


def _order_hooks(module: nn.Module, before: Mapping[int, Any]) -> None:
    """Take away the hooks by which transformers lists hidden states, but for those of before, in their order."""
    own = module._forward_hooks  # noqa: SLF001
    current = {key: hook for key, hook in own.items() if origin(hook) != OF_CAPTURING}
    kept = {key: hook for key, hook in before.items() if key in current or origin(hook) == OF_CAPTURING}
    own.clear()
    own.update({**kept, **current})
