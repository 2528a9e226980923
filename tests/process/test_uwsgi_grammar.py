"""The grammar of configuration files, a few lines at a time, read by uWSGI and by m2serve.

No key here is an option, so that uWSGI keeps what it has read, and prints it with ``--show-config``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from m2serve.config.outside import Outside
from m2serve.config.settings import examine

if TYPE_CHECKING:
    from pathlib import Path

UWSGI = shutil.which("uwsgi-core")

pytestmark = pytest.mark.skipif(UWSGI is None, reason="uWSGI is not installed (Debian: uwsgi-core)")

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/root",
    "FOO": "foo val",
    "EMPTY": "",
    "N": "3",
    "PERCENT": "%d x",
    "UWSGI_XA": "e",
}
FILES = {
    "content.txt": "line1\nline2\n",
    "words": "w1\n w2 \n\nw3",
    "empty": "",
    "inc.ini": "[uwsgi]\nd = %d|%p|%n|%s|%e|%x\nD = %D|%P|%N|%S\nz = from inc\n[dev]\nz = dev [%x]\n",
}
LISTING = re.compile(r";uWSGI instance configuration\n\[uwsgi\]\n(.*?)\n?;end of configuration", re.DOTALL)
WORDS = re.compile(
    r"(show-config|no-server|ini|include|if|ifenv|end|for|set|print|iprint)(-[a-z]+)*|ifexists|ifdir|endif|endfor"
)

SAME = {
    "lines": (
        "a=1",
        "  a = 1  ",
        "\ta\t=\t1\t",
        "a",
        "a =",
        " = x",
        "a = b = c",
        'a = "q" ',
        "a = 1 ; c",
        "; a = 1\n# b=2\nc=3",
        "a b = c",
        "A = 1\na = 2",
        "a = 1\\\n b=2",
        "a = 1\r\nb=2\r",
        "a = 1\n[other]\nb=2\n[uwsgi]\nc=3",
        "[uwsgi] \nb=1",
        "[ uwsgi ]\nb=2",
        "[]\nb=1",
        "a = \u00e9",
        "a=1\x0bb=2",
        "a;b = 1",
        "a = ;x",
        " ;a=1",
        "x\xa0= 1",
        "a==1",
        "a=  two  words  ",
        "--a = 1",
        "a= 1\n  \nb",
        "a = [x]",
    ),
    "letters": (
        "a = %%",
        "a = %%d",
        "a = %%%d",
        "a = %d %p %s %n %e %c [%x] %v %o",
        "a = %j",
        "a = %u %U %g %G",
        "a = %[x",
        "a = %D %P %S %N %E %C %O [%X] %I %J",
        "a = %h",
        "a = %k",
        "a = %i",
        "# %d\na = x",
        "%n = 1",
        "a%d = 1",
        "a = %(%n)\nt = 5",
        "a = %%%%",
        "set = %n=5",
        "set-ph = %n_a=5\nb=%(t_a)",
        "ini = inc.ini\na=%d",
        "include = inc.ini\na=[%x]",
        "ini = inc.ini:dev",
    ),
    "blocks": (
        "for = a b c\nx = %(_)\ny = %(_)%(_)\nendfor\nz=1",
        "for-times = 3\nx = %(_)\nend-for",
        "for-readline = words\nx = [%(_)]\nend",
        "for-readline = empty\nx=%(_)\nendfor\nz=1",
        "for-glob = *.txt\nx=%(_)\nend",
        "for = a\nendif\nz=1",
        "for=a  b\nx=%(_)\nendfor",
        "for = a\tb\nx=%(_)\nendfor",
        "for = \nx=1\nendfor\nz=1",
        "x=%(_)",
        "for = a b\nset = q=%(_)\nendfor\nr=%(q)",
        "for = a b\nset-ph = p%(_)=v%(_)\nendfor\nr=%(pa)%(pb)",
        "for = 1 2\nx = %(%(_) + 1)\nendfor",
        "for=a b\nx%(_) = 1\nendfor",
        "for-times = 0\na=1\nendfor\nz=2",
        "for-times = x\na=1\nendfor\nz=1",
        "endif\na=1",
        "if-env = FOO\nx = %(_)\nendif",
        "if-env = FOO=foo val\nx = %(_)\nendif",
        "if-env = FOO=other\nx = 1\nendif",
        "if-env = NOPE\nx=1\nendif\nz=1",
        "if-not-env = NOPE\nx=%(_)\nendif",
        "if-env = EMPTY\nx=[%(_)]\nendif",
        "k=5\nif-opt = k\nx=%(_)\nendif",
        "k=5\nif-opt = k=5\nx=%(_)\nendif",
        "if-opt = k\nx=1\nendif\nk=5",
        "k=\nif-opt=k=\nx=1\nendif",
        "if-not-opt = q\nx=[%(_)]\nendif",
        "if-not-opt = q=1\nx=[%(_)]\nendif",
        "q=2\nif-not-opt = q=1\nx=[%(_)]\nendif",
        "if-file = content.txt\nx=%(_)\nendif",
        "if-file = .\nx=1\nendif",
        "if-dir = .\nx=%(_)\nendif",
        "if-directory = /tmp\nx=1\nendif",
        "if-exists = /dev/null\nx=%(_)\nendif",
        "if-not-exists = nope\nx=[%(_)]\nendif",
        "if-hostname = nope\nx=1\nendif",
        "if-hostname-match = .*\nx=%(_)\nendif",
        "if-reload = true\nx=1\nendif",
        "if-not-plugin = nope\nx=%(_)\nendif",
        "ifenv = FOO\nx=%(_)\nendif",
        "ifexists = words\nx=1\nendif",
        "ifdir = /tmp\nx=1\nendif",
        "if-file = words\ninclude=inc.ini\nendif",
    ),
    "placeholders": (
        "a=$(FOO)",
        "a=$(NOPE)",
        "a=x$(FOO)y$(N)",
        "a=$(EMPTY)|",
        "a=$(PERCENT)",
        "a=${FOO}",
        "a=$FOO",
        "a=$()",
        "a=$( FOO )",
        "a=@(content.txt)",
        "a=%(b)\nb=1",
        "b=1\nb=2\na=%(b)",
        "a=%(nope)",
        "a=%(b)%(b)\nb=x",
        "b=@(content.txt)\na=%(b)",
        "a=%()",
        "b=1\na=%(b + 2)",
        "b=10\na=%(b - 3)",
        "b=4\na=%(b * 3)",
        "b=7\na=%(b / 2)",
        "b=7\na=%(b / 0)",
        "b=7\na=%(b ++)",
        "b=7\na=%(b --)",
        "b=7\nc=2\na=%(b c)",
        "b=7\nc=2\na=%(b + c * 2)",
        "b=x\na=%(b + 2)",
        "b=7\na=%(b+2)",
        "a=%(2 + 3)",
        "b=3\na=%( b )",
        "b=3\na=%(b  +  1)",
        "b=-5\na=%(b + 2)",
        "b=5\na=%(b - 10)",
        "a=%(%k + 0)",
        "b=2 apples\na=%(b + 1)",
        "b=1.5\na=%(b + 1)",
        "b=5\na=%(b nope 2)",
        "b=5\na=%(nope + 2)",
        "b=5\na=%(b + )",
        "b=5\na=%(b + + 2)",
        "b=5\na=%(+ 2)",
        "b=5\na=%(b ++ ++)",
        "b=5\na=%(b ^ 2)",
        "b=5\na=%(b ++ 1)",
        "b=5\na=%(b / b / b)",
        "a=$(FOO) %(b)\nb=$(N)",
        "b=1\na=$(%(b))",
        "x y = 3\na=%(x y)",
        "b=$(FOO)\nb=2\na=%(b)",
        "b=\na=[%(b)]",
        "b\na=[%(b)]",
        "_=5\na=%(_)",
    ),
}
"""Lines below ``[uwsgi]`` in a file ``t.ini``. Where the two differ, docs/ini.md says why."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("grammar")
    for name, text in FILES.items():
        (made / name).write_text(text)
    return made


def by_uwsgi(directory: Path) -> list[str]:
    done = subprocess.run(
        [str(UWSGI), "--ini", "t.ini", "--show-config", "--no-server"],
        cwd=directory, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False,
    )  # fmt: skip
    listing = LISTING.search(done.stdout.decode("utf-8", "replace"))
    assert listing is not None, done.stdout
    return [line for line in listing[1].split("\n") if WORDS.fullmatch(line.partition(" =")[0]) is None]


def by_us(directory: Path) -> list[str]:
    given = examine(["--ini", "t.ini"], ENVIRONMENT, Outside(), str(directory)).given
    lines = [line for key, value in given for line in f"{key} = {value}".split("\n")]
    return [line for line in lines if WORDS.fullmatch(line.partition(" =")[0]) is None]


@pytest.mark.parametrize("group", SAME)
def test_both_read_the_same(group: str, directory: Path) -> None:
    different = {}
    for text in SAME[group]:
        (directory / "t.ini").write_text(f"[uwsgi]\n{text}", newline="")
        theirs, ours = by_uwsgi(directory), by_us(directory)
        if theirs != ours:
            different[text] = (theirs, ours)
    assert different == {}
