"""Forms, choices and places of the request log, through real processes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support.doors import WAYS, running
from support.http import get
from support.server import APPS, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    from support.mongrel2 import Mongrel2
    from support.server import Server


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_a_form_a_choice_and_a_file_of_its_own(
    mongrel2: Mongrel2, serve: Callable[..., Server], tmp_path: Path
) -> None:
    log = tmp_path / "requests.log"
    form = '{"uri": "%(uri)", "status": %(status), "wid": %(wid), "size": %(rsize), "agent": "%(uagent)"}'
    server = serve(
        mongrel2,
        processes=2,
        options=("--disable-logging", "--log-5xx", "--log-format", form, "--req-logger", f"file:{log}",
                 "--master-fifo", f"{tmp_path}/fifo"),
    )  # fmt: skip
    server.allow("raised on purpose")
    for _ in range(3):
        assert get(mongrel2.address, "/").status == 200
        assert get(mongrel2.address, "/raise?a=%22").status == 500
    wait_until(lambda: len(lines(log)) == 3, 10, "three lines")
    for line in lines(log):
        said = json.loads(line)
        assert (said["uri"], said["status"], said["agent"]) == ("/raise?a=%22", 500, "-")
        assert said["wid"] in (1, 2)
    moved = tmp_path / "old.log"
    log.rename(moved)
    mark = server.mark()
    (tmp_path / "fifo").write_text("l")
    server.wait_log("fifo l", after=mark)
    wait_until(log.exists, 10, "a new file")

    def another() -> bool:
        assert get(mongrel2.address, "/raise").status == 500
        return bool(lines(log))

    wait_until(another, 10, "a line in it")
    assert '"status": 500' not in server.log


def test_a_log_that_grows_gets_another_name(
    mongrel2: Mongrel2, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    log, old, touched = tmp_path / "server.log", tmp_path / "server.old", tmp_path / "touched"
    log.write_text("from before\n")
    touched.touch()
    args = ["--zeromq", mongrel2.pair, "--threads", "2", "--pythonpath", str(APPS), "--module", "probe"]
    args += ["--logger", f"file:{log}", "--log-truncate", "--log-maxsize", "20000", "--log-backupname", str(old)]
    start_server(*args, "--touch-logrotate", str(touched))
    wait_until(lambda: "workers ready" in log.read_text(), 15, "it serves")
    assert "from before" not in log.read_text()

    def grown() -> bool:
        for _ in range(50):
            assert get(mongrel2.address, "/").status == 200
        return old.exists()

    wait_until(grown, 30, "another name")
    assert old.stat().st_size > 15_000
    wait_until(lambda: "the log until now is" in log.read_text(), 10, "the new file says so")
    old.unlink()
    touched.write_text("now")
    wait_until(old.exists, 15, "rotated by a touch")
    assert get(mongrel2.address, "/").status == 200


def test_files_have_a_line_although_requests_have_none(tmp_path_factory: pytest.TempPathFactory) -> None:
    log, files = tmp_path_factory.mktemp("log") / "requests.log", tmp_path_factory.mktemp("files")
    (files / "small").write_bytes(b"small")
    (files / "large").write_bytes(bytes(2_000_000))
    (files / "empty").touch()
    options = ["--disable-logging", "--log-sendfile", "--log-format", "%(uri) %(rsize)", "--req-logger", f"file:{log}"]
    expected = []
    with running(tmp_path_factory.mktemp, *options, "--static-map", f"/static={files}", processes=1) as served:
        for name in WAYS:
            way = served.way(name)
            for path in ("/", "/static/empty", "/static/small", "/static/large", "/wrapped"):
                assert way.get(f"{path}?{name}").status == 200
            assert way.get(f"/static/small?{name}", method="HEAD").status == 200
            assert len(way.get(f"/downloads/file/5?file={files}/small&{name}").body) == 5
            expected += [f"/static/small?{name} 5", f"/static/large?{name} 2000000"]
            expected += [f"/downloads/file/5?file={files}/small&{name} 5"]
        wait_until(lambda: len(lines(log)) >= len(expected), 20, "lines for files")
    assert sorted(lines(log)) == sorted(expected)
