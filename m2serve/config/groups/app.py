# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Options about the application."""

from dataclasses import dataclass

from m2serve.config.option import compatible, option
from m2serve.config.paste import PasteLogger, PasteUri
from m2serve.config.values import (
    AppRef,
    EnvironmentVariable,
    HeaderLine,
    HeaderName,
    HeaderVariable,
    ModuleAlias,
    Mount,
    PostLimit,
)
from m2serve.ids import Bytes, Seconds


@dataclass(frozen=True)
class AppGroup:
    """Application"""

    module: AppRef | None = option(
        None,
        "Module of the application, with the attribute or the factory to call.",
        names=("wsgi", "w"),
        metavar="MODULE[:ATTRIBUTE]",
    )
    wsgi_file: str | None = option(None, "Python file of the application.", names=("file",), metavar="FILE")
    paste: PasteUri | None = option(
        None, "Application as PasteDeploy finds it, which is imported for that.", metavar="config:FILE[#NAME]"
    )
    ini_paste: str | None = option(
        None, "Read this file as ini does, and take the application from it as paste does.", metavar="FILE"
    )
    ini_paste_logged: str | None = option(None, "The same, and the logging is set up as the file says.", metavar="FILE")
    paste_logger: PasteLogger | None = option(
        None, "File that says how the logging is set up; by default that of paste.", metavar="[FILE]"
    )
    callable: str = option(
        "application", "Attribute that is the application, where the other options name none.", metavar="NAME"
    )
    mount: tuple[Mount, ...] = option(
        (),
        "Application for one part of the site; its prefix becomes SCRIPT_NAME.",
        names=("worker-mount",),
        metavar="/PREFIX=APP",
    )
    no_default_app: bool = option(
        False, "A path below no mount is answered 500, though there may be an application at the root."
    )
    add_header: tuple[HeaderLine, ...] = option(
        (), "Header that every answer of the application gets besides its own.", metavar="NAME: VALUE"
    )
    rem_header: tuple[HeaderName, ...] = option(
        (), "Header that no answer of the application keeps.", names=("del-header",), metavar="NAME"
    )
    collect_header: tuple[HeaderVariable, ...] = option(
        (),
        "Header of the answer that becomes a variable of the request, for response-route and %(var.VARIABLE) of "
        "log-format.",
        names=("response-header-collect",),
        metavar="NAME VARIABLE",
    )
    pull_header: tuple[HeaderVariable, ...] = option(
        (), "The same, and the answer does not keep it.", metavar="NAME VARIABLE"
    )
    wsgi_disable_file_wrapper: bool = option(
        False, "Let the application do without wsgi.file_wrapper: it then reads its files itself."
    )
    limit_post: tuple[PostLimit, ...] = option(
        (),
        "Largest body of a request, in all or below a path; what is larger is answered 413 before it has been sent. "
        "The longest prefix counts.",
        metavar="[/PREFIX=]BYTES",
    )
    catch_exceptions: bool = option(
        False, "Show the client the traceback of an exception: not where strangers are served."
    )
    socket_timeout: Seconds = option(
        Seconds(60),
        "How long the next bytes of a streamed upload may take; then it is answered 408.",
        names=("z",),
        minimum=1,
    )
    chunked_input_timeout: Seconds = option(
        Seconds(0),
        "How long the next bytes of a body in chunks may take, of a streamed upload and at http and https; 0: as of "
        "any other (socket-timeout, http-timeout).",
    )
    chunked_input_limit: Bytes = option(
        Bytes(0),
        "How large one chunk of a body in chunks may be, at http and https; a request with a larger one is answered "
        "413. For the body as a whole there is limit-post.",
    )
    chdir: str | None = option(None, "Directory to change to before loading the application.", metavar="DIR")
    chdir2: str | None = option(None, "Directory to change to when the application has been loaded.", metavar="DIR")
    pythonpath: tuple[str, ...] = option(
        (),
        "Directory to put in front of sys.path; may contain * and ?.",
        names=("python-path", "pp"),
        metavar="DIR",
    )
    virtualenv: str | None = option(
        None,
        "Virtual environment whose packages the application gets; made for the Python that runs m2serve.",
        names=("home", "venv", "pyhome", "H"),
        metavar="DIR",
    )
    env: tuple[EnvironmentVariable, ...] = option((), "Environment variable for the application.", metavar="NAME=VALUE")
    envdir: tuple[str, ...] = option(
        (), "Directory with a file for each variable, as daemontools has it; env comes after it.", metavar="DIR"
    )
    unenv: tuple[str, ...] = option((), "Environment variable to be taken away, after env.", metavar="NAME")
    pyimport: tuple[str, ...] = option(
        (),
        "Module, or Python file, to be imported before the application; one that fails is told in the log.",
        names=(
            *("import", "py-import", "python-import"),
            *("shared-import", "shared-pyimport", "shared-py-import", "shared-python-import"),
        ),
        metavar="MODULE",
    )
    optimize: int | None = option(
        None,
        "Python leaves out assert (1), and docstrings (2). By default as it was started.",
        names=("O",),
    )
    pymodule_alias: tuple[ModuleAlias, ...] = option(
        (), "Another name under which a module, or a Python file, can be imported.", metavar="NAME=MODULE"
    )
    pyargv: str | None = option(None, "What the application finds in sys.argv, divided at blanks.", metavar="WORDS")
    manage_script_name: bool = compatible(True, "the prefix of a mount is always split off into SCRIPT_NAME")
