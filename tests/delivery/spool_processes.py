"""What other processes do with a spool or dead letters: each function is one process, driven by lines on stdin and stdout.

python spool_processes.py FUNCTION DIRECTORY [ARGUMENTS]
"""

import os
import random
import resource
import signal
import sys
from pathlib import Path

from nat.observability.delivery.dead_letters import DeadLetters
from nat.observability.delivery.spool import FsyncPolicy, Spool, SpoolError, SpoolId


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())  # at once, whatever happens next


def record(number: int) -> bytes:
    return b"%d:" % number + b"x" * (number * 37 % 5_000)


def number_of(data: bytes) -> int:
    number = int(data.split(b":")[0])
    assert data == record(number)
    return number


def churn(directory: Path, first: str, fsync: FsyncPolicy) -> None:
    """Append and acknowledge for ever: `appended` after the fact, `acknowledging` before it, `acknowledged` after it."""
    spool = Spool(directory, max_bytes=2**30, fsync=fsync)
    chance = random.Random(int(first))
    number = int(first)
    held: list[tuple[int, SpoolId]] = []
    while True:
        numbers = range(number, number + chance.choice((1, 2, 20)))
        number = numbers.stop
        say("appending", *numbers)
        ids = spool.append([record(each) for each in numbers])
        say("appended", *numbers)
        held += zip(numbers, ids, strict=True)
        chance.shuffle(held)
        done, held = held[: len(held) // 2], held[len(held) // 2 :]
        say("acknowledging", *(each for each, _ in done))
        spool.acknowledge([spool_id for _, spool_id in done])
        say("acknowledged", *(each for each, _ in done))


def hold(directory: Path) -> None:
    """Append one record, and live until stdin ends."""
    spool = Spool(directory, max_bytes=2**20)
    spool.append([record(os.getpid())])
    say("holding", os.getpid())
    sys.stdin.read()


def recover(directory: Path) -> None:
    """At a line on stdin, recover everything, and live until stdin ends."""
    spool = Spool(directory, max_bytes=2**30)
    say("ready")
    sys.stdin.readline()
    say("recovered", *(number_of(data) for _, data in spool.recover()))
    sys.stdin.read()


def full_disk(directory: Path) -> None:
    """Write under a limit of the file size that ends in the middle of a record."""
    spool = Spool(directory, max_bytes=2**30)
    spool.append([b"first"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for _ in range(2):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
        try:
            spool.append([b"small", b"x" * 2_000])
        except SpoolError as exc:
            say("failed", exc.errno, spool.counts().records)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        spool.append([b"after"])
    say("kept", spool.counts().records)


def read_only(directory: Path) -> None:
    """Write, then into a directory that nothing can be made in, then again as before; as a user to whom modes apply."""
    os.chdir(directory)
    if os.geteuid() == 0:
        os.chown(directory, 65_534, 65_534)
        os.seteuid(65_534)
    spool = Spool(Path(), max_bytes=300_000)
    spool.append([b"before"])
    (folder,) = Path().iterdir()
    folder.chmod(0o500)
    for _ in range(2):
        try:
            spool.append([b"x" * 100_000])  # needs a new segment
        except SpoolError as exc:
            say("failed", exc.errno)
    folder.chmod(0o700)
    spool.append([b"after"])
    say("kept", spool.counts().records)


def fork(directory: Path) -> None:
    """The parent dies, the child goes on until stdin ends."""
    spool = Spool(directory, max_bytes=2**20)
    spool.append([b"of the parent"])
    reading, writing = os.pipe()
    if os.fork() == 0:
        say("inherited", spool.counts().records, len(list(spool.recover())))
        (spool_id,) = spool.append([b"of the child"])
        say("reads", spool.read(spool_id).decode())
        os.write(writing, b"done")
        sys.stdin.read()
    else:
        os.read(reading, 4)
        os.kill(os.getpid(), signal.SIGKILL)


def write_letters(directory: Path, first: str) -> None:
    """Add letters for ever; each id is told when it is there."""
    letters = DeadLetters(directory, max_bytes=2**30)
    number = int(first)
    while True:
        say("adding", number)
        letters.add(record(number), reason="HTTP 400", answer=None, exporter="prod", now=float(number))
        say("added", number)
        number += 1


def remove_letters(directory: Path) -> None:
    """At a line on stdin, remove all letters, and tell how many."""
    letters = DeadLetters(directory, max_bytes=2**30)
    ids = [letter.id for letter in letters.entries()]
    say("ready")
    sys.stdin.readline()
    say("removed", sum(letters.remove([letter_id]) for letter_id in ids))


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
