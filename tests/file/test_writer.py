"""The writer: whole lines, beside any number of other threads and processes, in a bounded number of files."""

import errno
import json
import logging
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nat.plugins.file.paths import rolled_paths
from nat.plugins.file.writer import FileWriter, Rolling
from tests.support.left_behind import LeftBehind

_spawn = multiprocessing.get_context("spawn")


def lines(*numbers: int, size: int = 0) -> list[bytes]:
    return [json.dumps({"n": number, "pad": "x" * size}).encode() + b"\n" for number in numbers]


def numbers(*paths: Path) -> list[int]:
    return [json.loads(line)["n"] for path in paths for line in path.read_bytes().splitlines()]


def write_many(path: Path, worker: int, count: int, rolling: Rolling | None) -> None:
    """What one process does: batches of one to five lines of odd lengths."""
    writer = FileWriter(path, rolling=rolling)
    first = worker * 100_000
    while count > 0:
        batch = min(count, 1 + count % 5)
        writer.write([line for n in range(first, first + batch) for line in lines(n, size=n * 37 % 3_000)])
        first, count = first + batch, count - batch


def overwrite(path: Path, number: int) -> None:
    FileWriter(path, mode="overwrite").write(lines(number))


def test_lines_are_on_disk_when_write_returns(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "traces.jsonl"

    FileWriter(path).write(lines(1, 2))

    assert path.read_bytes() == b'{"n": 1, "pad": ""}\n{"n": 2, "pad": ""}\n'
    assert list(path.parent.iterdir()) == [path]


def test_a_new_file_is_for_its_owner_only_and_an_old_one_keeps_its_mode(tmp_path: Path) -> None:
    new, old = tmp_path / "new.jsonl", tmp_path / "old.jsonl"
    old.touch()
    old.chmod(0o640)
    rolling = Rolling(max_file_size_bytes=1, max_files=2)

    FileWriter(new).write(lines(1))
    FileWriter(old, rolling=rolling).write(lines(1, 2))

    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    assert [stat.S_IMODE(path.stat().st_mode) for path in (old, *rolled_paths(old))] == [0o640, 0o640]


def test_no_file_stays_open(tmp_path: Path) -> None:
    writer = FileWriter(tmp_path / "a.jsonl", rolling=Rolling(max_file_size_bytes=50, max_files=3))
    before = LeftBehind()

    for n in range(100):
        writer.write(lines(n, n))

    before.assert_nothing()


def test_overwrite_empties_once_per_process_and_path(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"from an earlier process\n")

    for n in range(3):
        FileWriter(path, mode="overwrite").write(lines(n))

    assert numbers(path) == [0, 1, 2]
    child = _spawn.Process(target=overwrite, args=(path, 9))
    child.start()
    child.join()
    assert numbers(path) == [9]


def test_append_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n": 0}\n')

    FileWriter(path).write(lines(1))

    assert numbers(path) == [0, 1]


def test_rolling_bounds_size_and_number_of_files(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    writer = FileWriter(path, rolling=Rolling(max_file_size_bytes=200, max_files=3))

    for n in range(0, 100, 4):
        writer.write(lines(*range(n, n + 4), size=20))
        assert len(list(tmp_path.iterdir())) <= 3

    files = [*rolled_paths(path), path]
    assert [file.name for file in files] == ["traces.000023.jsonl", "traces.000024.jsonl", "traces.jsonl"]
    assert all(0 < file.stat().st_size <= 200 for file in files)
    assert numbers(*files) == list(range(100))[-len(numbers(*files)) :]


def test_one_batch_rolls_as_often_as_it_must(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"

    FileWriter(path, rolling=Rolling(max_file_size_bytes=100, max_files=50)).write(lines(*range(100), size=20))

    files = [*rolled_paths(path), path]
    assert len(files) == 50
    assert numbers(*files) == list(range(100))


def test_a_line_larger_than_a_file_gets_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    small, large = lines(1), lines(2, size=500)

    FileWriter(path, rolling=Rolling(max_file_size_bytes=100, max_files=5)).write([*small, *large, *small])

    assert [numbers(file) for file in (*rolled_paths(path), path)] == [[1], [2], [1]]


def test_a_single_file_starts_over_when_full(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"

    FileWriter(path, rolling=Rolling(max_file_size_bytes=100, max_files=1)).write(lines(*range(20), size=20))

    assert list(tmp_path.iterdir()) == [path]
    assert numbers(path)[-1] == 19


def test_cleanup_deletes_what_earlier_processes_rolled_once(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    for name in ("traces.000007.jsonl", "traces.000012.jsonl", "traces.jsonl", "traces.old.jsonl"):
        (tmp_path / name).write_bytes(b'{"n": 0}\n')
    rolling = Rolling(max_file_size_bytes=20, max_files=5)

    FileWriter(path, rolling=rolling, cleanup=True).write(lines(1))
    FileWriter(path, rolling=rolling, cleanup=True).write(lines(2))

    assert numbers(*rolled_paths(path), path) == [0, 1, 2]
    assert (tmp_path / "traces.old.jsonl").exists()


@pytest.mark.parametrize("rolling", [None, Rolling(max_file_size_bytes=20_000, max_files=1_000)])
def test_threads_share_a_file(tmp_path: Path, rolling: Rolling | None) -> None:
    path = tmp_path / "traces.jsonl"

    with ThreadPoolExecutor(8) as threads:
        for worker in range(8):
            threads.submit(write_many, path, worker, 100, rolling)

    found = numbers(*rolled_paths(path), path)
    assert sorted(found) == [worker * 100_000 + n for worker in range(8) for n in range(100)]
    for worker in range(8):
        own = [n for n in found if n // 100_000 == worker]
        assert own == sorted(own)


@pytest.mark.parametrize("rolling", [None, Rolling(max_file_size_bytes=20_000, max_files=1_000)])
def test_processes_share_a_file(tmp_path: Path, rolling: Rolling | None) -> None:
    path = tmp_path / "traces.jsonl"
    processes = [_spawn.Process(target=write_many, args=(path, worker, 150, rolling)) for worker in range(4)]

    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    found = numbers(*rolled_paths(path), path)
    assert sorted(found) == [worker * 100_000 + n for worker in range(4) for n in range(150)]
    for worker in range(4):
        own = [n for n in found if n // 100_000 == worker]
        assert own == sorted(own)


def test_processes_that_roll_at_once_keep_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    rolling = Rolling(max_file_size_bytes=4_000, max_files=3)
    processes = [_spawn.Process(target=write_many, args=(path, worker, 100, rolling)) for worker in range(4)]
    most = 0

    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        most = max(most, len(list(tmp_path.iterdir())))
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert 2 <= most <= 3
    assert numbers(*rolled_paths(path), path)


def test_a_forked_child_writes_to_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    program = (
        "import os, sys; from pathlib import Path; from nat.plugins.file.writer import FileWriter\n"
        "writer = FileWriter(Path(sys.argv[1]), mode='overwrite')\n"
        "writer.write([b'{\"n\": 1}\\n'])\n"
        "child = os.fork()\n"
        "writer.write([b'{\"n\": 2}\\n'])\n"
        "child and os.waitpid(child, 0)\n"
    )

    subprocess.run([sys.executable, "-c", program, str(path)], check=True)

    assert numbers(path) == [1, 2, 2]


def test_a_removed_file_or_folder_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "traces.jsonl"
    writer = FileWriter(path)
    writer.write(lines(1))

    path.unlink()
    writer.write(lines(2))
    path.unlink()
    path.parent.rmdir()
    writer.write(lines(3))

    assert numbers(path) == [3]


def test_a_full_disk_leaves_no_part_of_a_batch(tmp_path: Path) -> None:
    """With a limit on file sizes, the batch that does not fit is cut off again, and a smaller one still fits."""
    path = tmp_path / "traces.jsonl"
    program = (
        "import resource, sys; from pathlib import Path; from nat.plugins.file.writer import FileWriter\n"
        "writer = FileWriter(Path(sys.argv[1]))\n"
        "writer.write([b'{\"n\": 1}\\n'])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try:\n"
        "    writer.write([b'{\"n\": 2}\\n'] * 50)\n"
        "except OSError as error:\n"
        "    print(error.errno)\n"
        "writer.write([b'{\"n\": 3}\\n'])\n"
    )

    done = subprocess.run([sys.executable, "-c", program, str(path)], check=True, capture_output=True, text=True)

    assert done.stdout == f"{errno.EFBIG}\n"
    assert numbers(path) == [1, 3]


def test_a_batch_that_fails_after_rolling_is_cut_off_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "traces.jsonl"
    writer = FileWriter(path, rolling=Rolling(max_file_size_bytes=60, max_files=10))
    writer.write(lines(1))
    real_write = os.write

    def write_until_full(descriptor: int, data: bytes) -> int:
        if b'"n": 5' in bytes(data):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(descriptor, data)

    monkeypatch.setattr(os, "write", write_until_full)
    with pytest.raises(OSError, match="No space left"):
        writer.write(lines(2, 3, 4, 5, 6))
    monkeypatch.undo()
    writer.write(lines(2, 3, 4, 5, 6))

    assert numbers(*rolled_paths(path), path) == [1, 2, 3, 4, 5, 6]


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "traces.jsonl"
    real_write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real_write(descriptor, bytes(data)[:3]))

    FileWriter(path).write(lines(1, 2))

    assert numbers(path) == [1, 2]


def test_dev_full_says_that_there_is_no_space() -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        FileWriter(Path("/dev/full")).write(lines(1))

    assert caught.value.errno == errno.ENOSPC


def test_dev_null_takes_everything() -> None:
    FileWriter(Path("/dev/null"), mode="overwrite", rolling=Rolling(1, 1)).write(lines(1, 2, 3))


def test_an_unfinished_line_of_a_killed_writer_is_cut_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_bytes(b'{"n": 1}\n' + b'{"n": 2, "pad": "' + b"x" * 200_000)

    with caplog.at_level(logging.WARNING, "nat.observability"):
        FileWriter(path).write(lines(3))

    assert numbers(path) == [1, 3]
    assert caplog.messages == [f"{path}: 200017 bytes of an unfinished line were cut off its end"]


@pytest.mark.parametrize("tail", ['{"n": 2}', "text of somebody else"])
def test_a_last_line_that_only_lacks_its_newline_is_kept(tmp_path: Path, tail: str) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text(f'{{"n": 1}}\n{tail}')

    FileWriter(path).write(lines(3))

    assert path.read_text().splitlines() == ['{"n": 1}', tail, '{"n": 3, "pad": ""}']


def test_a_stopped_process_that_holds_the_lock_delays_but_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "traces.jsonl"
    monkeypatch.setattr("nat.plugins.file.writer._LOCK_TIMEOUT_S", 0.1)
    program = (
        "import fcntl, os, signal, sys\n"
        "fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
        "fcntl.flock(fd, fcntl.LOCK_EX)\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)]) as holder:
        os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WNOWAIT)

        with pytest.raises(TimeoutError, match="another process keeps it locked"):
            FileWriter(path).write(lines(1))
        holder.send_signal(signal.SIGKILL)

    FileWriter(path).write(lines(1))
    assert numbers(path) == [1]


def test_rolling_needs_positive_numbers() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0 and 5"):
        Rolling(max_file_size_bytes=0, max_files=5)
