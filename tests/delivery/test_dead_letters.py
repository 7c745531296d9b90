"""Dead letters: kept with the reason, found by a person, removed only on purpose."""

import errno
import os
import random
import signal
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from nat.observability.delivery.codec import decode, encode
from nat.observability.delivery.dead_letters import DeadLetter, DeadLetterCounts, DeadLetters, DeadLettersFullError
from tests.delivery.spool_kills import line, process, tell
from tests.delivery.spool_processes import number_of

_TRACE = 0x0AF7651916CD43DD8448EB211C80319C
_AT = 1_769_860_862.345678  # 31 January 2026, 12:01:02 UTC


def some_letters(directory: Path, **settings: Any) -> DeadLetters:
    return DeadLetters(directory, **{"max_bytes": 2**30, **settings})


def add(letters: DeadLetters, value: Any = "x", **fields: Any) -> str:
    fields = {"reason": "HTTP 400", "answer": None, "exporter": "prod", "now": _AT, "trace_id": _TRACE, **fields}
    record = encode(value, exporter=fields["exporter"], trace_id=fields.pop("trace_id"), accepted_at=_AT - 5.0, count=2)
    return letters.add(record, **fields)


def test_a_letter_says_what_was_refused_and_why(tmp_path: Path) -> None:
    letters = some_letters(tmp_path)

    letter_id = add(letters, {"a": 1}, answer="no such project")

    (path,) = tmp_path.glob("*/*")
    assert letter_id.startswith("prod/20260131T120102.345678Z-0af7651916cd43dd-")
    assert path == tmp_path / f"{letter_id}.letter"
    assert list(letters.entries()) == [
        DeadLetter(
            letter_id, "prod", _TRACE, "HTTP 400", "no such project", _AT, _AT - 5.0, 2, path.stat().st_size
        )
    ]  # fmt: skip
    assert decode(letters.read(letter_id)).value == {"a": 1}


def test_a_letter_can_be_read_by_a_person(tmp_path: Path) -> None:
    add(some_letters(tmp_path), ["hello"], answer="déjà vu")

    (path,) = tmp_path.glob("*/*")
    why, head, value = path.read_text().splitlines()

    assert why == (
        '{"exporter":"prod","reason":"HTTP 400","answer":"déjà vu","refused_at":1769860862.345678,'
        '"trace_id":"0af7651916cd43dd8448eb211c80319c","accepted_at":1769860857.345678,"count":2}'
    )
    assert head == (
        '{"exporter":"prod","trace_id":"0af7651916cd43dd8448eb211c80319c","accepted_at":1769860857.345678,"count":2}'
    )
    assert value == '["hello"]'


def test_letters_are_found_by_exporter_run_and_age(tmp_path: Path) -> None:
    letters = some_letters(tmp_path, clock=lambda: _AT + 100.0)
    old = add(letters)
    new = add(letters, now=_AT + 60.0, trace_id=None)
    other = add(letters, exporter="a/b", trace_id=0x0AF8 << 112)

    def found(**filters: Any) -> list[str]:
        return [letter.id for letter in letters.entries(**filters)]

    assert found() == [other, old, new]
    assert found(exporter="prod") == [old, new]
    assert found(exporter="a/b") == [other]
    assert found(exporter="nobody") == []
    assert found(run="0AF7") == [old]
    assert found(run="0af") == [other, old]
    assert found(older_than_s=40.0) == [other, old, new]
    assert found(older_than_s=41.0, exporter="prod") == [old]


def test_long_answers_and_reasons_are_cut(tmp_path: Path) -> None:
    letters = some_letters(tmp_path)
    add(letters, reason="r" * 10_000, answer="\ud800" + "a" * 10_000)

    (letter,) = letters.entries()

    assert letter.reason == "r" * 499 + "…"
    assert letter.answer == "\ufffd" + "a" * 1_998 + "…"


def test_bytes_that_are_no_record_are_kept_too(tmp_path: Path) -> None:
    letters = some_letters(tmp_path)

    letter_id = letters.add(b"anything", reason="damaged", answer=None, exporter="prod", now=_AT)

    (letter,) = letters.entries()
    assert (letter.trace_id, letter.accepted_at, letter.count) == (None, None, 1)
    assert letters.read(letter_id) == b"anything"


def test_letters_are_removed_once(tmp_path: Path) -> None:
    letters = some_letters(tmp_path)
    ids = [add(letters), add(letters)]

    assert letters.remove([ids[0], ids[0]]) == 1
    assert [letter.id for letter in letters.entries()] == [ids[1]]
    assert letters.remove(ids) == 1
    assert list(tmp_path.glob("*/*")) == []
    with pytest.raises(KeyError):
        letters.read(ids[0])


