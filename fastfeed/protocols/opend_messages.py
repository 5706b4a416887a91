"""OpenD's messages for the cold path: requests, replies, and the simulator.

The descriptors live in a pool of their own, so futu-api and moomoo-api, which register the vendor's
files in the default pool, can be imported in the same process. Made from `protos/opend.proto`.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = [
    "message_class",
    "INIT_CONNECT",
    "GET_GLOBAL_STATE",
    "NOTIFY",
    "KEEP_ALIVE",
    "QOT_SUB",
    "QOT_REG_QOT_PUSH",
    "QOT_GET_SUB_INFO",
    "QOT_UPDATE_TICKER",
]

INIT_CONNECT = 1001
GET_GLOBAL_STATE = 1002
NOTIFY = 1003
KEEP_ALIVE = 1004
QOT_SUB = 3001
QOT_REG_QOT_PUSH = 3002
QOT_GET_SUB_INFO = 3003
QOT_UPDATE_TICKER = 3011


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    data = files("fastfeed.protocols").joinpath("opend.binpb").read_bytes()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    return pool


@cache
def message_class(name: str) -> type[Any]:
    """Return the message class of a name of `protos/opend.proto`, for example ``"QotSub.Request"``.

    Raises
    ------
    KeyError
        There is no such message.
    """
    descriptor = _pool().FindMessageTypeByName(f"fastfeed.opend.{name}")
    message: type[Any] = message_factory.GetMessageClass(descriptor)
    return message
