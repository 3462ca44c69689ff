"""The command line. The only place that exits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import Annotated

import typer

from aceproxy import __version__
from aceproxy.admin_commands import password, secret_commands
from aceproxy.given import Config, Engines, Listen, LogLevel, Sets, fail, given_settings, read_given
from aceproxy.plain_help import PlainCommand, PlainGroup
from aceproxy.settings import read_settings

FORCED_STATUS = 130

cli = typer.Typer(
    name="aceproxy",
    cls=PlainGroup,
    help="An HTTP proxy in front of AceStream engines: one playback, many players, and no route that a stream can "
    "block.\n\nBegin with [bold]aceproxy demo[/bold], which needs no engine, then [bold]aceproxy serve --engine "
    "http://HOST:6878[/bold]. Every setting is also an ACEPROXY_… variable and a line of the TOML file.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

cli.add_typer(secret_commands, name="secret", no_args_is_help=True)


@cli.command(cls=PlainCommand)
def serve(
    listen: Listen = None,
    engine: Engines = None,
    config: Config = None,
    log_level: LogLevel = None,
    sets: Sets = None,
) -> None:
    """Serve the broadcasts of one or more AceStream engines.

    Starts and stays up with no engine reachable; /api/health and the dashboard at / tell. SIGTERM and SIGINT end the
    clients, stop every playback on its engine and leave; a second signal forces it. SIGHUP reads the file of settings
    anew.
    """
    from aceproxy.serving import logs_for, run_server, serve_until  # noqa: PLC0415 - not what brief commands need

    given = given_settings(sets, listen=listen, engines=engine, log_level=log_level)
    settings = read_given(config, None, **given)
    logs = logs_for(settings)

    async def until(asked: asyncio.Event) -> None:
        await serve_until(asked, settings, logs, lambda: read_settings(given, os.environ, config))

    run_server(settings, until, logs)


@cli.command(cls=PlainCommand)
def demo(
    listen: Listen = None,
    channels: Annotated[int, typer.Option(min=0, max=1000, help="Further test channels.")] = 0,
    engines: Annotated[int, typer.Option(min=1, max=8, help="Simulated engines; with two one can be killed.")] = 1,
    config: Config = None,
    log_level: LogLevel = None,
    sets: Sets = None,
) -> None:
    """Run AceProxy with a simulated engine and test channels; prints the links to open in a player.

    Needs no engine, no network and no ffmpeg. With --engines 2 it tells how to kill one while something plays.
    """
    from aceproxy.demo import run_demo  # noqa: PLC0415 - only this command needs what it brings along
    from aceproxy.serving import logs_for, run_server  # noqa: PLC0415 - as above

    given = given_settings(sets, listen=listen, log_level=log_level)
    settings = read_given(config, None, **given)
    logs = logs_for(settings)

    async def until(asked: asyncio.Event) -> None:
        await run_demo(lambda: read_settings(given, os.environ, config), logs, channels, engines, asked, typer.echo)

    run_server(settings, until, logs)


@cli.command("simulate-engine", cls=PlainCommand)
def simulate_engine(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the engine listens.")] = "127.0.0.1:6878",
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=VALUE][@INFOHASH]", help="A fault to show; may be repeated. See docs/simulator.md."
        ),
    ] = None,
    channels: Annotated[int, typer.Option(min=0, max=1000, help="Further test channels.")] = 0,
) -> None:
    """Run the engine simulator alone: an AceStream engine over real HTTP, with faults to order."""
    from aceproxy.simulator import Fault, SimulatorConfig, run_simulator  # noqa: PLC0415 - only this command needs it

    host, _, port = listen.rpartition(":")
    try:
        faults = tuple(Fault.parse(text) for text in fault or [])
        config = SimulatorConfig(host=host.strip("[]") or "0.0.0.0", port=int(port), channels=channels, faults=faults)  # noqa: S104 - asked for
    except ValueError as error:
        fail(str(error))
    run_simulator(config)


@cli.command(cls=PlainCommand)
def check(
    link: Annotated[str, typer.Argument(help="acestream://…, an id, a magnet or the URL of a transport file.")],
    engine: Engines = None,
    infohash: Annotated[bool, typer.Option("--infohash", help="Take 40 digits for an infohash.")] = False,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="How long to watch.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    proxy: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The running AceProxy, asked first; by default that of the settings (listen); 'none': nobody.",
        ),
    ] = None,
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Open one broadcast, tell how it is, and stop it.

    A broadcast that a running AceProxy plays is not touched: its figures are told instead.

    Tells the time to the engine's answer, prebuffering, the first byte, bitrate, codecs, resolution and peers. Exit
    status: 0 it plays, 1 it does not, 2 the link or a setting cannot be understood.
    """
    from aceproxy.checking import check_link  # noqa: PLC0415 - only this command needs what it brings along

    settings = read_given(config, sets, engines=engine)
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(
            asyncio.run(check_link(settings, link, infohash=infohash, watch_s=seconds, as_json=as_json, proxy=proxy))
        )
    sys.exit(FORCED_STATUS)


cli.command(cls=PlainCommand)(password)


@cli.command(cls=PlainCommand)
def doctor(
    engine: Engines = None,
    listen: Listen = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: Config = None,
    sets: Sets = None,
) -> None:
    """Look at everything that the program needs here, and say what to do about what is wrong.

    Engines, port, descriptors, memory, folders, clock, ffmpeg, IPv6, access. Changes nothing, and may be asked beside a
    running program. Exit status: 0 all is well (there may be warnings), 1 something does not work, 2 a setting cannot
    be used.
    """
    from aceproxy.doctor import run_doctor  # noqa: PLC0415 - only this command needs what it brings along

    settings = read_given(config, sets, engines=engine, listen=listen)
    sys.exit(asyncio.run(run_doctor(settings, as_json=as_json)))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"aceproxy {__version__}")
        raise typer.Exit


@cli.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the program."""
    cli()
