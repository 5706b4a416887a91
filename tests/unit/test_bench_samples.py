"""The benches' samples: what they are made of, and how they look on the wire."""

import json

import numpy as np
import pytest
from google.protobuf.internal import api_implementation

import fastfeed as ff
from fastfeed.bench import alltick_pushes, longport_pushes, opend_pushes
from fastfeed.bench.samples import RECV_NS, Sample, pushes_of, with_each
from fastfeed.protocols.longport_messages import message_class as longport_message
from fastfeed.protocols.opend_messages import message_class as opend_message
from fastfeed.protocols.websocket import WebSocketReader

KINDS = [
    *(("opend", kind) for kind in ("ticks", *opend_pushes.KINDS)),
    *(("alltick", kind) for kind in ("ticks", "books")),
    *(("longport", kind) for kind in longport_pushes.KINDS),
]
