"""What a tree of processes uses: processor time, memory, descriptors, threads."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over a process and its children."""

    rss_bytes: int
    pss_bytes: int
    private_bytes: int
    descriptors: int
    threads: int


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all below it; empty if it is gone."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_s(pid: int) -> float:
    """Return the processor time, user and system, that a process, its children and its reaped children have used."""
    total = 0.0
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            total += time.clock_gettime(_cpu_clock(process.pid))
            if process.pid == pid:
                times = process.cpu_times()
                total += times.children_user + times.children_system
    return total


def machine_cpu_s() -> float:
    """Return the processor time that the whole machine has used, all cores together."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def _cpu_clock(pid: int) -> int:
    """Return the clock of a process's processor time, threads that have ended included: clock_getcpuclockid(3).

    It counts nanoseconds, where /proc counts hundredths of a second.
    """
    return ~pid << 3 | 2


def usage(pid: int) -> Usage:
    """Measure a process and its children; takes some milliseconds."""
    rss = pss = private = descriptors = threads = 0
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            memory = process.memory_full_info()
            rss += memory.rss
            pss += memory.pss
            private += memory.uss
            threads += process.num_threads()
            descriptors += process.num_fds()
    return Usage(rss, pss, private, descriptors, threads)
