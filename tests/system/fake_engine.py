"""An engine that sends given bytes: a file to a certain place, the rest when it is told to. It notes every request."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

WAIT_LIMIT_S = 30.0
PIECE_BYTES = 16_384


class Film:
    """What one broadcast sends: `media`, up to `hold_at` until `release` is set, then all, then the end if `close`."""

    def __init__(self, media: bytes, hold_at: int) -> None:
        """Nothing is sent yet."""
        self.media = media
        self.hold_at = hold_at
        self.release = threading.Event()
        self.close = threading.Event()
        self.infohash = hashlib.sha1(media, usedforsecurity=False).hexdigest()


class FakeEngine:
    """Serves on a free port until `stop`; answers start, stat, stop, version and media."""

    def __init__(self, is_live: int = -1) -> None:
        """Begin to serve; `is_live` as start and stat tell it, -1 for not known."""
        self._is_live = is_live
        self.films: dict[str, Film] = {}
        self.requests: list[str] = []
        engine = self

        class Answers(BaseHTTPRequestHandler):
            """One connection."""

            def do_GET(self) -> None:
                engine.answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as http.server has it
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def add(self, media: bytes, hold_at: int) -> Film:
        """Make a film known; it plays under its infohash."""
        film = Film(media, hold_at)
        self.films[film.infohash] = film
        return film

    @property
    def asked(self) -> list[str]:
        """Every request so far but for the probes of health."""
        return [one for one in self.requests if "get_version" not in one]

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        self.requests.append(f"{request.command} {request.path}")
        parts = urlsplit(request.path)
        words = parts.path.split("/")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/webui/api/service":
            self._json(request, {"result": {"version": "3.2.3", "code": 3020300}, "error": None})
        elif parts.path == "/ace/getstream":
            film = self.films.get(query.get("infohash") or query.get("content_id") or query.get("id") or "")
            self._json(request, self._started(film, query.get("pid", "")))
        elif words[1:3] == ["ace", "stat"]:
            stat = {
                "status": "dl",
                "peers": 3,
                "speed_down": 100,
                "speed_up": 1,
                "downloaded": 16384,
                "is_live": self._is_live,
            }
            self._json(request, {"response": stat, "error": None})
        elif words[1:3] == ["ace", "cmd"]:
            self._json(request, {"response": "ok", "error": None})
        elif words[1:3] == ["ace", "r"] and words[3] in self.films:
            self._send(request, self.films[words[3]])
        else:
            request.send_error(404)

    def _started(self, film: Film | None, pid: str) -> dict[str, Any]:
        if film is None:
            return {"response": None, "error": "failed to load content"}
        tail = f"{film.infohash}/{hashlib.md5(pid.encode(), usedforsecurity=False).hexdigest()}"
        response = {
            "playback_url": f"{self.url}/ace/r/{tail}",
            "stat_url": f"{self.url}/ace/stat/{tail}",
            "command_url": f"{self.url}/ace/cmd/{tail}",
            "infohash": film.infohash,
            "playback_session_id": film.infohash,
            "is_live": self._is_live,
            "is_encrypted": 0,
            "client_session_id": -1,
        }
        return {"response": response, "error": None}

    def _send(self, request: BaseHTTPRequestHandler, film: Film) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "video/mp2t")
        request.end_headers()
        try:
            for at in range(0, len(film.media), PIECE_BYTES):
                if at + PIECE_BYTES > film.hold_at:
                    request.wfile.write(film.media[at : max(at, film.hold_at)])
                    film.release.wait(WAIT_LIMIT_S)
                    request.wfile.write(film.media[max(at, film.hold_at) :])
                    break
                request.wfile.write(film.media[at : at + PIECE_BYTES])
            film.close.wait(WAIT_LIMIT_S)
        except OSError:
            return  # the proxy has left
        finally:
            request.close_connection = True

    @staticmethod
    def _json(request: BaseHTTPRequestHandler, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def stop(self) -> None:
        """End."""
        for film in self.films.values():
            film.release.set()
            film.close.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
