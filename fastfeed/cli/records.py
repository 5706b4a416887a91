"""Records of pulls as text: nested ones are flattened with dots in CSV, and kept in JSON lines."""

from __future__ import annotations

import math
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from fastfeed.cli.columns import quoted

__all__ = ["csv_lines", "flat", "json_lines", "value_at"]


def json_lines(records: Sequence[msgspec.Struct]) -> bytes:
    """Return the records, an object a line."""
    return msgspec.json.Encoder().encode_lines(records)


def csv_lines(kind: type[msgspec.Struct], records: Sequence[msgspec.Struct]) -> bytes:
    """Return a header and the records, a line each; what is unknown is empty.

    A list of words or numbers is one cell with blanks between them, one of records, or with names, a cell with JSON.
    """
    paths = list(_paths(kind))
    lines = [",".join(paths)]
    lines += [",".join(_cell(value_at(record, path)) for path in paths) for record in records]
    return ("\n".join(lines) + "\n").encode()


def flat(record: msgspec.Struct) -> dict[str, Any]:
    """Return the fields of a record that are known, those of nested ones by names with dots."""
    found = {path: value_at(record, path) for path in _paths(type(record))}
    return {
        path: value for path, value in found.items() if value is not None and value not in ((), {})
    }


def value_at(record: Any, path: str) -> Any:
    """Return the field at a path such as ``option.expiry``, None where something on it is."""
    for name in path.split("."):
        if record is None:
            return None
        record = getattr(record, name)
    return record


def _paths(kind: type[msgspec.Struct]) -> Iterator[str]:
    hints = typing.get_type_hints(kind)
    for name in kind.__struct_fields__:
        nested = next(filter(_is_struct, (hints[name], *typing.get_args(hints[name]))), None)
        if nested is None or typing.get_origin(hints[name]) in (tuple, dict):
            yield name
        else:
            yield from (f"{name}.{path}" for path in _paths(nested))


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple) and all(isinstance(item, str | int) for item in value):
        return quoted(" ".join(map(str, value)))
    if isinstance(value, tuple | dict):
        return quoted(msgspec.json.encode(value).decode())
    return quoted(str(value))
