"""LongPort's credentials and settings, and the one-time password that a connection introduces itself with.

The password is got by a signed HTTP request. No credential is shown by a repr, an error or a log.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from fastfeed.errors import (
    AuthError,
    ConfigError,
    FastfeedError,
    RateLimitError,
    RemoteProtocolError,
    RequestError,
)
from fastfeed.feeds.http import fetch
from fastfeed.protocols.longport_codes import HOSTS, reason
from fastfeed.protocols.websocket import secrets_of, shown

__all__ = ["Credentials", "OneTimePassword", "Settings", "get_token"]

_PREFIXES = ("LONGBRIDGE_", "LONGPORT_")  # the newer name first
_LANGUAGES = ("en", "zh-CN", "zh-HK")
_TOKEN_PATH = "/v1/socket/token"
_MOST_BYTES = 64 << 10  # of a reply
_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6)  # before a request is made again
_TOO_MANY_REQUESTS = 429
_SENT_TWICE = 403202
_SIGNED = "authorization;x-api-key;x-timestamp"
#: JSON of another shape or none, text that is no UTF-8, arrays in arrays without end.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _variable(name: str, environment: Mapping[str, str]) -> str | None:
    """Return a variable's value by its newer or its older name; None: not set, or empty."""
    values = (environment.get(prefix + name, "").strip() for prefix in _PREFIXES)
    return next(filter(None, values), None)


