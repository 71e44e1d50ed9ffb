"""Which device to compute on, and how its host's memory is kept."""

from __future__ import annotations

import ctypes

import torch

# Parameters of glibc's mallopt, as <malloc.h> numbers them, and the values that `keep_freed_memory` gives them.
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_NEVER, _NONE, _ONE = -1, 0, 1


def pick_device() -> torch.device:
    """The first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def keep_freed_memory() -> bool:
    """Let this process keep the memory of freed tensors for the next ones; returns whether the C library took it.

    glibc maps each tensor above a few MiB on its own and unmaps it when it is freed, so that every training step pays
    for clearing and faulting in the same pages again: an eighth of its time on a CPU. Serving large tensors from the
    heap (mallopt, see `man 3 mallopt`) and never trimming it makes those faults happen once. One arena for all threads,
    because what one thread has freed serves another only within an arena. Call it before the first large tensor is
    made. Other C libraries have no such call, or none that helps: nothing happens there.

    The price is a heap with holes, up to a third more memory at the peak: the slivers that aligning a tensor cuts off
    go to the thread's cache of small chunks, and while they are there the tensor's space cannot merge with its
    neighbours. A process started with GLIBC_TUNABLES=glibc.malloc.tcache_count=0 has no such cache and no such price.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    settings = {_M_MMAP_MAX: _NONE, _M_TRIM_THRESHOLD: _NEVER, _M_ARENA_MAX: _ONE}
    taken = [mallopt(parameter, value) == 1 for parameter, value in settings.items()]
    return all(taken)
