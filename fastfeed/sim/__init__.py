"""Servers that speak the vendors' protocols, from a tape or a seeded generator."""

from fastfeed.sim.faults import Faults
from fastfeed.sim.opend import OpenDSimulator
from fastfeed.sim.tape import Tape

__all__ = ["Faults", "OpenDSimulator", "Tape"]