def _variables(name: str) -> str:
    return " or ".join(prefix + name for prefix in _PREFIXES)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks: an app with its key, secret and access token; or, without a secret, an OAuth client and its token.

    Made by `of()`. Whatever it holds is shown nowhere.
    """

    key: str = field(repr=False)
    secret: str = field(repr=False)
    token: str = field(repr=False)

    @classmethod
    def of(
        cls,
        app_key: str | None = None,
        app_secret: str | None = None,
        access_token: str | None = None,
        *,
        oauth_client_id: str | None = None,
        oauth_token: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Credentials:
        """Return the credentials that are given, or else those of the environment.

        Parameters
        ----------
        app_key, app_secret, access_token : str, optional
            Default, each: `LONGBRIDGE_APP_KEY`, `LONGBRIDGE_APP_SECRET`, `LONGBRIDGE_ACCESS_TOKEN`, or the same
            with `LONGPORT_`.
        oauth_client_id, oauth_token : str, optional
            In their place. Default: `LONGBRIDGE_OAUTH_CLIENT_ID`, `LONGBRIDGE_OAUTH_TOKEN`, or the same with
            `LONGPORT_`, where nothing of the others is there.
        environment : mapping, optional
            Default: the process's.

        Raises
        ------
        ConfigError
            Something is missing, or cannot be a credential.
        """
        environment = os.environ if environment is None else environment
        app = {"app_key": app_key, "app_secret": app_secret, "access_token": access_token}
        oauth = {"oauth_client_id": oauth_client_id, "oauth_token": oauth_token}
        app_is_given, oauth_is_given = any(app.values()), any(oauth.values())
        if app_is_given and oauth_is_given:
            raise ConfigError(f"expected {_listed(app)}, or {_listed(oauth)}, got some of both")
        found_app = {n: v or _variable(n.upper(), environment) for n, v in app.items()}
        found_oauth = {n: v or _variable(n.upper(), environment) for n, v in oauth.items()}
        if oauth_is_given or (not any(found_app.values()) and any(found_oauth.values())):
            key, token = _complete(found_oauth)
            return cls(key, "", token)
        key, secret, token = _complete(found_app)
        return cls(key, secret, token)

    @property
    def dc_region(self) -> str:
        """The data centre that the credentials belong to: ``"us"`` or ``"ap"``."""
        mine = (self.key, self.secret, self.token)
        return "us" if any(one.startswith("us_") for one in mine) else "ap"

    @property
    def secrets(self) -> list[str]:
        """What no error may show."""
        mine = {"key": self.key, "secret": self.secret, "token": self.token}
        return secrets_of("/", mine.items())

    def headers(
        self, method: str, target: str, timestamp: str, body: bytes = b""
    ) -> dict[str, str]:
        """Return the headers that sign a request.

        Parameters
        ----------
        method : str
            In capitals.
        target : str
            Path and query.
        timestamp : str
            Seconds since 1970 UTC. The same request with the same timestamp may be refused.
        body : bytes
        """
        token = self.token if self.secret else f"Bearer {self.token}"
        headers = {
            "X-Api-Key": self.key,
            "Authorization": token,
            "X-Timestamp": timestamp,
            "X-Dc-Region": self.dc_region,
        }
        if self.secret:
            path, _, query = target.partition("?")
            signed = f"authorization:{token}\nx-api-key:{self.key}\nx-timestamp:{timestamp}\n"
            canonical = f"{method}|{path}|{query}|{signed}|{_SIGNED}|"
            canonical += _sha1(body) if body else ""
            text = f"HMAC-SHA256|{_sha1(canonical.encode())}".encode()
            signature = hmac.new(self.secret.encode(), text, hashlib.sha256).hexdigest()
            headers["X-Api-Signature"] = (
                f"HMAC-SHA256 SignedHeaders={_SIGNED}, Signature={signature}"
            )
        return headers


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _listed(names: Mapping[str, Any] | list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _complete(found: Mapping[str, str | None]) -> list[str]:
    """Return the values, all of which are needed; ConfigError."""
    missing = [name for name, value in found.items() if not value]
    if missing:
        places = ", ".join(_variables(name.upper()) for name in missing)
        raise ConfigError(
            f"LongPort needs {_listed(dict(found))}: {_listed(missing)} {'are' if missing[1:] else 'is'} missing, "
            f"as an option and in the environment ({places})"
        )
    values = {n: v.strip() if isinstance(v, str) else "" for n, v in found.items()}
    for name, value in values.items():
        if not value or not value.isascii() or not value.isprintable() or " " in value:
            raise ConfigError(
                f"expected {name} as printable ASCII without blanks, got something else"
            )
    return list(values.values())


@dataclass(frozen=True, slots=True)
class Settings:
    """Where LongPort is and in which form it is to answer; made by `of()`.

    Attributes
    ----------
    http_url : str
        Without a slash at its end.
    url : str
        Of the quote gateway: ``wss://``, ``ws://`` or ``tcp://``.
    language : {"en", "zh-CN", "zh-HK"}
    overnight : bool
        Whether quotes of the US overnight session are wanted.
    """

    http_url: str
    url: str
    language: str
    overnight: bool

    @classmethod
    def of(
        cls,
        *,
        url: str | None = None,
        http_url: str | None = None,
        transport: str | None = None,
        region: str | None = None,
        language: str | None = None,
        overnight: bool | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Settings:
        """Return the settings that are given, or else those of the environment, or else the vendor's.

        Parameters
        ----------
        url : str, optional
            Default: `LONGBRIDGE_QUOTE_WS_URL` or `LONGPORT_QUOTE_WS_URL`, unless the transport is ``"tcp"``.
        http_url : str, optional
            Default: `LONGBRIDGE_HTTP_URL` or `LONGPORT_HTTP_URL`.
        transport : {"ws", "tcp"}, optional
            Which of the vendor's addresses, where none is given. Default: ``"ws"``.
        region : {"global", "cn"}, optional
            The same. Default: ``"cn"`` where `LONGBRIDGE_REGION` or `LONGPORT_REGION` says so.
        language : {"en", "zh-CN", "zh-HK"}, optional
            Default: `LONGBRIDGE_LANGUAGE` or `LONGPORT_LANGUAGE`, or ``"en"``.
        overnight : bool, optional
            Default: whether `LONGBRIDGE_ENABLE_OVERNIGHT` or `LONGPORT_ENABLE_OVERNIGHT` is ``true``.
        environment : mapping, optional
            Default: the process's.

        Raises
        ------
        ConfigError
            Something that cannot be.
        """
        environment = os.environ if environment is None else environment
        if transport not in (None, "ws", "tcp"):
            raise ConfigError(f"expected transport to be ws or tcp, got {transport!r}")
        if region is None:  # any other value of the variable is not mainland China
            is_mainland = (_variable("REGION", environment) or "").lower() == "cn"
            region = "cn" if is_mainland else "global"
        if region not in HOSTS:
            raise ConfigError(f"expected region to be {' or '.join(HOSTS)}, got {region!r}")
        language = language or _variable("LANGUAGE", environment) or _LANGUAGES[0]
        if language not in _LANGUAGES:
            raise ConfigError(f"expected language to be {', '.join(_LANGUAGES)}, got {language!r}")
        if overnight is None:
            overnight = (_variable("ENABLE_OVERNIGHT", environment) or "").lower() == "true"
        hosts = HOSTS[region]
        if not url:
            url = (
                hosts.tcp
                if transport == "tcp"
                else _variable("QUOTE_WS_URL", environment) or hosts.websocket
            )
        http_url = http_url or _variable("HTTP_URL", environment) or hosts.http
        return cls(_http_address(http_url).geturl(), url, language, overnight)


def _http_address(url: str) -> SplitResult:
    """Return the parts of an ``http://`` or ``https://`` URL, without a slash at its end; ConfigError."""
    wrong = ConfigError("expected http_url to be an http:// or https:// address without a query")
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        _ = parts.port
    except (ValueError, TypeError, AttributeError):
        raise wrong from None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise wrong
    if parts.query or parts.fragment or not url.isascii() or not url.isprintable() or " " in url:
        raise wrong
    return parts._replace(path=parts.path.rstrip("/"))


