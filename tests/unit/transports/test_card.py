"""A worker's card."""

from __future__ import annotations

import os

import pytest

from m2serve.transports import card as cards
from m2serve.transports.card import ANSWER_ROOM, CELL, MAX_SENDER, Card, card_size, create_card


@pytest.fixture(params=[1, 3, 64])
def fd(request):
    fd = create_card(request.param)
    yield fd, request.param
    os.close(fd)


def test_a_new_card_is_zero_all_over(fd):
    card = Card(*fd)
    assert os.fstat(fd[0]).st_size == card_size(fd[1])
    assert not os.get_inheritable(fd[0])
    assert not any(card.words)
    card.close()


def test_words_are_seen_through_another_mapping(fd):
    worker, dispatcher = Card(*fd), Card(*fd)
    for slot in range(fd[1]):
        dispatcher.write(slot, 1, 2, 3, 4, 5, 6, 1)
        dispatcher.mails[slot] = slot + 100
        assert worker.read(slot) == (cards.HANDED, 1, 2, 3, 4, 5, 6, 1, 0, cards.PLAIN)
        worker.put_answer(slot, slot + 100, b"answer")
    assert worker.mails.tolist() == list(range(100, 100 + fd[1]))
    assert dispatcher.heads.tolist() == 2 * worker.mails.tolist()
    worker.close()
    dispatcher.close()


def test_nothing_overlaps(fd):
    card = Card(*fd)
    threads = fd[1]
    for slot in range(threads):
        mark = slot + 1
        card.write(slot, *([mark] * 8))
        card.set_sender(slot, bytes([mark]) * MAX_SENDER)
        card.set_uuid(slot, bytes([mark]) * 16)
        card.put_answer(slot, mark, bytes([mark]) * ANSWER_ROOM)
        card.mails[slot] = mark + 1000
    card.awake[0] = (1 << 64) - 1
    for slot in range(threads):
        mark = slot + 1
        assert card.read(slot) == (cards.HANDED, *([mark] * 7), ANSWER_ROOM, mark)
        assert card.sender(slot) == bytes([mark]) * MAX_SENDER
        assert card.uuid(slot) == bytes([mark]) * 16
        assert card.answer(slot) == bytes([mark]) * ANSWER_ROOM
        assert (card.mails[slot], card.answered[slot]) == (mark + 1000, mark)
    assert card.awake[0] == (1 << 64) - 1
    card.close()


def test_cells_without_a_slot_lie_between_the_slots_and_their_answers(fd):
    card = Card(*fd)
    threads = fd[1]
    first, last = threads, threads + cards.DRAINS - 1
    card.write(threads - 1, *([9] * 8))
    card.put_answer(0, 1, b"a" * ANSWER_ROOM)
    for cell in (first, last):
        card.open_drain(cell, threads - 1, cell)
        card.words[card.base(cell) + cards.SENT] = cell
    assert card.used[0] == cards.DRAINS
    for cell in (first, last):
        words = card.words[card.base(cell) : card.base(cell) + 16]
        assert (words[cards.SERIAL], words[cards.SENT], words[cards.STATE]) == (cell, cell, cards.DRAINING)
        words.release()
    assert card.read(threads - 1)[1:8] == (9, 9, 9, 9, 9, 9, 9)
    assert card.answer(0) == b"a" * ANSWER_ROOM
    card.close()


def test_an_answer_moves_to_a_cell_without_a_slot():
    fd = create_card(2)
    card = Card(fd, 2)
    words, slot, drain = card.words, card.base(1), card.base(5)
    card.write(1, 0, 3, 100, 50, 77, 90, 0, cards.PLAIN, 1000)
    card.set_sender(1, b"m2")
    card.mails[1] = 8
    words[slot + cards.STATE] = cards.ANSWERING
    words[slot + cards.SENT], words[slot + cards.WAITING] = 10, 1
    card.open_drain(5, 1, 8)
    assert card.used[0] == 4
    assert card.read(5) == (cards.DRAINING, 0, 3, 100, 50, 77, 90, 0, 0, cards.PLAIN)
    assert card.sender(5) == b"m2"
    assert [words[drain + word] for word in (cards.CREDIT, cards.SENT, cards.WAITING, cards.SERIAL)] == [1000, 10, 0, 8]
    words[drain + cards.CREDIT] = 1400
    words[slot + cards.SENT] = 600  # went on meanwhile
    card.move_to_drain(1, 5)
    assert (card.mails[1], words[slot + cards.WAITING]) == (0, 0)
    assert (words[drain + cards.CREDIT], words[drain + cards.SENT]) == (1400, 600)
    card.open_drain(3, 1, 9)
    assert card.used[0] == 4, "it only grows"
    card.close()
    os.close(fd)


def test_a_letter_comes_with_credit_and_nothing_sent():
    fd = create_card(1)
    card = Card(fd, 1)
    base = card.base(0)
    card.write(0, *([1] * 7), cards.PLAIN, 500)
    card.words[base + cards.SENT] = 400
    assert card.words[base + cards.CREDIT] == 500
    card.write(0, *([1] * 7))
    assert (card.words[base + cards.CREDIT], card.words[base + cards.SENT]) == (cards.UNLIMITED, 0)
    card.close()
    os.close(fd)


def test_the_largest_numbers_fit():
    fd = create_card(1)
    card = Card(fd, 1)
    most = (1 << 64) - 1
    card.write(0, most, most, most, most, 10**18, most, most, most)
    assert card.read(0)[1:] == (most, most, most, most, 10**18, most, most, 0, most)
    card.answered[0] = 5 | cards.SENDING
    assert card.answered[0] & ~cards.SENDING == 5
    card.close()
    os.close(fd)


def test_a_sender_is_inside_its_cell():
    assert cards._SENDER + 1 + MAX_SENDER <= CELL
    assert cards.ANSWER_SIZE * 8 + 8 <= cards._UUID
    assert cards.SENT * 8 + 8 <= cards._UUID
    assert cards._UUID + 16 <= cards.WAITING * 8
    assert cards.SERIAL * 8 + 8 <= cards._SENDER


def test_senders_of_all_sizes():
    fd = create_card(1)
    card = Card(fd, 1)
    for size in (MAX_SENDER, 0, 1, 36):
        card.set_sender(0, b"s" * size)
        assert card.sender(0) == b"s" * size
    card.close()
    os.close(fd)


def test_a_wiped_slot_tells_of_nothing():
    fd = create_card(2)
    card = Card(fd, 2)
    for slot in range(2):
        card.write(slot, *range(7))
        card.mails[slot] = 9
    card.wipe(0)
    assert (card.read(0)[0], card.mails[0]) == (cards.IDLE, 0)
    assert (card.read(1)[0], card.mails[1]) == (cards.HANDED, 9)
    card.close()
    os.close(fd)


def test_answers_start_on_a_page():
    fd = create_card(5)
    card = Card(fd, 5)
    assert card._answers % ANSWER_ROOM == 0
    assert card.base(4) * 8 + CELL <= card._answers
    card.close()
    os.close(fd)
