"""The configuration of an attached Mongrel2, as text."""

from __future__ import annotations

import pytest

from m2serve.endpoint import ZmqPair
from m2serve.errors import ConfigError
from m2serve.mongrel2.configdb import configuration

PAIR = ZmqPair.parse("ipc:///run/m/send,ipc:///run/m/recv")
VALUES = {"server.daemonize": "0", "upload.temp_store": "/run/m/upload.XXXXXX", "upload.temp_store_mode": "0600"}


def test_it_says_what_we_need():
    text = configuration("/run/m", "0.0.0.0", 6767, PAIR, "tnetstring", VALUES)
    for part in (
        "send_spec='ipc:///run/m/send'",
        "recv_spec='ipc:///run/m/recv'",
        "protocol='tnetstring'",
        "bind_addr='0.0.0.0', port=6767",
        "'server.daemonize': 0,",
        "'upload.temp_store_mode': '0600'",
        "'upload.temp_store': '/run/m/upload.XXXXXX'",
        "control_port='ipc:///run/m/control'",
    ):
        assert part in text


def test_the_two_idents_are_one_and_no_two_configurations_share_it():
    texts = [configuration("/run/m", "127.0.0.1", 1, PAIR, "json", VALUES) for _ in range(2)]
    idents = []
    for text in texts:
        send = text.partition("send_ident='")[2].partition("'")[0]
        assert send.startswith("m2serve-")
        assert f"recv_ident='{send}'" in text
        idents.append(send)
    assert idents[0] != idents[1]


@pytest.mark.parametrize("directory", ["/run/it's", '/run/"', "/run/\\", "/run/\n"])
def test_what_the_syntax_cannot_hold_is_refused(directory):
    with pytest.raises(ConfigError, match="cannot be written"):
        configuration(directory, "127.0.0.1", 1, PAIR, "tnetstring", VALUES)
