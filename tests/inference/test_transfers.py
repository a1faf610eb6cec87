"""Tensors on their way to the host, by a stand-in for a GPU's events."""

import torch

from lm_eval.inference.transfers import HostCopy


class Arrival:
    """An event behind a copy, which is done only when somebody waits for it."""

    def __init__(self, pinned: torch.Tensor) -> None:
        self.pinned = pinned

    def synchronize(self) -> None:
        self.pinned.fill_(1.0)


def test_what_is_returned_has_arrived_and_is_no_memory_that_the_next_copy_gets():
    pinned = torch.zeros(3)
    copy = HostCopy([])
    copy._arrivals, copy._tensors = [Arrival(pinned)], [pinned]
    (arrived,) = copy.wait()
    pinned.fill_(2.0)
    assert arrived.tolist() == [1.0, 1.0, 1.0]


def test_without_a_gpu_nothing_is_copied():
    tensor = torch.zeros(3)
    (same,) = HostCopy([tensor]).wait()
    assert same.data_ptr() == tensor.data_ptr()
