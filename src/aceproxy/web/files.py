"""What a link holds: one broadcast, or the files of a recording, each with the address at which it plays."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from aceproxy.engine.file_lists import FILES_LIMIT, FileEntry, FileListing, file_listing
from aceproxy.engine.links import Link, LinkKind, check_url_host, link_from_query
from aceproxy.engine.lookups import Lookups
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.streams.spans import PLAIN_TYPE, Facts
from aceproxy.web.answers import json_answer
from aceproxy.web.models import FileModel, Files
from aceproxy.web.own_urls import OwnUrls

log = logging.getLogger(__name__)

HEAD_LOOKUP_S = 2.0  # how long a HEAD waits for an engine to say what a link is, and a playlist for its name


class FileLists:
    """Asks an engine what a link holds; nothing is played."""

    def __init__(self, lookups: Lookups, settings: Settings) -> None:
        self._lookups = lookups
        self._settings = settings

    async def listing(self, link: Link) -> FileListing:
        """Return what a link holds. Raises AceProxyError."""
        check_url_host(link, self._settings.url_hosts)
        params = {"api_version": "3", "method": "get_media_files", "mode": "full", link.kind.value: link.value}
        return file_listing(await self._lookups.ask("/server/api", params))

    async def title(self, link: Link) -> str | None:
        """Return what a link is called, of a recording the file; None if no engine tells soon."""
        try:
            async with asyncio.timeout(HEAD_LOOKUP_S):
                listing = await self.listing(link)
        except (AceProxyError, TimeoutError) as error:
            log.debug("%s: no engine tells its name: %s", link.label, error)
            return None
        file = next((one for one in listing.files if one.index == link.index), None)
        is_one_of_several = len(listing.files) > 1 and file is not None
        return (file.name if is_one_of_several and file is not None else listing.name) or None

    async def facts(self, link: Link) -> Facts | None:
        """Return the facts of a recording that nobody has played yet; None if it is none, or no engine tells soon.

        Raises CONTENT_NOT_FOUND where the link holds files, but none of its index.
        """
        try:
            async with asyncio.timeout(HEAD_LOOKUP_S):
                listing = await self.listing(link)
        except (AceProxyError, TimeoutError) as error:
            log.debug("%s: no engine tells what it is: %s", link.label, error)
            return None
        file = next((one for one in listing.files if one.index == link.index), None)
        if listing.is_live is False and file is None and 0 < len(listing.files) < FILES_LIMIT:
            raise AceProxyError(Reason.CONTENT_NOT_FOUND, f"no file of the index {link.index}")
        if listing.is_live is not False or file is None or not file.size_bytes:
            return None
        return Facts(listing.infohash, file.size_bytes, file.mime or PLAIN_TYPE)


class FileRoutes:
    """`/api/aceproxy/files`."""

    def __init__(self, lists: FileLists, urls: OwnUrls) -> None:
        self._lists = lists
        self._urls = urls

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/api/aceproxy/files", self.files)

    async def files(self, request: web.Request) -> web.Response:
        """What a link holds, as an engine says: the one route below /api that asks an engine."""
        link = link_from_query(list(request.query.items()))
        listing = await self._lists.listing(link)
        return json_answer(
            Files(
                title=listing.name or None,
                infohash=listing.infohash,
                is_live=listing.is_live,
                files=[self._file(request, link, listing.infohash, file) for file in listing.files],
            )
        )

    def _file(self, request: web.Request, link: Link, infohash: str | None, file: FileEntry) -> FileModel:
        named = Link(LinkKind.INFOHASH, infohash, file.index) if infohash else None
        query = f"infohash={named.value}" if named is not None else f"{link.kind}={link.value}"
        index = f"&_idx={file.index}" if file.index else ""
        url = (
            f"{self._urls.base(request)}/ace/getstream?{query}{index}"
            if named or link.kind is not LinkKind.URL
            else None
        )
        return FileModel(index=file.index, name=file.name, size_bytes=file.size_bytes, mime=file.mime or None, url=url)
