"""What the simulated engine can play: identities derived from names, so that they are the same on every run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

CLIP_BITRATES_BPS = {"clock": 5_740_016, "light": 980_044, "radio": 256_056}


@dataclass(frozen=True)
class ContentFile:
    """One file of several: so much of a clip, or the file at `path` as it is."""

    name: str
    clip: str = "light"
    duration_s: float = 64.0
    path: Path | None = None

    @property
    def mime(self) -> str:
        """Its type, by the name."""
        types = {".mp4": "video/mp4", ".mkv": "video/x-matroska", ".ts": "video/mp2t", ".mp3": "audio/mpeg"}
        return types.get(Path(self.name).suffix, "application/octet-stream")


@dataclass(frozen=True)
class Content:
    """One broadcast, or one file (`live` false).

    `clip` names the clip it is made of. `infohash` and `content_id` are 40 hex digits, `transport_url` is where its
    transport file would be; all three follow from `name` unless given. `peers` is what stat shows. `prebuffer_s`
    replaces the configuration's value for this content. `duration_s` counts for files only. `files`: what there is
    instead of one file made of `clip`.
    """

    name: str
    clip: str = "clock"
    live: bool = True
    peers: int = 12
    availability: float = 1.0
    category: str = "entertaining"
    prebuffer_s: float | None = None
    duration_s: float = 64.0
    files: tuple[ContentFile, ...] = ()
    infohash: str = ""
    content_id: str = ""
    transport_url: str = ""

    def __post_init__(self) -> None:
        """Derive what was not given. Raises ValueError for an unknown clip."""
        if self.clip not in CLIP_BITRATES_BPS:
            raise ValueError(f"no clip {self.clip!r}; there are {', '.join(CLIP_BITRATES_BPS)}")
        kind = "acelive" if self.live else "acemedia"
        slug = "-".join(self.name.lower().split())
        derived = {
            "infohash": self.infohash or identity("infohash", self.name),
            "content_id": self.content_id or identity("content id", self.name),
            "transport_url": self.transport_url or f"http://transport.example/{slug}.{kind}",
        }
        for field, value in derived.items():
            object.__setattr__(self, field, value)

    @property
    def bitrate_bps(self) -> int:
        """Rate of the transport stream in bits per second."""
        return CLIP_BITRATES_BPS[self.clip]

    @property
    def link(self) -> str:
        """The link a user would be given."""
        return f"acestream://{self.content_id}"

    @property
    def listing(self) -> tuple[ContentFile, ...]:
        """Its files; a live channel counts as one."""
        return self.files or (ContentFile(self.filename, self.clip, self.duration_s),)

    @property
    def filename(self) -> str:
        """The file name that `get_media_files` shows."""
        return self.name if self.live else f"{self.name}.ts"


def identity(kind: str, name: str) -> str:
    """Return 40 hex digits that follow from a name."""
    return hashlib.sha1(f"aceproxy simulator {kind} {name}".encode(), usedforsecurity=False).hexdigest()


DEFAULT_CONTENTS = (
    Content("Clock One", "clock", peers=38),
    Content("Clock Two", "clock", peers=17, category="sport"),
    Content("Light One", "light", peers=24),
    Content("Light Two", "light", peers=9, availability=0.7, category="sport"),
    Content("Radio One", "radio", peers=6, category="music"),
    Content("Film One", "light", live=False, peers=4, category="movies"),
    Content(
        "Series One",
        live=False,
        peers=3,
        category="series",
        files=(ContentFile("Part 1.ts", "light", 40.0), ContentFile("Part 2.ts", "clock", 24.0)),
    ),
)


def extra_channels(count: int) -> tuple[Content, ...]:
    """Return `count` more live channels, made of the light clip."""
    return tuple(Content(f"Channel {number:03d}", "light", peers=5 + number % 40) for number in range(1, count + 1))
