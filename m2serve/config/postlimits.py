"""The limits of ``limit-post`` in effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from m2serve.config.prefixes import ByPrefix

if TYPE_CHECKING:
    from collections.abc import Iterable

    from m2serve.config.values import PostLimit


class PostLimits(ByPrefix[int]):
    """Bytes that a body may have, by path."""

    def __init__(self, limits: Iterable[PostLimit] = ()) -> None:
        super().__init__((limit.prefix, int(limit.size)) for limit in limits)
