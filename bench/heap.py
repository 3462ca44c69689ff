"""What makes up the memory of this process: objects that are held, and what the allocators keep beside them."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

ARENAS = re.compile(r"^# arenas allocated current\s*=\s*([\d,]+)", re.MULTILINE)
IN_BLOCKS = re.compile(r"^# bytes in allocated blocks\s*=\s*([\d,]+)", re.MULTILINE)
ARENA_BYTES = 1 << 20  # of CPython's own allocator, from 3.10 on
STDERR = 2


class _MallInfo(ctypes.Structure):
    """`struct mallinfo2` of glibc, mallinfo(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def memory() -> dict[str, int]:
    """Return what makes up the resident bytes: private pages, those of the rings among them, and shared ones."""
    kinds = {"Rss": 0, "Pss": 0, "Private_Dirty": 0, "Pss_Shmem": 0, "Pss_Anon": 0}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in kinds:
            kinds[name] = int(rest.split()[0]) << 10
    return {f"{name.lower()}_bytes": count for name, count in kinds.items()}


def allocators() -> dict[str, int]:
    """Return what CPython's allocator and the C library's have in use, and what they have of the system.

    Blocks that the C library mapped one by one (`mapped`) are in use as they are. Zeros without glibc.
    """
    text = _python_stats()
    arenas, in_blocks = (
        int(found[1].replace(",", "")) if (found := pattern.search(text)) else 0 for pattern in (ARENAS, IN_BLOCKS)
    )
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):
        info = _MallInfo()
    else:
        mallinfo.restype = _MallInfo
        info = mallinfo()
    return {
        "python_used_bytes": in_blocks,
        "python_held_bytes": arenas * ARENA_BYTES,
        "c_used_bytes": info.uordblks,
        "c_free_bytes": info.fordblks,
        "c_mapped_bytes": info.hblkhd,
    }


def kinds_of_objects(most: int) -> dict[str, int]:
    """Count what the garbage collector knows by type, those of the start (frozen) not among them."""
    found = Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
    return dict(found.most_common(most))


def _python_stats() -> str:
    """Return what CPython writes of its allocator to the standard error, which nothing else may use meanwhile."""
    sys.stderr.flush()
    kept = os.dup(STDERR)
    try:
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), STDERR)
            try:
                sys._debugmallocstats()  # noqa: SLF001 - there is no other way to learn of it
            finally:
                os.dup2(kept, STDERR)
            file.seek(0)
            return file.read().decode()
    finally:
        os.close(kept)
