"""`kmipsrv`: the commands, and the one place where a failure becomes a line and an exit code.

Exit codes: 0 it worked; 1 it failed, or `doctor` found an error; 2 the command line is wrong; 78 the configuration is
wrong (EX_CONFIG of sysexits.h), which no restart mends: the systemd unit does not try again.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import sys
import traceback
from pathlib import Path
from typing import Final

import click

from kmipsrv import __version__
from kmipsrv.errors import ConfigError, KmipError

FAILED: Final = 1
WRONG_CONFIGURATION: Final = 78

COMMANDS: Final = {
    "init": "Make a state directory: token, master key, certificates, configuration.",
    "serve": "Serve KMIP.",
    "client-cert": "Issue a certificate for a client.",
    "server-cert": "Renew the server's certificate.",
    "rotate-master-key": "Make a new version of the master key.",
    "doctor": "Look for what is wrong, and say how to mend it.",
    "hash-password": "Make the record of a password for the configuration.",
    "decode": "Show a message in any of KMIP's encodings, secrets left out.",
    "attest": "Verify attestation evidence, and pin endorsements.",
    "policy": "Check, explain and try release policies.",
    "release": "Approve, order and replay releases.",
    "audit": "Verify the audit trail.",
}
"""Name and summary of each command; the code is in the module of that name. One whose module is absent is not there."""


class _Commands(click.Group):
    """Loads a command's module when the command is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if importlib.util.find_spec(_module(name)) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = getattr(importlib.import_module(_module(cmd_name)), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):  # from the table: help loads no command
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


def _module(name: str) -> str:
    return f"kmipsrv.cli.{name.replace('-', '_')}"


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="kmipsrv", message="%(prog)s %(version)s")
@click.option("--traceback", "show_traceback", is_flag=True, help="Show where an unexpected error came from.")
@click.pass_context
def kmipsrv(ctx: click.Context, show_traceback: bool) -> None:
    """A KMIP key management server.

    Exit codes: 0 it worked, 1 it failed, 2 the command line is wrong, 78 the configuration is wrong.
    """
    ctx.obj = show_traceback


def program() -> str:
    """What to type to get here again, for hints: `kmipsrv` if the shell finds it, or else its path."""
    path = sys.argv[0]
    return "kmipsrv" if Path(path).name != "kmipsrv" or shutil.which("kmipsrv") == path else path


def main() -> None:
    """The entry point."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; its exit code. Every failure is one clear line on standard error."""
    try:
        result = kmipsrv.main(arguments, prog_name="kmipsrv", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return _fail("interrupted", 128 + 2)
    except ConfigError as error:
        return _fail(str(error), WRONG_CONFIGURATION)
    except KmipError as error:
        return _fail(error.message, FAILED)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), FAILED)
    except Exception as error:
        if "--traceback" in arguments:
            traceback.print_exc()
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} at {place.filename}:{place.lineno}"
        return _fail(f"unexpected error: {where}; `kmipsrv --traceback …` shows more", FAILED)


def _fail(message: str, code: int) -> int:
    click.echo(f"kmipsrv: {message}", err=True)
    return code
