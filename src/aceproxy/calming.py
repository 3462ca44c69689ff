"""How the interpreter and the C library keep memory, set once at the start of a server."""

from __future__ import annotations

import ctypes
import gc
import os
from typing import Final

LARGE_BYTES: Final = 512 << 10
SPARE_BYTES: Final = 2 << 20

# parameters of mallopt(3), each with the variable of the environment by which whoever starts the program may set it
_MALLOPT: Final = (
    (-8, "MALLOC_ARENA_MAX", 2),
    (-3, "MALLOC_MMAP_THRESHOLD_", LARGE_BYTES),
    (-1, "MALLOC_TRIM_THRESHOLD_", SPARE_BYTES),
)


def calm_collector() -> None:
    """Keep the garbage collector from stopping all threads for long.

    What was imported stays for ever and need not be looked through again; a full collection with a thousand clients
    takes tens of milliseconds, in which no route answers, and reference counting frees nearly everything without it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)


def calm_allocator() -> None:
    """Keep the C library from holding on to what is needed now and then only. Before there are threads; glibc only.

    By default it has a heap for each of the first threads, and takes large pieces from these heaps once it has seen
    some come and go. What a change of sources takes for a moment, some megabytes in several threads, then stays for
    good. With this there are two heaps, pieces from LARGE_BYTES on go back to the system as soon as they are freed, and
    of what is free at the end of a heap SPARE_BYTES at most are kept. Nothing of that size is made for each read.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return  # another C library
    for parameter, variable, value in _MALLOPT:
        if variable not in os.environ:
            mallopt(parameter, value)
