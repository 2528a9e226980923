"""``--mongrel2-config``: Mongrel2's own database is all that m2serve needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.http import get
from support.server import APPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.mongrel2 import Mongrel2
    from support.server import Server

APPLICATION = ("--threads", "2", "--pythonpath", str(APPS), "--module", "probe")


def database(mongrel2: Mongrel2) -> str:
    return str(mongrel2.directory / "config.sqlite")


@pytest.mark.parametrize("options", [(), ("--zeromq-direct",)], ids=["dispatched", "direct"])
@pytest.mark.parametrize("scheme", ["tcp", "ipc"])
def test_a_database_and_an_ident_are_enough(
    start_mongrel2: Callable[..., Mongrel2],
    start_server: Callable[..., Server],
    scheme: str,
    options: tuple[str, ...],
) -> None:
    mongrel2 = start_mongrel2(scheme=scheme)
    arguments = ("--mongrel2-config", database(mongrel2), "--handler", mongrel2.ident)
    server = start_server(*arguments, *APPLICATION, *options).wait_ready()
    assert get(mongrel2.address).text == "hello\n"
    assert f"bodies over 65536 bytes {mongrel2.directory}/upload.XXXXXX, flow control off" in server.log
    assert "WARNING" not in server.log
    assert server.stop() == 0


def test_the_only_handler_need_not_be_named(mongrel2: Mongrel2, start_server: Callable[..., Server]) -> None:
    start_server("--mongrel2-config", database(mongrel2), *APPLICATION).wait_ready()
    assert get(mongrel2.address).text == "hello\n"


def test_a_database_may_come_from_a_file_of_options(mongrel2: Mongrel2, start_server: Callable[..., Server]) -> None:
    site = mongrel2.directory / "site.ini"
    site.write_text(f"[uwsgi]\nmongrel2-config = %dconfig.sqlite\nhandler = {mongrel2.ident}\n")
    start_server(str(site), *APPLICATION).wait_ready()
    assert get(mongrel2.address).text == "hello\n"


def test_an_address_for_everybody_leads_to_this_machine(
    start_mongrel2: Callable[..., Mongrel2], start_server: Callable[..., Server]
) -> None:
    mongrel2 = start_mongrel2(host="*")
    assert "tcp://*:" in mongrel2.send_spec
    server = start_server("--mongrel2-config", database(mongrel2), *APPLICATION).wait_ready()
    assert get(mongrel2.address).text == "hello\n"
    assert "requests from tcp://127.0.0.1:" in server.log


def test_addresses_and_a_database(mongrel2: Mongrel2, start_server: Callable[..., Server]) -> None:
    arguments = ("--mongrel2-config", database(mongrel2), "--zeromq", mongrel2.pair)
    server = start_server(*arguments, *APPLICATION).wait_ready()
    assert get(mongrel2.address).text == "hello\n"
    assert "bodies over 65536 bytes" in server.log


def test_a_setting_on_the_command_line_wins(mongrel2: Mongrel2, start_server: Callable[..., Server]) -> None:
    setting = ("--mongrel2-setting", "limits.content_length=20480")
    server = start_server("--mongrel2-config", database(mongrel2), *setting, *APPLICATION).wait_ready()
    assert "bodies over 20480 bytes" in server.log


# --- mistakes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--handler", "nobody"), "handler: 'nobody': no such send_ident"),
        (("--zeromq", "tcp://127.0.0.1:1,tcp://127.0.0.1:2"), "has no handler with send_spec tcp://127.0.0.1:1"),
        (("--mongrel2-chroot", "tcp://127.0.0.1:1=/"), "no Mongrel2 at tcp://127.0.0.1:1"),
        (("--mongrel2-chroot", "/proc"), "there is no directory /proc/"),
        (("--mongrel2-setting", "download.flow_control=1", "--zeromq-direct"), "only the dispatcher can serve"),
        (("--mongrel2-config", "/dev/null"), "expected an existing file"),
    ],
    ids=lambda value: value[0].lstrip("-") if isinstance(value, tuple) else "",
)
def test_mistakes_start_nothing(
    mongrel2: Mongrel2, start_server: Callable[..., Server], arguments: tuple[str, ...], words: str
) -> None:
    store = ("--mongrel2-setting", "upload.temp_store=/nowhere/up.XXXXXX")
    server = start_server("--mongrel2-config", database(mongrel2), *store, *arguments, *APPLICATION)
    server.allow("nothing was started")
    assert server.wait() == 1
    assert words in server.log
    assert "spawned" not in server.log


def test_what_may_fail_later_is_told_at_once(mongrel2: Mongrel2, start_server: Callable[..., Server]) -> None:
    store = ("--mongrel2-setting", "upload.temp_store=/nowhere/up.XXXXXX")
    server = start_server("--mongrel2-config", database(mongrel2), *store, *APPLICATION).wait_ready()
    server.wait_log(r"WARNING.*upload\.temp_store is /nowhere/up\.XXXXXX, but there is no directory /nowhere: ")
    assert get(mongrel2.address).text == "hello\n"
