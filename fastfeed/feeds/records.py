"""How immutable records are made from messages of protobuf, for the static data of all vendors."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from fastfeed.protocols.opend_enums import name_of

__all__ = ["Convert", "Maker", "Of", "nanoseconds"]

Record = TypeVar("Record", bound=msgspec.Struct)

Convert = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Of:
    """Where a field of a record comes from.

    Attributes
    ----------
    path : str
        Name of the vendor's field, with points into messages below. Lists and messages are converted by the
        type of the record's field.
    names : Mapping, optional
        Names of an enumeration.
    convert : callable, optional
        Applied to a value that is there.
    instead : str, optional
        The vendor's field to take where the first one is absent.
    """

    path: str
    names: Mapping[int, str] | None = None
    convert: Convert | None = None
    instead: str | None = None


def nanoseconds(seconds: float) -> int | None:
    """Return epoch seconds as ns, to the microsecond that a double resolves; None for what is no time."""
    if not math.isfinite(seconds) or not 0 < seconds < 1e10:
        return None
    if isinstance(seconds, int):
        return seconds * 1_000_000_000
    return round(seconds * 1e6) * 1000


class Maker:
    """Makes records from messages: ``maker(Kind, message)``.

    Parameters
    ----------
    conversion : callable
        Returns what is applied to values of a field without names or a conversion of its own, by the types
        that the record's field may have; None: they stay as they are.
    tells_absence : bool
        Whether messages know numbers and texts that were not sent (proto2), or have 0 and ``""`` for them (proto3).
    """

    def __init__(
        self,
        conversion: Callable[[tuple[Any, ...]], Convert | None],
        *,
        tells_absence: bool = True,
    ) -> None:
        self._conversion = conversion
        self._tells_absence = tells_absence
        self._known: dict[type[msgspec.Struct], tuple[Convert, ...]] = {}

    def __call__(self, kind: type[Record], message: Any) -> Record:
        fields = self._known.get(kind)
        if fields is None:
            fields = self._known[kind] = self._fields(kind)
        return kind(*[field(message) for field in fields])

    def _fields(self, kind: type[msgspec.Struct]) -> tuple[Convert, ...]:
        hints = typing.get_type_hints(kind, include_extras=True)
        return tuple(self._field(name, hints[name]) for name in kind.__struct_fields__)

    def _field(self, name: str, hint: Any) -> Convert:
        """Return the function from a message to one field's value."""
        kind, source = hint, Of(name)
        if typing.get_origin(hint) is typing.Annotated:
            kind, source = typing.get_args(hint)
        convert = source.convert
        if source.names is not None:
            names = source.names

            def convert(number: int) -> str:
                return name_of(names, number)

        value_types = typing.get_args(kind) or (kind,)  # of `X | None` and of `tuple[X, ...]`
        struct = next((t for t in value_types if _is_struct(t)), None)
        is_list = typing.get_origin(kind) is tuple
        if struct is not None:

            def convert(message: Any) -> Any:
                return self(struct, message)

        elif convert is None:
            convert = self._conversion(value_types)
        is_message = struct is not None
        first = self._getter(source.path, convert, is_list, is_message)
        if source.instead is None:
            return first
        second = self._getter(source.instead, convert, is_list, is_message)

        def either(message: Any) -> Any:
            value = first(message)
            return second(message) if value is None else value

        return either

    def _getter(
        self, path: str, convert: Convert | None, is_list: bool, is_message: bool
    ) -> Convert:
        *parents, name = path.split(".")
        tells_absence = self._tells_absence
        may_be_absent = tells_absence or is_message

        def get(message: Any) -> Any:
            for parent in parents:
                if tells_absence and not message.HasField(parent):
                    return None
                message = getattr(message, parent)
            if is_list:
                values = getattr(message, name)
                return tuple(values) if convert is None else tuple(map(convert, values))
            if may_be_absent and not message.HasField(name):
                return None
            value = getattr(message, name)
            return value if convert is None else convert(value)

        return get


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
