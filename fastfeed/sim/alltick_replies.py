"""What a simulated AllTick answers to requests that it refuses."""

from __future__ import annotations

from typing import Any

__all__ = ["BAD_DATA", "BAD_HEADER", "Refused", "wanted_codes"]

BAD_HEADER = "request header param invalid"
BAD_DATA = "request data param invalid"
_MESSAGES = {
    400: BAD_DATA,
    401: "token invalid",
    402: "query invalid",
    429: "rate limit",
    600: "code invalid",
    601: "body empty",
    603: "token level not enough",
    604: "code unauthorized",
    605: "too many requests",
    606: "too many requests and connection will be closed",
}


class Refused(Exception):
    """A request that is answered by an error; the text is what the client is told."""

    def __init__(self, ret: int, message: str = "") -> None:
        super().__init__(message or _MESSAGES.get(ret, "error"))
        self.ret = ret


def wanted_codes(data: dict[str, Any]) -> dict[str, Any]:
    """Return the codes of a request, each once and in order, with their depth_level."""
    listed = data.get("symbol_list")
    if not isinstance(listed, list) or not listed:
        raise Refused(400, BAD_DATA)
    codes: dict[str, Any] = {}
    for item in listed:
        if not isinstance(item, dict) or not isinstance(item.get("code"), str):
            raise Refused(400, BAD_DATA)
        codes[item["code"]] = item.get("depth_level")
    return codes
