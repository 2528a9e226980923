# ruff: noqa: RUF009 - option() makes a dataclass field, it shares no default.
"""Options about processes and threads."""

# Annotations are read at run time: no postponed evaluation in this directory.
from dataclasses import dataclass

from m2serve.config.option import compatible, option
from m2serve.config.values import Deadline
from m2serve.ids import Seconds


@dataclass(frozen=True)
class ProcessGroup:
    """Processes and threads"""

    processes: int = option(1, "Number of worker processes.", names=("workers", "p"), minimum=1)
    threads: int = option(1, "Number of request threads in each worker.", minimum=1)
    lazy_apps: bool = option(
        False, "Each worker loads the application by itself, as one that is alone always does.", names=("lazy",)
    )
    preload: bool = option(
        False,
        "Load the application once and fork all workers from there, even a single one, and even if it has threads or "
        "connections by then, which is otherwise seen and avoided.",
    )
    need_app: bool = option(False, "Stop with exit code 22 when the application cannot be loaded.")
    honour_stdin: bool = option(False, "Keep the standard input of the start; else it is /dev/null.")
    worker_reload_mercy: Seconds = option(
        Seconds(60), "How long a worker may finish its requests on stop or reload; then it is killed."
    )
    reload_mercy: Seconds = option(
        Seconds(60), "How long the dispatcher and attached daemons may take to leave; then they are killed."
    )
    worker_start_timeout: Seconds = option(
        Seconds(600),
        "How long a worker may load the application; then it is killed, and a reload given up. 0: for ever.",
    )
    harakiri: tuple[Deadline, ...] = option(
        (),
        "How long a request may run, all or those below a path; then it is answered 504 and its worker replaced. The "
        "longest prefix counts; 0 for ever.",
        names=("t",),
        metavar="[/PREFIX=]SECONDS",
    )
    harakiri_queue_threshold: int = option(
        0, "No harakiri while fewer requests than so many wait for a thread; what is late then waits for it."
    )
    harakiri_verbose: bool = option(
        False, "Log at harakiri what the kernel says of the thread, and what all other threads of the worker do."
    )
    harakiri_graceful_timeout: Seconds = option(
        Seconds(0), "How long a thread may go on after harakiri, when the others have finished; then it ends."
    )
    harakiri_graceful_signal: int = option(
        15, "Signal sent to the worker at harakiri, if harakiri-graceful-timeout is set.", minimum=1
    )
    py_tracebacker: str | None = option(
        None, "Each worker listens at PREFIX and its number, and tells the stacks of its threads.", metavar="PREFIX"
    )
    reload_on_exception: bool = option(False, "Replace a worker whose application has raised an exception.")
    reload_on_exception_type: tuple[str, ...] = option(
        (), "The same, for exceptions of this class.", metavar="[MODULE.]CLASS"
    )
    reload_on_exception_value: tuple[str, ...] = option((), "The same, for exceptions with this text.")
    reload_on_exception_repr: tuple[str, ...] = option(
        (), "The same, for exceptions of this class with this text.", metavar="[MODULE.]CLASS: TEXT"
    )
    max_requests: int = option(0, "Replace a worker that has served so many requests; 0 for never.", names=("R",))
    max_requests_delta: int = option(0, "Add this, times the worker's number, to max-requests.")
    max_worker_lifetime: Seconds = option(Seconds(0), "Replace a worker that is so old; 0 for never.")
    max_worker_lifetime_delta: Seconds = option(
        Seconds(0), "Add this, times the worker's number, to max-worker-lifetime."
    )
    min_worker_lifetime: Seconds = option(Seconds(10), "Replace no worker for such a reason before it is so old.")
    reload_on_rss: int = option(0, "Replace a worker with so many MiB in memory; 0 for never.", metavar="MIB")
    reload_on_as: int = option(0, "Replace a worker with so many MiB of address space; 0 for never.", metavar="MIB")
    reload_on_uss: int = option(
        0, "Replace a worker with so many MiB in memory that nobody else has; 0 for never.", metavar="MIB"
    )
    reload_on_pss: int = option(0, "The same with its share of what others have, too; 0 for never.", metavar="MIB")
    evil_reload_on_rss: int = option(
        0, "Kill a worker with so many MiB in memory at once, whatever it does; 0 for never.", metavar="MIB"
    )
    evil_reload_on_as: int = option(
        0, "Kill a worker with so many MiB of address space at once, whatever it does; 0 for never.", metavar="MIB"
    )
    procname_prefix: str = option("", "Text in front of every process title.")
    procname_prefix_spaced: str = option("", "The same, with a blank behind it.")
    procname: str = option("", "Title of every process.")
    procname_master: str = option("", "Title of the master.")
    procname_append: str = option("", "Text behind every process title.")
    thread_stacksize: int = option(
        0,
        "KiB of stack of each request thread; 0: the system's usual.",
        names=("threads-stacksize", "thread-stack-size", "threads-stack-size"),
        metavar="KIB",
    )
    master: bool = compatible(True, "the master process is always there", names=("M",))
    enable_threads: bool = compatible(True, "threads of the application always run", names=("T",))
    single_interpreter: bool = compatible(True, "there is one interpreter per worker", names=("i",))
    auto_procname: bool = compatible(True, "processes always carry a title")
    thunder_lock: bool = compatible(False, "each request wakes exactly one worker; no lock is needed")
