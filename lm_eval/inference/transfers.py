"""Tensors on their way between host and device, so that neither waits for the other.

A plain copy of the host's memory to a GPU waits until that has done all it was given before; one of pinned memory
stands in line with the rest.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; the host goes on before it has arrived there."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class HostCopy:
    """Tensors on their way to the host; the device goes on with other work meanwhile."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._arrivals: list[torch.cuda.Event] = []
        self._tensors = [self._start(tensor) for tensor in tensors]

    def _start(self, tensor: Tensor) -> Tensor:
        if not tensor.is_cuda:
            return tensor.cpu()
        with torch.cuda.device(tensor.device):
            copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)
            arrival = torch.cuda.Event()
            arrival.record()
        self._arrivals.append(arrival)
        return copy

    def wait(self) -> list[Tensor]:
        """Return the tensors once they have arrived, in ordinary memory: what is pinned is for the next ones."""
        for arrival in self._arrivals:
            arrival.synchronize()
        return [tensor.clone() for tensor in self._tensors] if self._arrivals else self._tensors
