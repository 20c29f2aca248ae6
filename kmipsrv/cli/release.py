"""`kmipsrv release`: approve releases of gated objects, order that their policies change, and replay decisions.

An approver or administrator signs on a machine of their own, with a key that never comes near the server: `keygen`,
`approve` and `order` need neither a server nor its configuration.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Final

import click

COMMANDS: Final = {
    "keygen": ("signing", "Make the key of an approver or administrator."),
    "approve": ("signing", "Sign an approval of a release."),
    "order": ("signing", "Sign an order that changes an object's release policy."),
    "show": ("signing", "Show an approval or an order, and whose it is."),
    "submit": ("submit", "Hand an approval to the server."),
    "apply": ("apply", "Carry out an order."),
    "key": ("key", "Print the public key that releases are signed with."),
    "replay": ("replay", "Derive the decisions of the audit trail again."),
}
"""Name -> (module release_NAME.py, summary). One whose module is absent is not there."""


class _Commands(click.Group):
    """Loads a command's module when the command is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, (module, _) in COMMANDS.items() if importlib.util.find_spec(_path(module)) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = getattr(importlib.import_module(_path(COMMANDS[cmd_name][0])), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


def _path(module: str) -> str:
    return f"kmipsrv.cli.release_{module}"


@click.group(cls=_Commands)
def release() -> None:
    """Approve, order and replay releases."""
