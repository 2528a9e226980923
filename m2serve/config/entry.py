"""One setting as it was written, before anybody knows whether it makes sense."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Entry:
    """A key with its value and the place where both stand.

    ``written`` is the key as the user spelled it, dashes included. ``magic`` holds the one-letter variables
    of the file (``%d``); the command line has none. ``placeholder`` entries define a name for ``%(name)`` and
    are no option even if one has that name.
    """

    key: str
    value: str
    origin: str
    written: str = ""
    magic: Mapping[str, str] = field(default_factory=dict)
    placeholder: bool = False

    @property
    def from_command_line(self) -> bool:
        """Whether the shell has already had its way with the text."""
        return self.origin == COMMAND_LINE

    def __str__(self) -> str:
        written = self.written or self.key
        if self.from_command_line:
            return f"{self.origin}: {written} {self.value}".rstrip()
        return f"{self.origin}: {written} = {self.value}".rstrip()
