"""Commands to hosts and wake-ups between processes."""

from pileus.kernel.bus.base import NOBODY, Bus, Caller, CommandFailed, StaleEpoch, Unreachable

__all__ = ["NOBODY", "Bus", "Caller", "CommandFailed", "StaleEpoch", "Unreachable"]
