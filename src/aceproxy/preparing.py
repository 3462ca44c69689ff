"""What has to be there before the program is put together: its log, its folder, descriptors enough."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from aceproxy.access.credentials import Credentials
from aceproxy.logs import Logs
from aceproxy.settings import Settings, SettingsError

RESERVED_DESCRIPTORS = 256  # for engines, files


def make_logs(settings: Settings) -> Logs:
    """Build the program's logging. Raises SettingsError if the log file cannot be written."""
    try:
        return Logs(
            settings.log_level,
            settings.log_lines,
            log_format=settings.log_format,
            path=settings.log_file,
            file_bytes=settings.log_file_bytes,
            file_count=settings.log_file_count,
        )
    except OSError as error:
        words = error.strerror or str(error)
        raise SettingsError(f"log_file {settings.log_file} cannot be written: {words}") from error


def state_folder(path: Path) -> Path:
    """Return the folder, made if it is not there. Raises SettingsError if it cannot be used."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"state_dir {path} cannot be used: {error.strerror}") from error
    return path


@contextlib.contextmanager
def own_folder(path: Path) -> Iterator[None]:
    """Keep the folder from other AceProxys while the context lasts. Raises SettingsError if one has it already.

    A second one would take the playbacks of the first for leftovers, and stop them. The system lets go of the folder
    with the process, however that ends. On file systems that cannot lock, nobody is kept from anything.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SettingsError(f"state_dir {path} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise SettingsError(f"state_dir {path} is in use by another AceProxy that runs") from error
    except OSError:
        pass
    try:
        yield
    finally:
        os.close(descriptor)


def credentials_of(settings: Settings) -> Credentials:
    """Return what is known of who may sign in. Raises SettingsError if it can be neither read nor kept."""
    try:
        return Credentials(settings.state_dir, settings)
    except OSError as error:
        raise SettingsError(f"state_dir {settings.state_dir} cannot be used: {error.strerror}") from error


def raise_descriptor_limit() -> None:
    """Ask for as many descriptors as the system allows: a client costs two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 1 << 20
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connection_limit() -> int:
    """Return for how many connections there are descriptors: one that plays costs two, and others need some too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else max(64, (soft - RESERVED_DESCRIPTORS) // 2)
