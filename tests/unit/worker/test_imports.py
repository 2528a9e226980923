"""File names on a link."""

from __future__ import annotations

from m2serve.worker.imports import batches


def test_all_are_there_in_messages_that_fit():
    files = [f"/site/{number}/" + "x" * (number % 4000) for number in range(0, 100_000, 97)]
    found = list(batches(files))
    assert [file for batch in found for file in batch] == files
    assert all(sum(map(len, batch)) <= 20_000 for batch in found)
    assert list(batches([])) == []


def test_one_that_is_too_long_goes_alone():
    assert list(batches(["a", "b" * 30_000, "c"])) == [["a"], ["b" * 30_000], ["c"]]
