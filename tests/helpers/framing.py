"""WebSocket's framing as the machines have it: what is no push of AllTick's comes out as it came in."""

import json

from fastfeed._core.alltick import AlltickMachine
from fastfeed._core.symbols import SymbolTable
from fastfeed._core.websocket import CLOSING


def received(machine, data, step=None):
    """Give a machine what it can take at once, or pieces of `step` bytes; return what it gives."""
    found = []
    step = step or max(len(data), 1)
    for i in range(0, len(data), step):
        piece = data[i : i + step]
        while piece:
            space = machine.space()
            n = min(len(piece), len(space))
            space[:n] = piece[:n]
            found += machine.received(n) or []
            piece = piece[n:]
    return found


class Framing:
    """The receiving side of a connection behind its handshake.

    Control frames come out, and of messages those that `message` makes; all are counted.
    """

    def __init__(self, limit_bytes=1 << 20):
        self.machine = AlltickMachine(SymbolTable(), limit_bytes=limit_bytes)
        self.close_code = None
        self.machine.upgraded(b"")

    @property
    def error(self):
        return self.machine.error

    @property
    def count(self):
        """Complete messages and control frames."""
        return self.machine.messages

    def feed(self, data):
        """Return opcodes and payloads of what a piece of the stream completes."""
        found = received(self.machine, data)
        if found and found[-1][0] == CLOSING:
            self.close_code = int.from_bytes(found.pop()[1], "big")
        return found

    def reset(self):
        self.machine.reset()
        self.machine.upgraded(b"")
        self.close_code = None


def message(text="", size=0):
    """Return a message that holds a text; blanks fill it up to a size in bytes."""
    return json.dumps({"ret": 0, "text": text}, ensure_ascii=False).encode().ljust(size)
