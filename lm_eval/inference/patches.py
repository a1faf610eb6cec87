"""Code of the user's own inside a network: hooks, exchanged modules, functions put in another's place.

Whatever comes from the libraries that make and move networks is none of it.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module

_LIBRARIES = ("torch", "transformers", "transformers_modules", "accelerate", "peft", "bitsandbytes")
_PLAIN_ATTENTION = ("eager", "sdpa", None)
"""Those that take a mask of any form."""
OF_CAPTURING = "transformers.utils.output_capturing"
"""Where the hooks come from by which transformers lists hidden states."""


def find_patches(network: Any) -> Iterator[str]:  # noqa: ANN401  (of transformers)
    """Yield where code of the user's hangs, in words."""
    if torch_module._global_forward_hooks or torch_module._global_forward_pre_hooks:  # noqa: SLF001
        yield "hooks on all modules"
    if (attention := getattr(network.config, "_attn_implementation", None)) not in _PLAIN_ATTENTION:
        yield f"attention by {attention}"
    for name, module in network.named_modules():
        where = name or "the network"
        if is_foreign(type(module).forward):
            yield f"{where} ({type(module).__name__})"
        if "forward" in vars(module) and is_foreign(vars(module)["forward"]):
            yield f"the forward of {where}"
        if any(map(is_foreign, hooks_of(module))):
            yield f"a hook on {where}"


def acts_in_front(module: nn.Module) -> bool:
    """Whether code of the user's may change what goes into a module."""
    hooks = module._forward_pre_hooks.values()  # noqa: SLF001
    return any(map(is_foreign, hooks)) or ("forward" in vars(module) and is_foreign(vars(module)["forward"]))


def hooks_of(module: nn.Module) -> list[Callable[..., Any]]:
    """Return all hooks into a module's forward pass."""
    return [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]  # noqa: SLF001


def origin(function: object) -> str:
    """Return the module that a function was written in; "" where it has none."""
    while isinstance(function, functools.partial):
        function = function.func
    function = getattr(function, "__func__", function)
    return str(getattr(function, "__globals__", {}).get("__name__", ""))


def is_foreign(function: object) -> bool:
    """Whether a function is the user's own."""
    return origin(function).partition(".")[0] not in _LIBRARIES
