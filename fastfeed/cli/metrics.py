"""The option ``--metrics`` of commands that go on for long."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import click

from fastfeed.cli.group import complain
from fastfeed.errors import ConfigError
from fastfeed.sinks import metrics_server
from fastfeed.sinks.sight import FeedsOf, Source, Watched

__all__ = ["Listen", "metrics_option", "serve_metrics"]


class Listen(NamedTuple):
    """Where to listen."""

    host: str
    port: int


def _listen(ctx: click.Context, param: click.Parameter, value: str | None) -> Listen | None:
    if value is None:
        return None
    host, colon, port = value.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 1 << 16) or (colon and not host):
        raise click.BadParameter(f"expected a port such as 9000 or 0.0.0.0:9000, got {value!r}")
    return Listen(host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port))


metrics_option = click.option(
    "--metrics",
    callback=_listen,
    metavar="[HOST:]PORT",
    help="Serve /metrics for Prometheus and /healthz by HTTP.  [host: 127.0.0.1]",
)


def serve_metrics(
    listen: Listen | None,
    *,
    hub: Watched,
    feeds: FeedsOf | None = None,
    parts: Mapping[str, Source] | None = None,
) -> AbstractContextManager[Any]:
    """Serve metrics as `fastfeed.serve_metrics` does while the context lasts, and say where; without `listen` nothing.

    Begin it in the event loop that feeds and parts belong to, if they belong to one.
    """
    if listen is None:
        return contextlib.nullcontext()
    try:
        server = metrics_server.serve_metrics(
            listen.port, hub, host=listen.host, feeds=feeds, parts=parts
        )
    except ConfigError as error:
        if isinstance(error.__cause__, OSError):  # nothing is wrong with the option
            raise click.ClickException(str(error)) from error
        raise
    complain(f"metrics at {server.url}")
    return server
