"""The look of `--help`: what is a switch takes no value, so none is named beside it."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption


def _without_values(params: list[Any]) -> list[Any]:
    for param in params:
        if isinstance(param, TyperOption) and param.is_flag:
            param.metavar = ""
    return params


class PlainCommand(TyperCommand):
    """A command."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return its options and arguments."""
        return _without_values(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """A command that has others."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return its options."""
        return _without_values(super().get_params(ctx))
