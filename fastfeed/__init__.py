"""Live market data, decoded in C straight into NumPy arrays.

>>> import fastfeed as ff
>>> async with ff.connect("opend://127.0.0.1:11111") as feed:
...     await feed.subscribe(["700.HK", "AAPL.US"], "ticks")
...     async for ticks in feed.ticks:
...         print(feed.symbols[ticks["symbol"][-1]], ticks["price"][-1])
"""

from fastfeed._core.symbols import SymbolTable
from fastfeed.attach import AttachedHub, AttachedReader, AttachedStream, attach
from fastfeed.captures import Capture, CaptureFile, Player, capture
from fastfeed.connect import connect, run
from fastfeed.decoder import Decoder
from fastfeed.errors import (
    AuthError,
    ConfigError,
    ConnectError,
    FastfeedError,
    HubError,
    InternalError,
    LocalProtocolError,
    ProtocolError,
    RateLimitError,
    RemoteProtocolError,
    RequestError,
    RequestTimeout,
    StorageError,
    SubscriptionError,
)
from fastfeed.feeds.alltick import AllTick
from fastfeed.feeds.backoff import Backoff
from fastfeed.feeds.events import Event
from fastfeed.feeds.feed import Feed
from fastfeed.feeds.history import HistoryBars
from fastfeed.feeds.longport import LongPort
from fastfeed.feeds.longport_records import (
    CapitalDistribution,
    CapitalFlow,
    Connections,
    LongPortOptionChain,
    LongPortStaticInfo,
    LongPortTradingDay,
    MarketSessions,
    OptionQuotes,
    Participant,
    Profile,
    SubscribedKinds,
    Warrant,
    WarrantIssuer,
    WarrantQuotes,
    Warrants,
)
from fastfeed.feeds.nats import Nats
from fastfeed.feeds.opend import OpenD
from fastfeed.feeds.opend_records import (
    DelayStatistics,
    FutureInfo,
    GlobalState,
    HistoryQuota,
    MarketState,
    OptionChain,
    Plate,
    Rehab,
    Snapshot,
    StaticInfo,
    Subscriptions,
    TradingDay,
    UserInfo,
    WatchlistGroup,
)
from fastfeed.feeds.replay import Replay
from fastfeed.hub import Hub
from fastfeed.schema import Flags, Session, dtype
from fastfeed.sinks.arrow import arrow_schema, rows_of
from fastfeed.sinks.frames import to_arrow, to_pandas, to_polars
from fastfeed.sinks.metrics import MetricsCollector
from fastfeed.sinks.metrics_server import MetricsServer, serve_metrics
from fastfeed.sinks.record import Recording, record, recover
from fastfeed.sinks.relay import Relay
from fastfeed.sinks.segments import Sealed
from fastfeed.stream import Reader, Stream

__version__ = "0.7.0"

__all__ = [
    "AllTick",
    "AttachedHub",
    "AttachedReader",
    "AttachedStream",
    "AuthError",
    "Backoff",
    "CapitalDistribution",
    "CapitalFlow",
    "Capture",
    "CaptureFile",
    "ConfigError",
    "ConnectError",
    "Connections",
    "Decoder",
    "DelayStatistics",
    "Event",
    "FastfeedError",
    "Feed",
    "Flags",
    "FutureInfo",
    "GlobalState",
    "HistoryBars",
    "HistoryQuota",
    "Hub",
    "HubError",
    "InternalError",
    "LocalProtocolError",
    "LongPort",
    "LongPortOptionChain",
    "LongPortStaticInfo",
    "LongPortTradingDay",
    "MarketSessions",
    "MarketState",
    "MetricsCollector",
    "MetricsServer",
    "Nats",
    "OpenD",
    "OptionChain",
    "OptionQuotes",
    "Participant",
    "Plate",
    "Player",
    "Profile",
    "ProtocolError",
    "RateLimitError",
    "Reader",
    "Recording",
    "Rehab",
    "Relay",
    "RemoteProtocolError",
    "Replay",
    "RequestError",
    "RequestTimeout",
    "Sealed",
    "Session",
    "Snapshot",
    "StaticInfo",
    "StorageError",
    "Stream",
    "SubscribedKinds",
    "SubscriptionError",
    "Subscriptions",
    "SymbolTable",
    "TradingDay",
    "UserInfo",
    "Warrant",
    "WarrantIssuer",
    "WarrantQuotes",
    "Warrants",
    "WatchlistGroup",
    "__version__",
    "arrow_schema",
    "attach",
    "capture",
    "connect",
    "dtype",
    "record",
    "recover",
    "rows_of",
    "run",
    "to_arrow",
    "to_pandas",
    "to_polars",
    "serve_metrics",
]
