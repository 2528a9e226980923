"""Files whose change brings something about, and a harakiri that waits for a queue, through real processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.http import get
from support.server import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.mongrel2 import Mongrel2
    from support.server import Server


def test_touched_files(mongrel2: Mongrel2, serve: Callable[..., Server], tmp_path: Path) -> None:
    code, script = tmp_path / "code", tmp_path / "mule.py"
    code.mkdir()
    script.write_text("import time\nprint('the mule begins', flush=True)\nwhile True:\n    time.sleep(60)\n")
    options = [
        ("mule", str(script)),
        ("touch-mules-reload", f"{tmp_path}/for-mules"),
        ("touch-exec", f"{tmp_path}/for-command echo run >> {tmp_path}/ran; exit 3"),
        ("hook-touch", f"{tmp_path}/for-hook write:{tmp_path}/written by a hook"),
        ("fs-reload", str(code)),
        ("harakiri", "1"),
        ("harakiri-queue-threshold", "50"),
    ]
    words = tuple(word for name, value in options for word in (f"--{name}", value))
    server = serve(mongrel2, processes=1, options=words)
    server.wait_log("the mule begins")
    answer = get(mongrel2.address, "/sleep/2.2")
    assert (answer.status, answer.text) == (200, "/sleep/2.2")

    mark = server.mark()
    for name in ("for-mules", "for-command", "for-hook"):
        (tmp_path / name).touch()
    server.wait_log("the mule begins", after=mark)
    wait_until(lambda: (tmp_path / "written").exists(), 20, "what the hook writes")
    server.wait_log(r"touch-exec \(pid: \d+\) ended: exit code 3", after=mark)
    assert (tmp_path / "ran").read_text() == "run\n"

    mark = server.mark()
    (code / "new.py").touch()
    server.wait_ready(1, after=mark)
    assert get(mongrel2.address, "/").status == 200
    assert server.stop() == 0
