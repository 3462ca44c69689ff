"""Running a server from the command line to its end: signals, the log, the garbage collector."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from errno import EADDRINUSE

import typer

from aceproxy.app import App
from aceproxy.calming import calm_allocator, calm_collector
from aceproxy.engine.os_words import os_words
from aceproxy.given import fail
from aceproxy.live import Load
from aceproxy.logs import Logs
from aceproxy.preparing import make_logs
from aceproxy.settings import Settings, SettingsError

FORCED_STATUS = 130


def logs_for(settings: Settings) -> Logs:
    """Build the logging, or leave with a sentence about what is in its way."""
    try:
        return make_logs(settings)
    except SettingsError as error:
        fail(str(error))


async def _until_signal(serve: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Run until SIGINT or SIGTERM asks to leave; a second one forces it. So does a terminal that is closed."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if asked.is_set():
            os._exit(FORCED_STATUS)
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    loop.add_signal_handler(signal.SIGHUP, asked.set)  # unless it has another meaning for who serves
    await serve(asked)


async def _reload_on_hangup(app: App, asked: asyncio.Event, hung_up: asyncio.Event) -> None:
    """Wait until `asked` is set; whenever `hung_up` is set meanwhile, read the settings anew."""
    leaving = asyncio.create_task(asked.wait())
    while not leaving.done():
        hanging_up = asyncio.create_task(hung_up.wait())
        await asyncio.wait({leaving, hanging_up}, return_when=asyncio.FIRST_COMPLETED)
        hanging_up.cancel()
        if hung_up.is_set():
            hung_up.clear()
            await app.reload()


async def serve_until(asked: asyncio.Event, settings: Settings, logs: Logs, load: Load) -> None:
    """Serve until `asked` is set; SIGHUP reads the settings anew with `load`. The link to sign in is printed."""
    hung_up = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up.set)  # also while it starts
    async with App(settings, logs, load) as app:
        if app.sign_in_link is not None:
            typer.echo(f"Sign in as admin: {app.sign_in_link}")  # not by the log, which others may read
        await _reload_on_hangup(app, asked, hung_up)


def run_server(settings: Settings, serve: Callable[[asyncio.Event], Awaitable[None]], logs: Logs) -> None:
    """Run a server to its end; an address that is taken is told in a sentence."""
    calm_allocator()
    logs.start()
    calm_collector()
    try:
        asyncio.run(_until_signal(serve))
    except SettingsError as error:
        logs.stop()
        fail(str(error))
    except OSError as error:
        logs.stop()
        hint = "; `aceproxy doctor` tells more, --listen :PORT takes another port" if error.errno == EADDRINUSE else ""
        fail(f"cannot serve on {settings.listen}: {os_words(error)}{hint}")
    finally:
        logs.stop()
