"""Where the connection to a Mongrel2's PUSH stands."""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """Life of the PUSH connection."""

    IDLE = "idle"
    """nobody could serve a request yet: not connected"""
    WAITING = "waiting"
    """the last attempt failed: connects again after a pause"""
    CONNECTING = "connecting"
    OPENING = "opening"
    OPEN = "open"
    LEAVING = "leaving"
    """half-closed: reads what was sent, then LEFT"""
    LEFT = "left"
