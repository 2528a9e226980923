"""Options about the number of workers that need or exclude each other."""

from __future__ import annotations

import pytest

from m2serve.config.settings import load
from m2serve.errors import ConfigError

ENOUGH = ["--module", "shop", "--zmq", "tcp://127.0.0.1:1,tcp://127.0.0.1:2", "-p", "4"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--cheaper", "4"], "cheaper: 4: expected less than processes, 4"),
        (["--cheaper", "1", "--zeromq-direct"], "cheaper: expected no zeromq-direct"),
        (["--cheap", "--zeromq-direct"], "cheap: expected no zeromq-direct"),
        (["--idle", "9", "--zeromq-direct"], "idle: expected no zeromq-direct"),
        (["--cheaper-rss-limit-soft", "9", "--cheaper-rss-limit-hard", "9"], "expected more than the soft limit, 9"),
        (["--cheaper-algo", "busyness", "--cheaper-busyness-min", "60"], "expected less than the max, 50"),
    ],
)
def test_mistakes(words: list[str], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([*ENOUGH, *words], {})
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--cheaper", "1", "--cheaper-algo", "clever"], "'clever': expected one of spare, spare2,"),
        (["--cheaper", "2", "--cheaper-initial", "5"], "5: expected a number from cheaper, 2, to processes, 4"),
        (["--cheaper", "2", "--cheaper-initial", "1"], "1: expected a number from cheaper, 2, to processes, 4"),
        (["--cheaper-initial", "2"], "changes nothing without cheaper"),
    ],
)
def test_what_uwsgi_lets_pass_is_a_warning(words: list[str], text: str) -> None:
    (warning,) = load([*ENOUGH, *words], {}).warnings
    assert text in warning


def test_nothing_is_said_of_what_is_right() -> None:
    settings = load([*ENOUGH, "--cheaper", "2", "--cheaper-initial", "4", "--cheap", "--idle", "60"], {})
    assert settings.warnings == ()
