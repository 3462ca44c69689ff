"""What the C library is told about memory: large pieces that are freed are the system's again."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from aceproxy.calming import LARGE_BYTES

KEPT_BYTES = 8 << 20
PROGRAM = f"""
import sys, threading
from aceproxy.calming import calm_allocator

def private():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Private_Dirty:"))

def come_and_go(kept):
    bytearray(16 * {LARGE_BYTES})  # by which the C library learns that large pieces come and go
    large = []
    for _ in range(40):
        large.append(bytearray({LARGE_BYTES}))
        kept.append(bytes(2000))  # above it, so that the heap cannot be cut off there

if "calm" in sys.argv:
    calm_allocator()
before, kept = private(), []
for _ in range(3):
    thread = threading.Thread(target=come_and_go, args=(kept,))
    thread.start()
    thread.join()
print(private() - before)
"""


def kept_bytes(*arguments: str) -> int:
    """Return how much larger a process is after large pieces came and went in threads."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    source = str(Path(__file__).resolve().parents[1] / "src")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**environment, "PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told anything")
def test_large_pieces_that_come_and_go_in_threads_leave_nothing_behind() -> None:
    assert kept_bytes() > KEPT_BYTES, "or there is nothing to be done about it"
    assert kept_bytes("calm") < KEPT_BYTES
