"""What the connections of a feed received, kept in files, and made to rows again later by the same machines.

A capture is a folder of segments, see `fastfeed.capture.files`.
"""

from fastfeed.capture.files import CaptureFile, Chunk, Damage, Header
from fastfeed.capture.player import Player
from fastfeed.capture.writer import Capture, capture

__all__ = ["Capture", "CaptureFile", "Chunk", "Damage", "Header", "Player", "capture"]
