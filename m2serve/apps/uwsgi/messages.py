"""What the module ``uwsgi`` has about mules and their messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.apps.uwsgi.mules import LONGEST

if TYPE_CHECKING:
    from m2serve.apps.uwsgi.running import Running


class Messages:
    """The module is one of these.

    Threads: any.
    """

    _running: Running

    def mule_msg(self, message: str | bytes, mule: int | str = 0) -> bool:
        """Leave a message for a mule, or, 0, for whichever comes first, or, by its name, for a farm; False: there is no
        such mule, or no room.

        Raises: ValueError: there are no mules at all, or no such farm.
        """
        return self._running.boxes.leave(as_bytes(message), mule)

    def mule_get_msg(
        self, signals: bool = True, farms: bool = True, buffer_size: int = LONGEST, timeout: float = -1
    ) -> bytes | None:
        """In a mule, wait for a message; what is longer than *buffer_size* is cut. None: it took longer than *timeout*
        seconds.

        Args: farms: also for one to its farms.

        Raises: ValueError: this is no mule.
        """
        if not self._running.mule:
            raise ValueError("you can receive mule messages only in a mule")
        taken = self._running.boxes.take(self._running.mule, None if timeout < 0 else timeout, farms=farms)
        return None if taken is None else taken[1][:buffer_size]

    def farm_msg(self, farm: str, message: str | bytes) -> bool:
        """Leave a message for whichever mule of a farm comes first; False: there is no such farm, or no room."""
        return self._running.boxes.send_farm(as_bytes(message), farm)

    def farm_get_msg(self) -> bytes:
        """In a mule, wait for a message to its farms.

        Raises: ValueError: this is no mule, or it belongs to no farm.
        """
        mule, boxes = self._running.mule, self._running.boxes
        if not mule:
            raise ValueError("you can receive farm messages only in a mule")
        if not boxes.farms(mule):
            raise ValueError(f"mule {mule} belongs to no farm")
        while (taken := boxes.take(mule, own=False)) is None:
            pass
        return taken[1]

    def in_farm(self, farm: str | None = None) -> bool | None:
        """True in a mule that belongs to that farm, or to any; else None."""
        farms = self._running.boxes.farms(self._running.mule)
        return (bool(farms) if farm is None else farm in farms) or None


def as_bytes(text: str | bytes) -> bytes:
    """Whatever applications may give for bytes."""
    # bytes(3) would be three zeros
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else bytes(memoryview(text))