@dataclass(frozen=True, slots=True)
class OneTimePassword:
    """What one connection introduces itself with, once.

    Attributes
    ----------
    otp : str
        It is shown nowhere.
    limit, online : int
        How many connections the account may have, and how many it has.
    """

    otp: str = field(repr=False)
    limit: int
    online: int


class _Verdict(msgspec.Struct):
    code: int
    message: str | None = None
    msg: str | None = None  # in the vendor's documents


class _Password(msgspec.Struct):
    otp: Annotated[str, msgspec.Meta(min_length=1)]
    limit: int
    online: int


class _Reply(msgspec.Struct):
    data: _Password


async def get_token(
    credentials: Credentials,
    http_url: str,
    *,
    language: str = "en",
    timeout_s: float = 12.0,
    tls: ssl.SSLContext | None = None,
    calendar: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> OneTimePassword:
    """Ask LongPort for a one-time password, which serves one connection.

    Parameters
    ----------
    credentials
    http_url
        As `Settings` has it.
    language
        Of the texts of errors.
    timeout_s
        For a reply.
    tls
        For ``https://``. Default: Python's, which verifies the certificate.
    calendar
        Gives epoch seconds.
    sleep
        Waits for seconds: between requests, where LongPort has no time for them.

    Raises
    ------
    AuthError
        The credentials were refused, with LongPort's code and text; or the account has as many connections as it
        may have.
    RateLimitError
        Too many requests; without a reason this is heard only after six.
    RequestError
        LongPort refused for another reason.
    RequestTimeout, ConnectError, RemoteProtocolError
        No reply, no connection, or a reply that cannot be read.
    """
    address = _http_address(http_url)
    target = address.path + _TOKEN_PATH
    secrets = credentials.secrets
    for pause_s in (*_PAUSES_S, None):
        # A fraction, so that no two requests are the same: LongPort may refuse what it takes for a repetition.
        headers = credentials.headers("GET", target, f"{calendar():.3f}")
        headers |= {
            "Content-Type": "application/json; charset=utf-8",
            "Accept-Language": language,
            "User-Agent": "openapi-sdk",
        }
        status, body = await fetch(
            address,
            target,
            vendor="LongPort",
            what="a one-time password",
            secrets=secrets,
            timeout_s=timeout_s,
            most_bytes=_MOST_BYTES,
            tls=tls,
            headers=headers,
        )
        try:
            verdict = msgspec.json.decode(body, type=_Verdict)
        except _UNREADABLE as error:
            if status != _TOO_MANY_REQUESTS:
                raise _unreadable(status, error) from None
            if pause_s is not None:
                await sleep(pause_s)
            continue
        if verdict.code != 0:  # whatever the status: it can be 200
            raise _refusal(verdict, secrets)
        try:
            found = msgspec.json.decode(body, type=_Reply).data
        except _UNREADABLE as error:
            raise _unreadable(status, error) from None
        if found.online >= found.limit:
            raise AuthError(
                f"LongPort allows no more connections: {found.online} of {found.limit} are open"
            )
        return OneTimePassword(found.otp, found.limit, found.online)
    raise RateLimitError(
        f"LongPort refused a one-time password {len(_PAUSES_S) + 1} times: too many requests",
        code=_TOO_MANY_REQUESTS,
    )


def _unreadable(status: int, error: Exception) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"LongPort's reply to the request for a one-time password (HTTP status {status}) cannot be read: {error}",
        source="longport",
    )


def _refusal(verdict: _Verdict, secrets: list[str]) -> FastfeedError:
    """Return the error of a code; its first three digits are an HTTP status."""
    code = verdict.code
    text = shown(verdict.message or verdict.msg or "", secrets)
    kind: type[FastfeedError] = RequestError
    if code // 1000 in (401, 403) and code != _SENT_TWICE:
        kind = AuthError
    elif code // 1000 == _TOO_MANY_REQUESTS:
        kind = RateLimitError
    return kind(
        f"LongPort refused a one-time password: {reason(code)} (code {code}: {text})",
        code=code,
        text=text,
    )
