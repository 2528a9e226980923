"""Permissions as people write them: in octal digits."""

from __future__ import annotations

import re

from m2serve.errors import ConfigError


class Mode(int):
    """Permission bits, ``022`` or ``0640``."""

    @classmethod
    def parse(cls, text: str) -> Mode:
        """Read up to four octal digits.

        Raises: ConfigError: with what was expected.
        """
        match = re.fullmatch(r"(?:0o)?([0-7]{1,4})", text.strip())
        if match is None:
            raise ConfigError("expected three octal digits, for instance 022")
        return cls(match[1], 8)

    def __str__(self) -> str:
        return f"{int(self):03o}"
