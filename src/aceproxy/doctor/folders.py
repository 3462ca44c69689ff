"""What the doctor looks at on the disk: the folder for what must survive, the history in it, the log file."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from aceproxy.doctor.findings import Finding, Status
from aceproxy.settings import Settings
from aceproxy.store.opening import FILE_NAME, look_at_database

LEAST_DISK_BYTES = 100 << 20


def look_at_state(settings: Settings) -> Finding:
    """Whether the folder for what must survive can be written and is nobody else's."""
    folder = settings.state_dir
    if folder is None:
        return Finding(
            "state",
            Status.NOTE,
            "no state_dir: after a restart history, changed settings and the admin secret are new",
            "Set state_dir to a folder of this program alone to keep them.",
        )
    if not _is_there(folder) and not _cannot_write(_nearest(folder)):
        return Finding("state", Status.OK, f"{folder} will be made at the start")
    problem = _cannot_write(folder)
    if problem:
        advice = f"Make it, and let the user that runs this (uid {os.getuid()}) write there."
        return Finding("state", Status.FAILURE, f"{folder}: {problem}", advice)
    free = shutil.disk_usage(folder).free
    if free < LEAST_DISK_BYTES:
        return Finding("state", Status.WARNING, f"{folder} has {free >> 20} MiB left", "Make room on that disk.")
    if folder.stat().st_mode & 0o077:
        return Finding(
            "state",
            Status.WARNING,
            f"{folder} can be entered by other users",
            f"chmod 700 {folder}; secrets are in it.",
        )
    return Finding("state", Status.OK, f"{folder} can be written, {free >> 20} MiB are free")


def look_at_store(settings: Settings) -> Finding:
    """Whether history and what is learnt of links can be written, in the file that is there."""
    folder = settings.state_dir
    if folder is None:
        return Finding("history", Status.OK, "in memory, without state_dir")
    path = folder / FILE_NAME
    missing = _cannot_write(_nearest(folder))
    if missing:
        return Finding("history", Status.FAILURE, f"{path} cannot be kept: {missing}", "See to the state folder first.")
    if not path.exists():
        return Finding("history", Status.OK, f"{path} will be made at the start")
    problem = look_at_database(path)
    if problem:
        advice = "See to the disk and who may write there; or stop the program and move the file away."
        return Finding("history", Status.FAILURE, f"{path}: {problem}", advice)
    return Finding("history", Status.OK, f"{path} is sound, {path.stat().st_size >> 20} MiB")


def look_at_log(settings: Settings) -> Finding:
    """Whether the log file can be written and has room."""
    path = settings.log_file
    if path is None:
        return Finding("log", Status.OK, "to standard error and memory; no log_file")
    if os.path.lexists(path) and not path.is_file():
        advice = "Name a file in a folder: it is renamed when it is full, and another one takes its place."
        return Finding("log", Status.FAILURE, f"{path} is not a file that records can be kept in", advice)
    problem = _cannot_write(path.parent) or _cannot_append(path)
    if problem:
        advice = f"Make the folder, and let uid {os.getuid()} write there."
        return Finding("log", Status.FAILURE, f"{path.parent}: {problem}", advice)
    needed = settings.log_file_bytes * settings.log_file_count
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        words = f"{path} may grow to {needed >> 20} MiB in all, {free >> 20} MiB are free"
        return Finding("log", Status.WARNING, words, "Lower log_file_bytes or log_file_count.")
    return Finding("log", Status.OK, f"{path} can be written")


def _nearest(folder: Path) -> Path:
    """Return the first of a folder's parents that exists."""
    return next(parent for parent in (folder, *folder.absolute().parents) if _is_there(parent))


def _is_there(path: Path) -> bool:
    """Whether a path can be seen: what lies in a folder that is closed to us cannot."""
    try:
        return path.exists()
    except OSError:
        return False


def _cannot_write(folder: Path) -> str:
    """Say why nothing can be written into a folder; empty if it can."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".aceproxy-doctor-"):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _cannot_append(path: Path) -> str:
    """Say why nothing can be added to a file that is there; empty if it can, or there is none. Adds nothing."""
    try:
        with path.open("r+b"):
            return ""
    except FileNotFoundError:
        return ""
    except OSError as error:
        return error.strerror or str(error)
