"""How every command ends: one clear line on stderr, and an exit code that means something.

0 done, 1 it did not work, 2 wrong arguments, 130 interrupted where that is not the ordinary end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from fastfeed.connect import masked
from fastfeed.errors import ConfigError, FastfeedError

__all__ = ["Group", "complain"]


class Group(click.Group):
    """A click group whose errors are one line each."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command; in standalone mode, print errors and exit."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        _hold_standard_streams()
        if os.environ.get("NO_COLOR"):
            extra["color"] = False
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            sys.stdout.flush()
        except (click.Abort, KeyboardInterrupt):
            code = 130
        except click.UsageError as error:
            code = _usage(error)
        except click.ClickException as error:
            code = error.exit_code
            complain(error.format_message())
        except FastfeedError as error:
            code = 2 if isinstance(error, ConfigError) else 1
            complain(str(error))
        except OSError as error:
            code = 1
            complain(f"{error.strerror or error}{f': {error.filename}' * bool(error.filename)}")
            _silence_stdout()
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; whoever reads its output may stop reading at any time."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click would make it 1
            _silence_stdout()
            return 0
        except KeyboardInterrupt:  # click would print an empty line
            complain("interrupted")
            ctx.exit(130)


def complain(message: str, command: str = "fastfeed") -> None:
    """Print one line on stderr, without tokens."""
    click.echo(f"{command}: {masked(' '.join(message.split()))}", err=True)


def _usage(error: click.UsageError) -> int:
    context = error.ctx
    path = context.command_path if context is not None else "fastfeed"
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":  # click 8.2 and later; its message is the help
        click.echo(message, err=True)
        return 2
    if message[1:].partition(" ")[0].islower():  # a word, not a name such as AllTick
        message = message[:1].lower() + message[1:]
    message = message.rstrip(".")
    complain(f"{message} (see {path} --help)", path)
    return 2


def _hold_standard_streams() -> None:
    """Let no socket become standard input, output or error where the caller has closed those."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _silence_stdout() -> None:
    """Send what is still buffered for a closed pipe elsewhere, so that the exit does not complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
