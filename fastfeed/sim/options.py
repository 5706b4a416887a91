"""Options of simulators that are written NAME=VALUE: faults, and what a vendor's documents leave open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

__all__ = ["Options", "option"]


def option(
    default: Any,
    help: str,
    *,
    bare: Any = None,
    choices: Sequence[Any] = (),
    kind: type | None = None,
) -> Any:
    """Describe an option: a field of a dataclass that derives from `Options`.

    Parameters
    ----------
    default
    help : str
        What it does.
    bare : optional
        What it is set to when only its name is given. None: it needs a value.
    choices : sequence, optional
        What it may be, all of one type.
    kind : type, optional
        Of its value. None: that of `bare`, or of `default`.
    """
    if kind is None:
        kind = type(default if bare is None else bare)
    return field(
        default=default, metadata={"bare": bare, "help": help, "choices": choices, "kind": kind}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Base of sets of options."""

    def __post_init__(self) -> None:
        for f in fields(self):
            choices = f.metadata["choices"]
            if choices and (value := getattr(self, f.name)) not in choices:
                raise ValueError(f"expected {_one_of(choices)} for {f.name}, got {value!r}")

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """Return the options of texts such as ``"split"`` and ``"bad_sha1=5"``.

        Raises
        ------
        ValueError
            There is no such option, or it does not take this value.
        """
        options = cls()
        known = {f.name: f.metadata for f in fields(cls)}
        for text in texts:
            name, given, value = text.partition("=")
            if name not in known:
                raise ValueError(f"expected one of {', '.join(known)}, got {name!r}")
            bare = known[name]["bare"]
            if not given and bare is None:
                raise ValueError(f"expected {name}=VALUE, got no value")
            parsed = _parsed(name, value, known[name]) if given else bare
            options = replace(options, **{name: parsed})
        return options

    @classmethod
    def describe(cls) -> Iterator[tuple[str, str]]:
        """Yield of each option how it is written, and what it does.

        The value is the one that the bare name stands for, or else what may be chosen, the default first.
        """
        for f in fields(cls):
            bare, choices = f.metadata["bare"], f.metadata["choices"]
            if bare is None and f.metadata["kind"] is bool:
                choices = ("yes", "no") if f.default else ("no", "yes")
            if bare is True:
                usage = f.name
            elif bare is not None:
                usage = f"{f.name}={bare}"
            elif choices:
                first = [f.default] if f.default in choices else []
                usage = f"{f.name}={'|'.join(map(str, dict.fromkeys([*first, *choices])))}"
            else:
                usage = f"{f.name}={'' if f.default is None else f.default}"
            yield usage, f.metadata["help"]


def _parsed(name: str, value: str, metadata: Any) -> Any:
    kind, choices = metadata["kind"], metadata["choices"]
    if kind is bool:
        if metadata["bare"] is not None:
            raise ValueError(f"{name} takes no value, got {value!r}")
        if value not in {"yes", "no"}:
            raise ValueError(f"expected yes or no for {name}, got {value!r}")
        return value == "yes"
    try:
        parsed = kind(value)
    except ValueError:
        parsed = -1
    if choices:
        if parsed not in choices:
            raise ValueError(f"expected {_one_of(choices)} for {name}, got {value!r}")
    elif not isinstance(parsed, str) and not 0 <= parsed < float("inf"):
        raise ValueError(f"expected a number for {name}, got {value!r}")
    return parsed


def _one_of(choices: Sequence[Any]) -> str:
    return f"one of {', '.join(map(str, choices))}"
