"""The deadlines of ``harakiri`` in effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.config.prefixes import ByPrefix

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m2serve.config.values import Deadline


class Deadlines(ByPrefix[float]):
    """Seconds that a request may run, by path; 0: any time.

    Attributes: least: the shortest there is; 0: there is none.
    """

    def __init__(self, deadlines: Iterable[Deadline] = ()) -> None:
        known = {one.prefix: float(one.seconds) for one in deadlines}
        super().__init__(known.items())
        self.least = min((seconds for seconds in known.values() if seconds), default=0.0)

    def __bool__(self) -> bool:
        return self.least > 0

    def of_uri(self, uri: bytes) -> float:
        """Seconds for a request line's URI, its query included; 0: any time."""
        return self.of(uri.partition(b"?")[0]) or 0.0
