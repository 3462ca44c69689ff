"""The command line. The only place that exits."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from aceproxy import __version__
from aceproxy.access.secret import AdminSecret, make_admin_secret, read_admin_secret
from aceproxy.app import App, make_logs, sign_in_link
from aceproxy.logs import Logs, redact
from aceproxy.settings import Settings, SettingsError, load_settings, read_settings, split_address

USAGE_STATUS = 2
FORCED_STATUS = 130

cli = typer.Typer(
    name="aceproxy",
    help="An HTTP proxy in front of AceStream engines: one playback, many players, and no route that a stream can "
    "block.\n\nBegin with [bold]aceproxy demo[/bold], which needs no engine, then [bold]aceproxy serve --engine "
    "http://HOST:6878[/bold]. Every setting is also an ACEPROXY_… variable and a line of the TOML file.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

secret_commands = typer.Typer(help="The admin secret: replace it, or print the link that signs in with it.")
cli.add_typer(secret_commands, name="secret", no_args_is_help=True)

Listen = Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Where to serve; an empty HOST is everywhere.")]
Engines = Annotated[
    list[str] | None, typer.Option("--engine", metavar="URL", help="An AceStream engine; may be repeated.")
]
Config = Annotated[Path | None, typer.Option(metavar="FILE", help="Settings as TOML.", dir_okay=False)]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any setting by name; may be repeated.")
]
LogLevel = Annotated[str | None, typer.Option(metavar="LEVEL", help="debug, info, warning or error.")]


def _fail(message: str) -> None:
    typer.echo(f"aceproxy: {redact(message)}", err=True)
    raise typer.Exit(USAGE_STATUS)


def _given(sets: list[str] | None, **flags: Any) -> dict[str, Any]:
    """Return what the command line says about settings, by name."""
    given = {name: value for name, value in flags.items() if value is not None and value != []}
    for pair in sets or []:
        name, equals, value = pair.partition("=")
        if not equals:
            _fail(f"--set {pair!r} is not NAME=VALUE")
        given[name.strip()] = value.strip()
    return given


def _settings(config: Path | None, sets: list[str] | None, **flags: Any) -> Settings:
    """Read the settings from everywhere, or leave with a sentence about what is wrong with them."""
    try:
        return load_settings(_given(sets, **flags), os.environ, config)[0]
    except SettingsError as error:
        _fail(str(error))
        raise AssertionError from None


def _logs(settings: Settings) -> Logs:
    """Build the logging, or leave with a sentence about what is in its way."""
    try:
        return make_logs(settings)
    except SettingsError as error:
        _fail(str(error))
        raise AssertionError from None


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


def _calm_collector() -> None:
    """Keep the garbage collector from stopping all threads for long.

    What was imported stays for ever and need not be looked through again; a full collection with a thousand clients
    takes tens of milliseconds, in which no route answers, and reference counting frees nearly everything without it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)


def _run(settings: Settings, serve: Callable[[asyncio.Event], Awaitable[None]], logs: Logs) -> None:
    """Run a server to its end; an address that is taken is told in a sentence."""
    logs.start()
    _calm_collector()
    try:
        asyncio.run(_until_signal(serve))
    except SettingsError as error:
        logs.stop()
        _fail(str(error))
    except OSError as error:
        logs.stop()
        _fail(f"cannot serve on {settings.listen}: {error.strerror or error}")
    finally:
        logs.stop()


@cli.command()
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
    given = _given(sets, listen=listen, engines=engine, log_level=log_level)
    settings = _settings(config, None, **given)
    logs = _logs(settings)

    async def until(asked: asyncio.Event) -> None:
        hung_up = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up.set)  # also while it starts
        async with App(settings, logs, lambda: read_settings(given, os.environ, config)) as app:
            if app.sign_in_link is not None:
                typer.echo(f"Sign in as admin: {app.sign_in_link}")  # not by the log, which others may read
            await _reload_on_hangup(app, asked, hung_up)

    _run(settings, until, logs)


@cli.command()
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

    given = _given(sets, listen=listen, log_level=log_level)
    settings = _settings(config, None, **given)
    logs = _logs(settings)

    async def until(asked: asyncio.Event) -> None:
        await run_demo(lambda: read_settings(given, os.environ, config), logs, channels, engines, asked, typer.echo)

    _run(settings, until, logs)


@cli.command("simulate-engine")
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
        _fail(str(error))
        return
    run_simulator(config)


@cli.command()
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

    settings = _settings(config, sets, engines=engine)
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(
            asyncio.run(check_link(settings, link, infohash=infohash, watch_s=seconds, as_json=as_json, proxy=proxy))
        )
    sys.exit(FORCED_STATUS)


@cli.command()
def password(
    config: Config = None,
    sets: Sets = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove it: only the admin secret signs in then.")] = False,
) -> None:
    """Set the admin's password in `state_dir`; a running AceProxy notices within seconds.

    Asks for it twice on a terminal; otherwise it is the first line of standard input.
    """
    from aceproxy.access.files import write_private  # noqa: PLC0415 - as above
    from aceproxy.access.passwords import FILE_NAME, check_quality, hash_password  # noqa: PLC0415 - as above
    from aceproxy.errors import AceProxyError  # noqa: PLC0415 - as above

    folder = _settings(config, sets).state_dir
    if folder is None:
        _fail("a password is kept in state_dir, which is not set")
        return
    path = folder / FILE_NAME
    try:
        if remove:
            path.unlink(missing_ok=True)
            typer.echo("The password is removed.")
            return
        given = typer.prompt("Password", hide_input=True, confirmation_prompt=True) if sys.stdin.isatty() else input()
        check_quality(given)
        write_private(path, hash_password(given) + "\n")
    except AceProxyError as error:
        _fail(error.detail)
    except (EOFError, UnicodeError):
        _fail("no password was given")
    except OSError as error:
        _fail(f"{path} cannot be written: {error.strerror}")
    typer.echo(f"The password is set, in {path}.")


@secret_commands.command("rotate")
def rotate_secret(config: Config = None, sets: Sets = None) -> None:
    """Replace the admin secret in `state_dir` and print the link that signs in with the new one.

    The old secret, its links and all sessions end; a running AceProxy notices within seconds. Tokens and the password
    stay.
    """
    _tell_sign_in_link(_settings(config, sets), make_admin_secret)


@secret_commands.command("link")
def show_sign_in_link(config: Config = None, sets: Sets = None) -> None:
    """Print the link that signs in with the present admin secret, as the first start did."""
    _tell_sign_in_link(_settings(config, sets), read_admin_secret)


def _tell_sign_in_link(settings: Settings, find: Callable[[Path], AdminSecret | None]) -> None:
    """Print the link for the secret that `find` returns of the folder of the settings."""
    folder = settings.state_dir
    if folder is None:
        _fail("the admin secret is kept in state_dir, which is not set; without, every start makes another one")
        return
    try:
        secret = find(folder)
    except OSError as error:
        _fail(f"the admin secret in {folder} cannot be used: {error.strerror}")
        return
    if secret is None:
        _fail(f"there is no admin secret in {folder} yet; the first start of the server makes one")
        return
    port = split_address(settings.listen)[1]
    typer.echo(sign_in_link(settings, port, secret) if port else secret.value)


@cli.command()
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

    settings = _settings(config, sets, engines=engine, listen=listen)
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
