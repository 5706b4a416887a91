"""Message classes of protobuf for the cold path, made from the files in `protos/`.

The descriptors of each vendor live in a pool of their own, so the vendors' packages, which register theirs in the
default pool, can be imported in the same process.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["message_class_of"]


@cache
def _pool(vendor: str) -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    data = files("fastfeed.protocols").joinpath(f"{vendor}.binpb").read_bytes()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    return pool


@cache
def message_class_of(vendor: str, name: str) -> type[Any]:
    """Return the message class of a name of `protos/VENDOR.proto`.

    Raises
    ------
    KeyError
        There is no such message.
    """
    descriptor = _pool(vendor).FindMessageTypeByName(f"fastfeed.{vendor}.{name}")
    message: type[Any] = message_factory.GetMessageClass(descriptor)
    return message