@pytest.mark.parametrize("letter_id", ["", "../x", "prod/../../etc", "/etc/passwd", "prod", "../prod/x", "prod/x\0"])
def test_an_id_names_nothing_outside(tmp_path: Path, letter_id: str) -> None:
    letters = some_letters(tmp_path)

    with pytest.raises(KeyError):
        letters.read(letter_id)
    assert letters.remove([letter_id]) == 0


def test_over_the_cap_letters_are_refused_until_some_are_removed(tmp_path: Path) -> None:
    letters = some_letters(tmp_path, max_bytes=10_000)
    ids = [add(letters, "x" * 3_000) for _ in range(2)]

    with pytest.raises(DeadLettersFullError, match=r"dead letters are full: 4,\d\d\d bytes do not fit into 10,000"):
        add(letters, "x" * 4_000)
    letters.remove(ids[:1])

    assert add(letters, "x" * 4_000)


def test_the_cap_is_that_of_the_directory(tmp_path: Path) -> None:
    add(some_letters(tmp_path), "x" * 9_000)

    with pytest.raises(DeadLettersFullError):
        add(some_letters(tmp_path, max_bytes=10_000), "x" * 3_000)
    with pytest.raises(ValueError, match="max_bytes must be at least 1, got 0"):
        some_letters(tmp_path, max_bytes=0)


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    add(some_letters(tmp_path / "a" / "letters"))

    modes = {path.is_dir(): stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*")}

    assert modes == {True: 0o700, False: 0o600}


def test_damaged_files_are_passed_over_and_counted(tmp_path: Path) -> None:
    letters = some_letters(tmp_path)
    good = add(letters)
    size = (tmp_path / f"{good}.letter").stat().st_size
    (tmp_path / "prod" / "1.letter").write_bytes(b"")
    (tmp_path / "prod" / "2.letter").write_bytes(b'{"exporter":1}\n')
    (tmp_path / "prod" / "notes.txt").write_text("mine")

    assert [letter.id for letter in letters.entries()] == [good]
    assert letters.counts() == DeadLetterCounts(letters=1, items=2, bytes=size + 15, damaged=2)


def test_a_directory_that_cannot_be_written_is_said_and_used_when_it_can(tmp_path: Path) -> None:
    obstacle = tmp_path / "letters"
    obstacle.write_text("in the way")
    letters = some_letters(obstacle)

    assert list(letters.entries()) == []
    with pytest.raises(OSError, match="letters") as said:
        add(letters)
    assert said.value.errno in (errno.EEXIST, errno.ENOTDIR)
    obstacle.unlink()

    assert add(letters)


def test_half_a_letter_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = some_letters(tmp_path)

    def refuse(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", refuse)
        with pytest.raises(OSError, match="no space left"):
            add(letters)

    assert list(tmp_path.glob("*/*")) == []
    assert add(letters)


def test_threads_add_and_remove_at_the_same_time(tmp_path: Path) -> None:
    letters = some_letters(tmp_path)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(50):
                assert letters.remove([add(letters)]) == 1
        except BaseException as exc:
            failures.append(exc)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert failures == []
    assert letters.counts() == DeadLetterCounts(0, 0, 0, 0)


def test_a_killed_process_leaves_whole_letters_only(tmp_path: Path) -> None:
    for first in range(0, 5_000_000, 1_000_000):
        seen: dict[str, list[int]] = {"adding": [], "added": []}
        lines_before = random.randrange(1, 200)
        with process("write_letters", tmp_path, first) as writer:
            assert writer.stdout is not None
            for number, text in enumerate(writer.stdout):
                verb, told = text.split()
                seen[verb].append(int(told))
                if number == lines_before:
                    writer.send_signal(signal.SIGKILL)
        letters = some_letters(tmp_path)
        ids = [letter.id for letter in letters.entries()]

        found = [number_of(letters.read(letter_id)) for letter_id in ids]

        assert found in (seen["added"], seen["adding"])
        assert letters.remove(ids) == len(ids)


def test_what_a_killed_process_was_writing_is_no_letter_and_goes(tmp_path: Path) -> None:
    letters = some_letters(tmp_path)
    add(letters)
    mine, old = tmp_path / "prod" / ".new-mine", tmp_path / "prod" / ".new-old"
    mine.touch()
    old.touch()
    os.utime(old, (0, 0))

    assert len(list(letters.entries())) == 1
    add(some_letters(tmp_path))
    assert (mine.exists(), old.exists()) == (True, False)


def test_of_several_processes_each_letter_is_removed_by_one(tmp_path: Path) -> None:
    letters = some_letters(tmp_path)
    for number in range(200):
        add(letters, number)
    with process("remove_letters", tmp_path) as one, process("remove_letters", tmp_path) as two:
        for each in (one, two):
            assert line(each) == ["ready"]
        for each in (one, two):
            tell(each)
        removed = [int(line(each)[1]) for each in (one, two)]

    assert sum(removed) == 200
    assert list(letters.entries()) == []
