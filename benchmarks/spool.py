"""The spool's engine: append-only segments against SQLite, on the disk that you name.

Both keep records in one directory, append them in batches, acknowledge them in the same batches, and give back what was
left. `append` and `acknowledge` are records a second from one thread; `recover` reads half of them back in a new life.
Policies: `never` leaves writing to the system (SQLite: synchronous=OFF), `batch` syncs before `append` returns
(segments: fdatasync; SQLite: synchronous=FULL, as its NORMAL does not survive a power cut in WAL mode), `always` syncs
acknowledgements too (SQLite does so with FULL as well). Each figure is the median of the rounds, engines interleaved.

    uv run benchmarks/spool.py --directory /var/tmp
    uv run benchmarks/spool.py --rounds 5 --seconds 1
"""

import argparse
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from nat.observability.delivery.spool import FsyncPolicy, Spool

_BYTES_PER_ROUND = 200 * 2**20  # at most
_POLICIES: tuple[FsyncPolicy, ...] = ("never", "batch", "always")


class Engine(Protocol):
    def append(self, records: Sequence[bytes]) -> list[Any]: ...

    def acknowledge(self, ids: Iterable[Any]) -> object: ...

    def recover(self) -> Iterator[tuple[Any, bytes]]: ...

    def close(self) -> None: ...


class SqliteSpool:
    """The other engine, as simple as it can be: one table, WAL."""

    def __init__(self, directory: Path, *, fsync: FsyncPolicy) -> None:
        directory.mkdir(exist_ok=True)
        self._connection = sqlite3.connect(directory / "spool.db", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute(f"PRAGMA synchronous={'OFF' if fsync == 'never' else 'FULL'}")
        self._connection.execute("CREATE TABLE IF NOT EXISTS records (id INTEGER PRIMARY KEY, at REAL, record BLOB)")
        self._next_id = 1

    def append(self, records: Sequence[bytes]) -> list[int]:
        ids = list(range(self._next_id, self._next_id + len(records)))
        self._next_id += len(records)
        now = time.time()
        self._in_transaction(
            "INSERT INTO records VALUES (?, ?, ?)",
            [(number, now, record) for number, record in zip(ids, records, strict=True)],
        )
        return ids

    def acknowledge(self, ids: Iterable[int]) -> None:
        self._in_transaction("DELETE FROM records WHERE id = ?", [(number,) for number in ids])

    def recover(self) -> Iterator[tuple[int, bytes]]:
        yield from self._connection.execute("SELECT id, record FROM records ORDER BY id")

    def close(self) -> None:
        self._connection.close()

    def _in_transaction(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(statement, rows)
        self._connection.execute("COMMIT")


def segments(directory: Path, policy: FsyncPolicy) -> Engine:
    return Spool(directory, max_bytes=2**40, fsync=policy)


def sqlite(directory: Path, policy: FsyncPolicy) -> Engine:
    return cast(Engine, SqliteSpool(directory, fsync=policy))


ENGINES = {"segments": segments, "SQLite": sqlite}


def measure(
    name: str, directory: Path, policy: FsyncPolicy, size: int, batch: int, seconds: float
) -> tuple[float, ...]:
    """Records a second: appended, acknowledged, recovered."""
    shutil.rmtree(directory, ignore_errors=True)
    engine = ENGINES[name](directory, policy)
    records = [os.urandom(size // 2).hex().encode() for _ in range(batch)]
    batches: list[list[Any]] = []
    started = time.perf_counter()
    while time.perf_counter() - started < seconds and len(batches) * batch * size < _BYTES_PER_ROUND:
        batches.append(engine.append(records))
    appended = len(batches) * batch / (time.perf_counter() - started)

    acknowledged = batches[: len(batches) // 2]
    started = time.perf_counter()
    for ids in acknowledged:
        engine.acknowledge(ids)
    acknowledged_per_s = len(acknowledged) * batch / (time.perf_counter() - started)
    engine.close()

    engine = ENGINES[name](directory, policy)
    started = time.perf_counter()
    recovered = sum(1 for _ in engine.recover())
    recovered_per_s = recovered / (time.perf_counter() - started)
    engine.close()
    if recovered != (len(batches) - len(acknowledged)) * batch:
        sys.exit(f"{name}: {recovered} records recovered of {(len(batches) - len(acknowledged)) * batch}")
    return appended, acknowledged_per_s, recovered_per_s


def main() -> None:
    parser = argparse.ArgumentParser(description="Segments against SQLite.")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()), help="on the disk to measure")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="of appending, per figure and round")
    arguments = parser.parse_args()
    cases = [(policy, size, batch) for policy in _POLICIES for size in (1_000, 20_000) for batch in (1, 100)]
    figures: dict[tuple[Any, ...], list[tuple[float, ...]]] = defaultdict(list)
    with tempfile.TemporaryDirectory(dir=arguments.directory) as folder:
        for _ in range(arguments.rounds):
            for case in cases:
                for name in ENGINES:
                    figures[(*case, name)].append(measure(name, Path(folder) / "spool", *case, arguments.seconds))
    print("| fsync | record | batch | engine | append/s | acknowledge/s | recover/s |")
    print("|---|---|---|---|---|---|---|")
    for (policy, size, batch, name), rounds in figures.items():
        medians = " | ".join(f"{statistics.median(column):,.0f}" for column in zip(*rounds, strict=True))
        print(f"| {policy} | {size // 1000} KB | {batch} | {name} | {medians} |")


if __name__ == "__main__":
    main()
