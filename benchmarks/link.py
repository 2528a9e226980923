"""Ways to hand a request from one dispatcher to 4 processes of 8 threads: ``python benchmarks/link.py``.

What travels is a descriptor of 24 bytes (thread, serial number, offset, length), and back a word that it is
done. The loop is closed: 32 hand-offs are outstanding, a completion brings the next. Threads do nothing else,
so the figures are the cost of the link alone, in an interpreter, with both ends' system calls and wake-ups.

    mailbox   a cell in shared memory and an eventfd a thread; the completion is the cleared cell, and the
              dispatcher is woken for it only when it has said that it sleeps
    pairs     one SEQPACKET pair a process; its threads block in recv, the completion goes back the same way
    shared    one SEQPACKET pair inherited by all
    zmq       ROUTER in the dispatcher, DEALER a process; its main thread deals to the threads over queues
    zmq-flat  ROUTER in the dispatcher, DEALER a thread
"""

from __future__ import annotations

import mmap
import os
import queue
import resource
import select
import socket
import struct
import threading
import time
import traceback
from statistics import median
from typing import TYPE_CHECKING

import zmq

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    Turn: TypeAlias = Callable[[list[int]], list[int]]
    """One turn of a dispatcher: hand an item to these slots, wait, return the slots that are done."""

PROCESSES, THREADS = 4, 8
SLOTS = PROCESSES * THREADS
HANDOFFS = 50_000
SECONDS = 2.0
ROUNDS = 3
ITEM = struct.Struct("<QQII")  # thread, serial number, offset, length
WORD = struct.Struct("<Q")
CELL = 64


def forks(work: Callable[[int, int], None]) -> list[int]:
    """Fork the processes; each runs ``work(process, thread)`` in its threads until killed."""
    pids = []
    for process in range(PROCESSES):
        pid = os.fork()
        if pid == 0:
            try:
                crew = [threading.Thread(target=work, args=(process, t), daemon=True) for t in range(THREADS)]
                for thread in crew:
                    thread.start()
                for thread in crew:
                    thread.join()
            finally:
                os._exit(0)
        pids.append(pid)
    return pids


def mailbox() -> tuple[list[int], Turn]:
    memory = mmap.mmap(-1, CELL * (SLOTS + 1))  # anonymous and shared with the forks
    bells = [os.eventfd(0) for _ in range(SLOTS)]
    doorbell = os.eventfd(0, os.EFD_NONBLOCK)
    asleep = CELL * SLOTS  # the dispatcher's word: it wants to be woken
    poll = select.poll()
    poll.register(doorbell, select.POLLIN)

    def work(process: int, thread: int) -> None:
        slot = process * THREADS + thread
        base, bell = slot * CELL, bells[slot]
        while True:
            os.eventfd_read(bell)
            if not memory[base]:
                continue
            ITEM.unpack_from(memory, base + 8)
            memory[base] = 0
            if memory[asleep]:
                memory[asleep] = 0
                os.eventfd_write(doorbell, 1)

    busy: set[int] = set()

    def turn(slots: list[int]) -> list[int]:
        for slot in slots:
            ITEM.pack_into(memory, slot * CELL + 8, slot, 1, 2, 3)
            memory[slot * CELL] = 1
            os.eventfd_write(bells[slot], 1)
        busy.update(slots)
        done = [slot for slot in busy if not memory[slot * CELL]]
        if not done:
            memory[asleep] = 1
            done = [slot for slot in busy if not memory[slot * CELL]]  # one may have ended before the flag was seen
            if not done:
                poll.poll(10)  # the flag and the cells are unordered words: a wake-up can be missed, never for long
                try:
                    os.eventfd_read(doorbell)
                except BlockingIOError:
                    pass
                done = [slot for slot in busy if not memory[slot * CELL]]
            memory[asleep] = 0
        busy.difference_update(done)
        return done

    return forks(work), turn


