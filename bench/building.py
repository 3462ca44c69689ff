"""Compiles the bench's C programs, once per state of their sources."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "bench" / "native"
CACHE = ROOT / "build" / "bench"
FLAGS = ("-O2", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra")
COMPILE_S = 60.0


class BuildError(Exception):
    """A program could not be compiled; the message holds the compiler's words."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Paths of the compiled programs."""

    source: Path
    load: Path
    fanout: Path
    probe: Path


def build() -> Programs:
    """Compile what is not compiled yet. Raises BuildError."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise BuildError("no C compiler (cc) here")
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for path in sorted(SOURCES.iterdir()):
        digest.update(path.read_bytes())
    folder = CACHE / digest.hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    return Programs(*(_compile(compiler, folder, name) for name in ("source", "load", "fanout", "probe")))


def _compile(compiler: str, folder: Path, name: str) -> Path:
    program = folder / name
    if program.exists():
        return program
    fresh = folder / f"{name}.new"
    command = [compiler, *FLAGS, "-o", str(fresh), str(SOURCES / f"{name}.c")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_S, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(command)}\n{done.stderr}")
    fresh.rename(program)
    return program
