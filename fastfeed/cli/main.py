"""The command ``fastfeed``."""

from __future__ import annotations

import logging

import click

from fastfeed import __version__
from fastfeed.cli.bench import bench
from fastfeed.cli.convert import convert
from fastfeed.cli.demo import demo
from fastfeed.cli.doctor import doctor
from fastfeed.cli.get import get
from fastfeed.cli.group import Group
from fastfeed.cli.hubs import hubs
from fastfeed.cli.record import record, recover
from fastfeed.cli.relay import relay
from fastfeed.cli.replay import replay
from fastfeed.cli.serve import serve
from fastfeed.cli.sim import sim
from fastfeed.cli.tail import tail
from fastfeed.cli.top import top
from fastfeed.cli.watch import watch

__all__ = ["cli", "main"]


@click.group(
    cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96}
)
@click.version_option(__version__, "-V", "--version", message="fastfeed %(version)s")
def cli() -> None:
    """Live market data, decoded in C straight into NumPy arrays.

    \b
    A first look, with nothing to configure:
      fastfeed demo
    A running OpenD (Futu's or moomoo's gateway):
      fastfeed doctor opend://127.0.0.1:11111
      fastfeed watch opend://127.0.0.1:11111 700.HK AAPL.US
    LongPort (Longbridge), with its key, secret and token in LONGBRIDGE_APP_KEY,
    LONGBRIDGE_APP_SECRET and LONGBRIDGE_ACCESS_TOKEN:
      fastfeed doctor longport://
      fastfeed watch longport:// 700.HK AAPL.US --kinds quotes,books
    AllTick, with its token in ALLTICK_TOKEN:
      fastfeed doctor alltick://crypto
      fastfeed watch alltick://crypto BTCUSDT EURUSD
    One process receives, any number of others read, each by the hub's name:
      fastfeed serve --name md opend://127.0.0.1:11111 700.HK AAPL.US
      fastfeed tail md
    Everything kept as Parquet, by kind and date:
      fastfeed record --hub md --out data
    Figures of this machine, beside the vendors' own packages:
      fastfeed bench --quick
    """
    # Commands tell what happens in their own words; what the library logs is for programs.
    logging.getLogger("fastfeed").addHandler(logging.NullHandler())


cli.add_command(watch)
cli.add_command(top)
cli.add_command(get)
cli.add_command(serve)
cli.add_command(tail)
cli.add_command(relay)
cli.add_command(replay)
cli.add_command(hubs)
cli.add_command(record)
cli.add_command(recover)
cli.add_command(convert)
cli.add_command(doctor)
cli.add_command(demo)
cli.add_command(sim)
cli.add_command(bench)


def main() -> None:
    """Run the command line, and exit."""
    cli(prog_name="fastfeed")
