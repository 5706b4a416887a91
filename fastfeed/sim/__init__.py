"""Servers that speak the vendors' protocols, from a tape or a seeded generator."""

from fastfeed.sim.alltick import AllTickSimulator
from fastfeed.sim.alltick_knobs import AllTickFaults, AllTickKnobs
from fastfeed.sim.faults import Faults
from fastfeed.sim.longport import LongPortSimulator
from fastfeed.sim.longport_knobs import LongPortFaults, LongPortKnobs
from fastfeed.sim.opend import OpenDSimulator
from fastfeed.sim.tape import Tape

__all__ = [
    "AllTickFaults",
    "AllTickKnobs",
    "AllTickSimulator",
    "Faults",
    "LongPortFaults",
    "LongPortKnobs",
    "LongPortSimulator",
    "OpenDSimulator",
    "Tape",
]
