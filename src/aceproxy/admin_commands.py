"""The commands about signing in: the admin's password, and the admin secret with its link."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from aceproxy.access.secret import AdminSecret, make_admin_secret, read_admin_secret, sign_in_link
from aceproxy.given import Config, Sets, fail, read_given
from aceproxy.plain_help import PlainCommand, PlainGroup
from aceproxy.settings import Settings, split_address

secret_commands = typer.Typer(
    cls=PlainGroup, help="The admin secret: replace it, or print the link that signs in with it."
)


def password(
    config: Config = None,
    sets: Sets = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove it: only the admin secret signs in then.")] = False,
) -> None:
    """Set the admin's password in `state_dir`; a running AceProxy notices within seconds.

    Asks for it twice on a terminal; otherwise it is the first line of standard input.
    """
    from aceproxy.access.passwords import FILE_NAME, check_quality, hash_password  # noqa: PLC0415 - as above
    from aceproxy.errors import AceProxyError  # noqa: PLC0415 - as above
    from aceproxy.files import write_private  # noqa: PLC0415 - only this command needs it

    folder = read_given(config, sets).state_dir
    if folder is None:
        fail("a password is kept in state_dir, which is not set")
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
        fail(error.detail)
    except (EOFError, UnicodeError):
        fail("no password was given")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}")
    typer.echo(f"The password is set, in {path}.")


@secret_commands.command("rotate", cls=PlainCommand)
def rotate_secret(config: Config = None, sets: Sets = None) -> None:
    """Replace the admin secret in `state_dir` and print the link that signs in with the new one.

    The old secret, its links and all sessions end; a running AceProxy notices within seconds. Tokens and the password
    stay.
    """
    _tell_sign_in_link(read_given(config, sets), make_admin_secret)


@secret_commands.command("link", cls=PlainCommand)
def show_sign_in_link(config: Config = None, sets: Sets = None) -> None:
    """Print the link that signs in with the present admin secret, as the first start did."""
    _tell_sign_in_link(read_given(config, sets), read_admin_secret)


def _tell_sign_in_link(settings: Settings, find: Callable[[Path], AdminSecret | None]) -> None:
    """Print the link for the secret that `find` returns of the folder of the settings."""
    folder = settings.state_dir
    if folder is None:
        fail("the admin secret is kept in state_dir, which is not set; without, every start makes another one")
    try:
        secret = find(folder)
    except OSError as error:
        fail(f"the admin secret in {folder} cannot be used: {error.strerror}")
    if secret is None:
        fail(f"there is no admin secret in {folder} yet; the first start of the server makes one")
    port = split_address(settings.listen)[1]
    typer.echo(sign_in_link(settings, port, secret) if port else secret.value)
