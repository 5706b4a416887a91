"""HTTP for metrics and health, in threads of its own; slow clients are cut off, and many refused."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.resources
import logging
import math
import socket
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import msgspec

from fastfeed.errors import ConfigError
from fastfeed.sinks.health import DOWN_S, SILENT_S, problems
from fastfeed.sinks.metrics import MetricsCollector, Samples, families
from fastfeed.sinks.sight import FeedsOf, Observed, Source, Watched

__all__ = ["MetricsServer", "serve_metrics"]

_logger = logging.getLogger(__name__)

_MOST_REQUESTS = 8  # at once
_REQUEST_S = 10.0  # the longest a client may take
_IDLE_S = 5.0  # and between two of its pieces
_POLL_S = 0.2
_TEXT = "text/plain; charset=utf-8"
_INDEX = b"fastfeed: /metrics for Prometheus, /healthz, /grafana.json: a dashboard to import\n"


def serve_metrics(
    port: int,
    hub: Watched,
    *,
    host: str = "127.0.0.1",
    feeds: FeedsOf | None = None,
    parts: Mapping[str, Source] | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
    down_s: float = DOWN_S,
    silent_s: float = SILENT_S,
) -> MetricsServer:
    """Serve metrics for Prometheus at ``/metrics`` and a state at ``/healthz``, until the server is closed.

    ``/grafana.json`` is a dashboard that shows them, to be imported into Grafana.

    ``/healthz`` answers 200, or 503 when a feed has been down for `down_s`, or has had no row for `silent_s` while
    a market of its symbols is in its regular hours; also when the event loop hangs, the writer of an attached hub
    is gone, or a recording or relay fails. Its body is JSON and says why: ``{"healthy": false, "problems":
    [...]}``. Holidays are not known: on one, a feed is found silent. A request may bring its own limits:
    ``/healthz?down=30&silent=300``, with ``silent=inf`` for none.

    Parameters
    ----------
    port : int
        0 takes any free one, see `MetricsServer.url`.
    hub : Hub or AttachedHub
    host : str
        Where to listen. Whoever can connect can read: names of feeds, programs and streams, and numbers.
    feeds, parts, loop
        As of `MetricsCollector`.
    down_s, silent_s : float
        Seconds.

    Raises
    ------
    ConfigError
        It cannot listen there, or prometheus_client is not installed (``pip install 'fastfeed[metrics]'``).
    ValueError
        There is no part of that name, or a limit is not more than 0.

    Examples
    --------
    >>> async with ff.connect("opend://127.0.0.1:11111") as feed:
    ...     with ff.serve_metrics(9000, feed.hub, feeds=[feed]):
    ...         await feed.subscribe("700.HK", "ticks")
    ...         async for ticks in feed.ticks:
    ...             ...
    """
    limits = _checked(down_s, "down_s"), _checked(silent_s, "silent_s")
    return MetricsServer(
        host, port, MetricsCollector(hub, feeds=feeds, parts=parts, loop=loop), *limits
    )


def _checked(seconds: float, name: str) -> float:
    if not seconds > 0:
        raise ValueError(f"expected {name} in seconds, more than 0, got {seconds!r}")
    return seconds


class MetricsServer:
    """What `serve_metrics` has begun; a context manager that closes it.

    Attributes
    ----------
    url : str
        Of ``/metrics``.
    """

    def __init__(
        self, host: str, port: int, collector: MetricsCollector, down_s: float, silent_s: float
    ) -> None:
        next(families(Samples()))  # prometheus_client is there
        self._observed = collector.observed
        self._server = _Server(host, port, _Answers(collector, down_s, silent_s))
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_address[1]}/metrics"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="fastfeed metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Listen no more, and drop who is being answered."""
        self._server.shutdown()
        self._server.server_close()
        self._observed.stop()
        self._server.drop_all()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Answers:
    """What is answered."""

    def __init__(self, collector: MetricsCollector, down_s: float, silent_s: float) -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector

        self._observed: Observed = collector.observed
        self._limits = {"down": down_s, "silent": silent_s}
        self._registry = CollectorRegistry()
        self._registry.register(collector)
        ProcessCollector(registry=self._registry)

    def to(self, target: str, accept: str) -> tuple[int, str, bytes]:
        """Return status, content type and body for a target of a request."""
        try:
            parts = urlsplit(target)
        except ValueError:  # such as http://[
            return 404, _TEXT, _INDEX
        if parts.path == "/metrics":
            return self._metrics(accept)
        if parts.path == "/healthz":
            return self._health(parts.query)
        if parts.path == "/grafana.json":
            dashboard = importlib.resources.files("fastfeed.sinks") / "grafana.json"
            return 200, "application/json", dashboard.read_bytes()
        return (200, _TEXT, _INDEX) if parts.path == "/" else (404, _TEXT, _INDEX)

    def _metrics(self, accept: str) -> tuple[int, str, bytes]:
        from prometheus_client.exposition import choose_encoder

        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is none
            encode, content_type = choose_encoder("")
        return 200, content_type, encode(self._registry)

    def _health(self, query: str) -> tuple[int, str, bytes]:
        limits = dict(self._limits)
        try:
            for name, text in parse_qsl(query, keep_blank_values=True):
                if name not in limits or math.isnan(seconds := float(text)) or seconds <= 0:
                    raise ValueError
                limits[name] = seconds
        except ValueError:
            return 400, _TEXT, b"expected down and silent in seconds, more than 0\n"
        found = problems(self._observed.look(), down_s=limits["down"], silent_s=limits["silent"])
        body = msgspec.json.encode({"healthy": not found, "problems": found}) + b"\n"
        return 503 if found else 200, "application/json", body


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _IDLE_S

    def do_GET(self) -> None:
        try:
            status, content_type, body = self.server.answers.to(
                self.path, ",".join(self.headers.get_all("Accept", []))
            )
        except Exception:
            _logger.exception("%s cannot be answered", self.path.partition("?")[0])
            status, content_type, body = 500, _TEXT, b"it failed; the log says why\n"
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def version_string(self) -> str:
        return "fastfeed"

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingMixIn, TCPServer):
    """A thread for each of a few requests; what takes too long is cut off."""

    # Not an HTTPServer: that one looks its own name up, which may take long.
    allow_reuse_address = True
    request_queue_size = 32
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, answers: _Answers) -> None:
        self.answers = answers
        self._begun: dict[socket.socket, float] = {}
        self._changing = threading.Lock()
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self.address_family = found[0]
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"cannot serve metrics on {host}:{port}: {reason}") from error

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changing:
            has_room = len(self._begun) < _MOST_REQUESTS
            if has_room:
                self._begun[request] = time.monotonic()
        if has_room:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        with self._changing:
            self._begun.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        now = time.monotonic()
        self._drop(lambda begun: now - begun > _REQUEST_S)

    def drop_all(self) -> None:
        """Drop who is being answered."""
        self._drop(lambda begun: True)

    def _drop(self, is_to_go: Any) -> None:
        with self._changing:
            for request, begun in self._begun.items():
                if is_to_go(begun):
                    with contextlib.suppress(OSError):  # it has gone
                        request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that went away, or took too long
