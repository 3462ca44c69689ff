"""The files of a link, as `get_media_files` with `mode=full` tells them (engine-api §8.2). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from aceproxy.engine.words import error_text
from aceproxy.errors import AceProxyError, Reason

FILES_LIMIT = 10_000  # files of one link
_MIME = re.compile(r"(?:video|audio)/[a-z0-9.+-]{1,60}")
_HEX40 = re.compile(r"[0-9a-fA-F]{40}")
LARGEST = 1 << 60


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a link. `mime` is empty and `size_bytes` None where the engine does not tell."""

    index: int
    name: str
    size_bytes: int | None
    mime: str


@dataclass(frozen=True, slots=True)
class FileListing:
    """What `get_media_files` with `mode=full` tells of a link (§8.2)."""

    infohash: str | None
    name: str
    is_live: bool | None
    files: tuple[FileEntry, ...]


def file_listing(result: object) -> FileListing:
    """Read the result of `get_media_files`; entries that are none are left out. Raises AceProxyError."""
    if not isinstance(result, dict):
        raise AceProxyError(Reason.ENGINE_ERROR, f"not a list of files: {error_text(result)}")
    told: dict[str, object] = result
    listed = told.get("files")
    entries = listed[:FILES_LIMIT] if isinstance(listed, list) else []
    files = []
    kinds = [told.get("type")]
    for entry in entries:
        index = _whole(entry.get("index")) if isinstance(entry, dict) else None
        if index is None or index >= FILES_LIMIT or not isinstance(entry, dict):
            continue
        kinds.append(entry.get("type"))
        mime = error_text(entry.get("mime")).lower()
        files.append(
            FileEntry(
                index=index,
                name=error_text(entry.get("filename")),
                size_bytes=_whole(entry.get("size")) or None,
                mime=mime if _MIME.fullmatch(mime) else "",
            )
        )
    live = True if "live" in kinds else False if "vod" in kinds else None
    named = told.get("infohash")
    infohash = named.lower() if isinstance(named, str) and _HEX40.fullmatch(named) else None
    return FileListing(infohash, error_text(told.get("name")), live, tuple(files))


def _whole(value: object) -> int | None:
    """Return a number that may be a count; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST else None
