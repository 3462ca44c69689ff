"""Control routes under `/simulator/`: no part of a real engine, answered to loopback callers only."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable
from dataclasses import asdict

from aceproxy.simulator.engine import Engine
from aceproxy.simulator.faults import ActiveFault, Fault, FaultError
from aceproxy.simulator.http1 import Answer, Connection, Request
from aceproxy.simulator.replies import dumped

EXPLANATION = (
    "This is the engine simulator of AceProxy: it answers as an AceStream engine does and broadcasts test pictures. "
    "The routes under /simulator/ are no part of an engine: GET /simulator/state shows what it plays and who reads, "
    'POST /simulator/faults with {"name": ..., "value": ..., "infohash": ..., "times": ...} sets a fault, '
    "DELETE /simulator/faults?name=... clears one, or all without a name.\n"
)
SetFault = Callable[[Fault], None]
ClearFaults = Callable[[str | None], None]


def control(
    engine: Engine, request: Request, connection: Connection, set_fault: SetFault, clear_faults: ClearFaults
) -> Answer:
    """Answer a request under `/simulator/`."""
    try:
        local = ipaddress.ip_address(connection.peer_host).is_loopback
    except ValueError:
        local = False
    if not local:
        return plain(403, "control routes are for loopback callers only\n")
    place = (request.method.replace("HEAD", "GET"), request.path)
    if place == ("GET", "/simulator/"):
        return plain(200, EXPLANATION)
    if place == ("GET", "/simulator/state"):
        return Answer(200, dumped(state(engine)), (("Content-Type", "application/json"),))
    if request.path != "/simulator/faults":
        return plain(404, "no such control route\n")
    try:
        if request.method == "POST":
            set_fault(fault_of(request.body))
        elif request.method == "DELETE":
            clear_faults(request.query.get("name"))
        else:
            return plain(405, "POST sets a fault, DELETE clears\n")
    except FaultError as error:
        return plain(400, f"{error}\n")
    return Answer(200, dumped({"faults": faults(engine)}), (("Content-Type", "application/json"),))


def plain(status: int, text: str) -> Answer:
    """Return plain text."""
    return Answer(status, text.encode(), (("Content-Type", "text/plain; charset=utf-8"),))


def fault_of(body: bytes) -> Fault:
    """Read a fault from JSON. Raises FaultError."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise FaultError("the body is not JSON") from None
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise FaultError('the body must be an object with "name"')
    unknown = set(value) - {"name", "value", "infohash", "times"}
    if unknown:
        raise FaultError(f"unknown field {min(unknown)!r}")
    given, infohash, times = value.get("value"), value.get("infohash"), value.get("times")
    if not isinstance(infohash, str | None) or not isinstance(times, int | None) or isinstance(given, dict | list):
        raise FaultError("value and infohash are text, times is a whole number")
    return Fault(value["name"], None if given is None else str(given), infohash, times)


def faults(engine: Engine) -> list[dict[str, object]]:
    """Return the faults set now."""
    return [fault_state(active) for active in engine.faults.all()]


def fault_state(active: ActiveFault) -> dict[str, object]:
    """Return one fault as JSON."""
    fault = active.fault
    return {"name": fault.name, "value": active.value, "infohash": fault.infohash, "times_left": active.left}


def state(engine: Engine) -> dict[str, object]:
    """Return contents, playbacks, readers and faults."""
    now = engine.now()
    playbacks = []
    for record in engine.table.records():
        one = asdict(record)
        stopped_at = one.pop("stopped_at")
        one["started_s_ago"] = round(now - one.pop("started_at"), 3)
        one["stopped_s_ago"] = None if stopped_at is None else round(now - stopped_at, 3)
        playbacks.append(one)
    contents = [
        {
            "name": content.name,
            "live": content.live,
            "link": content.link,
            "content_id": content.content_id,
            "infohash": content.infohash,
            "transport_url": content.transport_url,
            "bitrate_bps": content.bitrate_bps,
        }
        for content in engine.contents
    ]
    readers = sum(len(session.readers) for session in engine.table.active())
    return {"contents": contents, "playbacks": playbacks, "readers": readers, "faults": faults(engine)}
