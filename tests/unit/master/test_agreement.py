"""What an upgrade cannot change, and says so."""

from __future__ import annotations

import dataclasses

import pytest

from m2serve.config.settings import load
from m2serve.endpoint import ZmqPair
from m2serve.errors import ConfigError
from m2serve.front import Front
from m2serve.master.agreement import agree
from m2serve.master.heritage import Heritage, Node
from m2serve.transports import layout

PAIR = "tcp://127.0.0.1:1,tcp://127.0.0.1:2"
LEFT = Heritage(
    program="0.0.9",
    master=1,
    layout=layout.VERSION,
    dispatched=True,
    node=Node((("tcp://127.0.0.1:1", "tcp://127.0.0.1:2"),), 65536, 3, 4, {}),
    posts=(),
    children=(),
    slots=(),
    generations=(),
    next_key=1,
    next_generation=1,
    served=True,
)


def settings(*arguments):
    return load(["--module", "app", *arguments], {}, directory="/")


def test_the_same_again_and_other_numbers():
    (front,) = agree(LEFT, settings("--zeromq", PAIR))
    assert front.pair == ZmqPair.parse(PAIR)
    agree(LEFT, settings("--zeromq", PAIR, "-p", "7", "--threads", "3", "--request-buffer", "2000000"))


@pytest.mark.parametrize(
    ("left", "arguments", "expected"),
    [
        ({"layout": 0}, ["--zeromq", PAIR], "m2serve 0.0.9 shares memory of layout 0, this one of"),
        ({}, ["--zeromq", PAIR, "--zeromq-direct"], "command line: zeromq-direct: the server runs with a dispatcher"),
        ({"dispatched": False}, ["--zeromq", PAIR], "default: zeromq-direct: the server runs without a dispatcher"),
        ({}, ["--with-mongrel2", "8080"], "command line: with-mongrel2: the server runs without a Mongrel2 of its own"),
        (
            {"attached": Front(ZmqPair.parse(PAIR))},
            ["--zeromq", PAIR],
            "with-mongrel2: the server runs with a Mongrel2 of its own",
        ),
        (
            {},
            ["--zeromq", "tcp://127.0.0.1:1,tcp://127.0.0.1:3"],
            "command line: zeromq: tcp://127.0.0.1:1,tcp://127.0.0.1:3: the server runs with tcp://127.0.0.1:1,tcp://1",
        ),
        (
            {},
            ["--zeromq", PAIR, "--zeromq", "tcp://127.0.0.1:4,tcp://127.0.0.1:5"],
            "tcp://127.0.0.1:4,tcp://127.0.0.1:5: the server runs with",
        ),
    ],
)
def test_what_only_a_restart_changes(left, arguments, expected):
    with pytest.raises(ConfigError, match="only a restart changes that") as refused:
        agree(dataclasses.replace(LEFT, **left), settings(*arguments))
    assert expected in str(refused.value)


def test_the_attached_mongrel2_stays_as_it_is():
    attached = Front(ZmqPair.parse(PAIR), directory="/d", flow_control=True)
    left = dataclasses.replace(LEFT, attached=attached)
    assert agree(left, settings("--with-mongrel2", "9999", "--mongrel2-setting", "download.flow_control=0")) == (
        attached,
    )
