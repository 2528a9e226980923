"""The kinds of sources that a thread may have its requests from."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from m2serve.transports.direct import DirectSubscription
    from m2serve.transports.dispatched import MailSubscription
    from m2serve.transports.doors.subscription import DoorSubscription

Source: TypeAlias = "MailSubscription | DirectSubscription | DoorSubscription"
