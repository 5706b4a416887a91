"""What the connections of a feed received, kept in files, and made to rows again later by the same machines.

A capture is a folder of segments, see `fastfeed.captures.files`.
"""

from fastfeed.captures.files import CaptureFile, Chunk, Damage, Header
from fastfeed.captures.player import Player
from fastfeed.captures.writer import Capture, capture

__all__ = ["Capture", "CaptureFile", "Chunk", "Damage", "Header", "Player", "capture"]
