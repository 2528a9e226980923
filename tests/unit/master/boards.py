"""Boards to decide on, without a process."""

from __future__ import annotations

from m2serve.ids import Seconds, WorkerId
from m2serve.master.board import Board, Slot
from m2serve.master.child import Child, ChildKind, ChildState
from m2serve.master.generation import Generation, GenerationState

READY = ChildState.READY
STARTING = ChildState.STARTING
MERCY = Seconds(60.0)
NOW = Seconds(1000.0)


class Maker:
    """Builds one board step by step."""

    def __init__(self, *, dispatched=True, need_app=False):
        self.board = Board(dispatched, need_app, MERCY)
        self._key = 0

    def child(self, kind, name, state, generation=0, worker=0):
        self._key += 1
        child = Child(kind, self._key, name, generation, WorkerId(worker), state=state, started=NOW)
        self.board.children.append(child)
        return child

    def dispatcher(self, state=READY):
        slot = Slot(ChildKind.DISPATCHER, "dispatcher", was_ready=True)
        self.board.slots.append(slot)
        if state is not None:
            slot.child = self.child(ChildKind.DISPATCHER, "dispatcher", state)
        return slot

    def daemon(self, state=READY):
        slot = Slot(ChildKind.DAEMON, "mongrel2", was_ready=state is READY, gate=True)
        self.board.slots.append(slot)
        if state is not None:
            slot.child = self.child(ChildKind.DAEMON, "mongrel2", state)
        return slot

    def generation(self, number, *states, state=GenerationState.SERVING):
        """A generation with one slot for each of *states*; None is an empty slot."""
        generation = Generation(number, len(states), NOW, state=state)
        self.board.generations.append(generation)
        for worker, its_state in enumerate(states, 1):
            slot = Slot(ChildKind.WORKER, f"worker {worker}", number, WorkerId(worker))
            self.board.slots.append(slot)
            if its_state is not None:
                slot.child = self.child(ChildKind.WORKER, f"worker {worker}", its_state, number, worker)
        return generation

    def slots_of(self, generation):
        return [slot for slot in self.board.slots if slot.generation == generation.number and slot.worker]


class Commands:
    """Notes what it is told to do."""

    def __init__(self):
        self.obeyed = []

    def obey(self, command, source, now):
        self.obeyed.append((command, source))
