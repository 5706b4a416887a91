"""What a simulated LongPort answers over HTTP: one-time passwords, to those who can sign."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastfeed.protocols.longport_codes import reason

if TYPE_CHECKING:
    from fastfeed.sim.longport import LongPortSimulator

__all__ = ["Endpoints", "signature"]

_PATHS = {"/v1/socket/token", "/v2/socket/token"}
_SIGNED = "authorization;x-api-key;x-timestamp"
_STATUSES = {401003: 401, 401004: 401, 403201: 403, 403203: 403, 429002: 429}


def signature(
    method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, secret: str
) -> str:
    """Return what belongs in X-Api-Signature; `headers` as they were sent, by lower-case names."""
    values = "".join(f"{name}:{headers.get(name, '')}\n" for name in _SIGNED.split(";"))
    text = f"{method}|{path}|{query}|{values}|{_SIGNED}|"
    if body:
        text += hashlib.sha1(body, usedforsecurity=False).hexdigest()
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    made = hmac.new(secret.encode(), f"HMAC-SHA256|{digest}".encode(), hashlib.sha256).hexdigest()
    return f"HMAC-SHA256 SignedHeaders={_SIGNED}, Signature={made}"


class Endpoints:
    """The addresses that answer.

    Parameters
    ----------
    simulator : LongPortSimulator
    key, secret, token : str
        Those that are accepted; with ``Bearer`` before the token nothing is signed.
    """

    def __init__(self, simulator: LongPortSimulator, key: str, secret: str, token: str) -> None:
        self._sim = simulator
        self._key = key
        self._secret = secret
        self._token = token
        self._failed = 0

    def answer(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, str]:
        """Answer a request; return the status and a text."""
        sim = self._sim
        sim.counts["http_requests"] += 1
        if path not in _PATHS:
            return self._refused(404, 404, "not found")
        if method != "GET":
            return self._refused(405, 405, "method not allowed")
        if wrong := self._wrong(method, path, query, headers, body):
            return self._refused(_STATUSES[wrong], wrong, reason(wrong))
        fault = sim.faults.token_error
        if fault and (not sim.faults.token_times or self._failed < sim.faults.token_times):
            self._failed += 1
            if fault == "429":
                return 429, "slow down"
            if fault not in {"full", "500"}:
                return self._refused(_STATUSES[int(fault)], int(fault), reason(int(fault)))
        else:
            fault = ""
        limit = sim.knobs.sessions
        data = {
            "otp": sim.sessions.password(),
            "limit": limit,
            "online": limit if fault == "full" else sim.online,
        }
        status = 500 if fault == "500" else 200
        return status, json.dumps({"code": 0, "message": "", "data": data})

    def _wrong(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> int:
        """Return what is wrong with who asks, 0: nothing."""
        given = headers.get("authorization", "")
        oauth = given.startswith("Bearer ")
        if headers.get("x-api-key", "") != self._key:
            return 403203
        if not hmac.compare_digest(given.removeprefix("Bearer ").encode(), self._token.encode()):
            return 401004
        if oauth:
            return 0
        made = signature(method, path, query, headers, body, self._secret)
        sent = headers.get("x-api-signature", "")
        return 0 if hmac.compare_digest(sent.encode(), made.encode()) else 403201

    def _refused(self, status: int, code: int, message: str) -> tuple[int, str]:
        self._sim.counts["http_refused"] += 1
        return status, json.dumps({"code": code, "message": message})
