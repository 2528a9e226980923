"""The manuals made from the table."""

from __future__ import annotations

from pathlib import Path

from m2serve.config.describe import help_text, markdown
from m2serve.config.table import GRAMMAR, OPTIONS

PAGE = Path(__file__).parents[3] / "docs" / "options.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == markdown(), "stale: python -m m2serve.config.describe > docs/options.md"


def test_help_names_every_option_and_fits_a_terminal() -> None:
    text = help_text()
    for option in OPTIONS:
        assert f"--{option.name}" in text
        assert all(f"--{alias}" in text for alias in option.aliases)
        assert all(f"-{letter}, --{option.name}" in text for letter in option.short)
    assert all(f"--{name} " in text for name in GRAMMAR)
    assert max(map(len, text.splitlines())) < 80
