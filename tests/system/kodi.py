"""Kodi without a screen of its own: started in a folder of its own, told what to do by its JSON-RPC."""

from __future__ import annotations

import base64
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.system.programs import Program, tool, wait_for

CREDENTIALS = base64.b64encode(b"kodi:kodi").decode()
START_S = 60.0
CALL_S = 10.0
SETTINGS = """<settings version="2">
  <setting id="services.webserver">true</setting>
  <setting id="services.webserverport">{port}</setting>
  <setting id="services.webserverusername">kodi</setting>
  <setting id="services.webserverpassword">kodi</setting>
  <setting id="services.esallinterfaces">false</setting>
  <setting id="general.addonupdates">2</setting>
</settings>
"""
IPTV_SIMPLE = """<settings version="2">
  <setting id="m3uPathType">0</setting>
  <setting id="m3uPath">{playlist}</setting>
  <setting id="m3uCache">false</setting>
</settings>
"""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class Kodi:
    """One Kodi, with the channels of a playlist through pvr.iptvsimple."""

    def __init__(self, keep: Callable[[Program], Program], folder: Path, playlist: str) -> None:
        """Start it on a virtual screen and wait until it answers. Skips where Kodi or Xvfb is missing."""
        kodi, screen = tool("kodi-standalone"), tool("Xvfb")
        self._port = free_port()
        user = folder / ".kodi" / "userdata"
        addon = user / "addon_data" / "pvr.iptvsimple"
        addon.mkdir(parents=True)
        (folder / "list.m3u").write_text(playlist)
        (user / "guisettings.xml").write_text(SETTINGS.format(port=self._port))
        for name in ("settings.xml", "instance-settings-1.xml"):
            (addon / name).write_text(IPTV_SIMPLE.format(playlist=folder / "list.m3u"))
        command = [screen, "-displayfd", "1", "-screen", "0", "640x360x24", "-nolisten", "tcp"]
        display = ":" + keep(Program(command, folder / "screen")).find(r"(\d+)")
        self.program = keep(Program([kodi], folder / "kodi", env={"HOME": str(folder), "DISPLAY": display}))
        wait_for(self._answers, "an answer of Kodi", START_S)
        self.call("Addons.SetAddonEnabled", addonid="pvr.iptvsimple", enabled=True)
        self.channels: dict[str, int] = wait_for(self._find_channels, "channels in Kodi", START_S)

    def _answers(self) -> bool:
        try:
            return bool(self.call("JSONRPC.Ping") == "pong")
        except OSError:
            return False

    def _find_channels(self) -> dict[str, int]:
        found = self.call("PVR.GetChannels", channelgroupid="alltv") or {}
        return {one["label"]: one["channelid"] for one in found.get("channels", [])}

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method; returns its result, None where it failed. Raises OSError when Kodi does not answer."""
        order = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {CREDENTIALS}"}
        address = f"http://127.0.0.1:{self._port}/jsonrpc"
        request = urllib.request.Request(address, json.dumps(order).encode(), headers)
        with urllib.request.urlopen(request, timeout=CALL_S) as answer:
            return json.load(answer).get("result")

    def labels(self, *names: str) -> dict[str, str]:
        """Return what Kodi shows under these names."""
        found: dict[str, str] = self.call("XBMC.GetInfoLabels", labels=list(names))
        return found

    def play(self, channel: str) -> None:
        """Change to a channel."""
        assert self.call("Player.Open", item={"channelid": self.channels[channel]}) == "OK"
