"""Servers that speak the vendors' protocols, from a tape or a seeded generator."""

from fastfeed.sim.opend import OpenDSimulator
from fastfeed.sim.opend_wire import Faults
from fastfeed.sim.tape import Tape

__all__ = ["Faults", "OpenDSimulator", "Tape"]
