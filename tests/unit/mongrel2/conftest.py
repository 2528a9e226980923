"""Fixtures about Mongrel2's database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from written import Written

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Written]:
    """An empty database in a directory of its own."""
    (tmp_path / "etc").mkdir()
    database = Written(tmp_path / "etc" / "config.sqlite")
    yield database
    database.close()
