"""`fastfeed doctor`: is a server there, does it work, and what does it allow?"""

from __future__ import annotations

import textwrap
from typing import Any

import click
import msgspec

from fastfeed.cli import doctor_alltick, doctor_longport
from fastfeed.cli.connection import connection_options, feed_of
from fastfeed.cli.doctor_alltick import AlltickExamination
from fastfeed.cli.doctor_longport import LongportExamination
from fastfeed.cli.doctor_nats import NatsExamination
from fastfeed.cli.doctor_opend import OpendExamination
from fastfeed.cli.examination import Check, Examination, Report, Verdict
from fastfeed.cli.grid import say, terminal_width
from fastfeed.connect import run
from fastfeed.feeds.alltick import AllTick
from fastfeed.feeds.longport import LongPort
from fastfeed.feeds.nats import Nats
from fastfeed.feeds.opend import OpenD

__all__ = ["doctor"]

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}
_INDENT = 24


@click.command(short_help="Look whether a server is there, works, and what it allows.")
@click.argument("url")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of lines.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    metavar="S",
    help="Longest wait for each answer.",
)
@connection_options
def doctor(
    *,
    url: str,
    as_json: bool,
    timeout: float,
    rsa_key: str | None,
    encryption: str | None,
) -> None:
    """Look whether the server at URL is there, works, and what it allows.

    Nothing is changed. Each line is ok, a warning (it works, with a drawback) or
    a problem; the exit code is 1 if there is a problem.

    Of AllTick it opens one connection for some seconds, which counts among those of the plan, and asks for one
    trade by HTTP. Of LongPort it opens one as well, on which it subscribes to 700.HK, AAPL.US, 600519.SH and
    D05.SG, to see what may be subscribed and what comes.

    \b
    Examples:
      fastfeed doctor opend://127.0.0.1:11111
      fastfeed doctor opend://10.0.0.5:11111 --rsa-key ~/futu.pem
      fastfeed doctor longport://
      fastfeed doctor "longport://?transport=tcp"
      fastfeed doctor alltick://crypto
      fastfeed doctor "alltick://stock?plan=premium"
      fastfeed doctor nats://10.0.0.7:4222/md
    """
    options: dict[str, Any] = {
        "connect_timeout_s": timeout,
        "request_timeout_s": timeout,
        "wait_s": 0.0,
    }
    if url.startswith("file:"):
        raise click.UsageError("expected the URL of a server: fastfeed replay PATH reads a capture")
    options |= doctor_alltick.stand_in(url) | doctor_longport.stand_in(url)
    feed = feed_of(url, rsa_key, encryption, **options)
    tell = None if as_json else _print
    examination: (
        Examination[AllTick] | Examination[LongPort] | Examination[OpenD] | Examination[Nats]
    )
    if isinstance(feed, AllTick):
        examination = AlltickExamination(feed, timeout, tell, url)
    elif isinstance(feed, LongPort):
        examination = LongportExamination(feed, timeout, tell, url)
    elif isinstance(feed, Nats):
        examination = NatsExamination(feed, timeout, tell)
    else:
        assert isinstance(feed, OpenD)
        examination = OpendExamination(feed, timeout, tell)
    run(examination.run())
    report = examination.report()
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        say(["", _conclusion(report)])
    click.get_current_context().exit(1 if report.verdict == "problem" else 0)


def _print(check: Check) -> None:
    mark = click.style(f"{check.verdict:<7}", fg=_COLOURS[check.verdict])
    head = f"{mark}  {check.name:<13}  "
    room = max((terminal_width() or 1 << 16) - _INDENT, 20)
    for text in filter(None, (check.text, check.hint)):
        for line in textwrap.wrap(text, room):
            say([head + line])
            head = " " * _INDENT


def _conclusion(report: Report) -> str:
    def counted(verdict: Verdict) -> str:
        number = sum(check.verdict == verdict for check in report.checks)
        return f"{number} {verdict}{'s' * (number > 1)}" if number else ""

    found = ", ".join(filter(None, (counted("problem"), counted("warning"))))
    colour = _COLOURS[report.verdict]
    return click.style(f"{found}." if found else "All is well.", fg=colour, bold=True)
