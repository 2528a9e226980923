"""The service manager's socket."""

from __future__ import annotations

import uuid

import pytest
from support.manager import Manager

from m2serve.system.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    made = Manager(str(tmp_path / "notify") if request.param == "path" else f"@m2serve-test-{uuid.uuid4()}")
    yield made
    made.close()


def test_words_arrive_in_one_message(manager):
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7", "HOME": "/"}
    notifier = Notifier.take(environment, 7)
    assert environment == {"HOME": "/"}, "no child may speak for us"
    assert notifier
    assert notifier.watchdog == 3.0
    notifier.say("READY=1", "STATUS=four workers")
    assert manager.hear(5) == {"READY": "1", "STATUS": "four workers"}


def test_a_held_address_is_found_from_another_root(manager, monkeypatch):
    notifier = Notifier.take({"NOTIFY_SOCKET": manager.address}, 7)
    notifier.hold()
    monkeypatch.setattr(notifier, "_address", "/nowhere")
    notifier.say("READY=1")
    assert manager.hear(5) == {"READY": "1"}
    notifier.close()
    Notifier().hold()


def test_nobody_can_be_held(tmp_path, caplog):
    Notifier(str(tmp_path / "nobody")).hold()
    assert "cannot be told anything" in caplog.text


@pytest.mark.parametrize(
    "variables", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "8"}]
)
def test_a_watchdog_for_nobody_or_somebody_else(variables):
    assert Notifier.take({"NOTIFY_SOCKET": "/run/notify", **variables}, 7).watchdog is None


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
def test_no_address_or_one_of_another_kind(address, caplog):
    notifier = Notifier.take({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1"}, 7)
    assert not notifier
    notifier.say("READY=1")
    assert ("nobody is told anything" in caplog.text) == bool(address)


def test_a_manager_that_is_gone_is_said_once(tmp_path, caplog):
    notifier = Notifier(str(tmp_path / "nobody"))
    notifier.say("READY=1")
    notifier.say("WATCHDOG=1")
    assert caplog.text.count("was not told READY=1") == 1
    assert "WATCHDOG" not in caplog.text


def test_a_manager_that_reads_nothing_delays_nobody(manager, caplog):
    notifier = Notifier(manager.address)
    for _ in range(5000):
        notifier.say("STATUS=" + "x" * 100)
    assert "was not told" in caplog.text