def packets(shared: bool) -> tuple[list[int], Turn]:
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(1 if shared else PROCESSES)]
    near = [pair[0] for pair in pairs]
    far = [pair[1] for pair in pairs]
    poll = select.epoll()
    by_fd = {sock.fileno(): sock for sock in near}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)

    def work(process: int, thread: int) -> None:
        link = far[0 if shared else process]
        while True:
            slot, *_ = ITEM.unpack(link.recv(64))
            link.send(WORD.pack(slot))

    def turn(slots: list[int]) -> list[int]:
        for slot in slots:
            near[0 if shared else slot // THREADS].send(ITEM.pack(slot, 1, 2, 3))
        done = []
        for fd, _ in poll.poll():
            link = by_fd[fd]
            try:
                while True:
                    done.append(WORD.unpack(link.recv(64, socket.MSG_DONTWAIT))[0])
            except BlockingIOError:
                pass
        return done

    return forks(work), turn


def router(flat: bool) -> tuple[list[int], Turn]:
    address = f"ipc://@m2link-{os.getpid()}"  # an abstract name: nothing to clean up

    def dealer(context: zmq.Context[zmq.Socket[bytes]], number: int) -> zmq.Socket[bytes]:
        link = context.socket(zmq.DEALER)
        link.setsockopt(zmq.IDENTITY, b"%d" % number)
        link.connect(address)
        link.send(b"")  # makes us known to the ROUTER
        return link

    def thread_of_its_own(process: int, thread: int) -> None:
        link = dealer(zmq.Context.instance(), process * THREADS + thread)
        while True:
            slot, *_ = ITEM.unpack(link.recv())
            link.send(WORD.pack(slot))

    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def crew_of_one_dealer(process: int, thread: int) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        if thread == 0:  # this thread deals and collects; seven others and one more work
            link, done = dealer(context, process), context.socket(zmq.PULL)
            done.bind("inproc://done")
            poller = zmq.Poller()
            poller.register(link, zmq.POLLIN)
            poller.register(done, zmq.POLLIN)
            threading.Thread(target=crew_of_one_dealer, args=(process, THREADS), daemon=True).start()
            while True:
                for ready, _ in poller.poll():
                    if ready is link:
                        tasks.put(link.recv())
                    else:
                        link.send(done.recv())
        answer = context.socket(zmq.PUSH)
        answer.connect("inproc://done")
        while True:
            slot, *_ = ITEM.unpack(tasks.get())
            answer.send(WORD.pack(slot))

    pids = forks(thread_of_its_own if flat else crew_of_one_dealer)  # no context before the fork
    front: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.ROUTER)
    front.setsockopt(zmq.LINGER, 0)
    front.bind(address)
    for _ in range(SLOTS if flat else PROCESSES):
        front.recv_multipart()
    names = [b"%d" % (slot if flat else slot // THREADS) for slot in range(SLOTS)]

    def turn(slots: list[int]) -> list[int]:
        for slot in slots:
            front.send_multipart([names[slot], ITEM.pack(slot, 1, 2, 3)])
        done = [WORD.unpack(front.recv_multipart()[1])[0]]
        try:
            while True:
                done.append(WORD.unpack(front.recv_multipart(zmq.DONTWAIT)[1])[0])
        except zmq.Again:
            return done

    return pids, turn


WAYS: dict[str, Callable[[], tuple[list[int], Turn]]] = {
    "mailbox": mailbox,
    "pairs": lambda: packets(shared=False),
    "shared": lambda: packets(shared=True),
    "zmq": lambda: router(flat=False),
    "zmq-flat": lambda: router(flat=True),
}


def cpu(pids: Iterable[int]) -> float:
    """CPU seconds of this process and of *pids*."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


def one_round(way: str) -> tuple[float, float]:
    """Hand-offs a second, CPU microseconds a hand-off."""
    pids, turn = WAYS[way]()
    try:
        free = list(range(SLOTS))
        for _ in range(200):  # warm
            free = turn(free)
        count, start, before = 0, time.perf_counter(), cpu(pids)
        while count < HANDOFFS and time.perf_counter() - start < SECONDS:
            free = turn(free)
            count += len(free)
        elapsed = time.perf_counter() - start
        return count / elapsed, (cpu(pids) - before) / count * 1e6
    finally:
        for pid in pids:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def main() -> None:
    results: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way, rounds in results.items():
            rounds.append(isolated(way))
    print("| link | hand-offs/s | ± % | CPU µs a hand-off |\n|---|--:|--:|--:|")
    for way, rounds in results.items():
        rates = [rate for rate, _ in rounds]
        rate = median(rates)
        spread = 50 * (max(rates) - min(rates)) / rate
        print(f"| {way} | {rate:.0f} | {spread:.0f} | {median(cost for _, cost in rounds):.1f} |")


def isolated(way: str) -> tuple[float, float]:
    """``one_round`` in a process of its own, which inherits nothing of another round (no ZeroMQ thread)."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, struct.pack("<dd", *one_round(way)))
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        rate, cost = struct.unpack("<dd", pipe.read())
    return rate, cost


if __name__ == "__main__":
    main()
