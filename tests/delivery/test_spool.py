"""The spool: what it took is there until it is acknowledged, whoever dies, and whatever happens to the disk."""

import errno
import os
import random
import shutil
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nat.observability.delivery.spool import (
    FsyncPolicy,
    OwnerSurvey,
    Spool,
    SpoolCounts,
    SpoolError,
    SpoolFullError,
    SpoolId,
    exporter_directories,
    exporter_directory,
    survey,
)
from tests.delivery.spool_kills import killed_while_appending, line, process, tell
from tests.delivery.spool_processes import number_of

_FRAME_BYTES = 24  # what a record takes beside its payload


def a_spool(directory: Path, **settings: Any) -> Spool:
    return Spool(directory, **{"max_bytes": 2**30, **settings})


def left(directory: Path, *records: bytes) -> Path:
    """A directory with what a process that is gone has left; its segment."""
    spool = a_spool(directory)
    spool.append(records)
    spool.close()
    (path,) = directory.glob("*/*.seg")
    return path


def recovered(directory: Path, **settings: Any) -> list[bytes]:
    """What a next process finds; it leaves everything there."""
    spool = a_spool(directory, **settings)
    found = [data for _, data in spool.recover()]
    spool.close()
    return found


# -- keeping and letting go ------------------------------------------------------------------------------------------------


def test_what_is_not_acknowledged_is_there_for_the_next_process_in_order(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    ids = spool.append([b"a", b"b", b"", b"c"]) + spool.append([b"d" * 100_000])

    spool.acknowledge([ids[1]])
    spool.close()

    assert recovered(tmp_path) == [b"a", b"", b"c", b"d" * 100_000]
    assert recovered(tmp_path) == [b"a", b"", b"c", b"d" * 100_000]


def test_nothing_is_left_on_disk_when_everything_is_acknowledged(tmp_path: Path) -> None:
    spool = a_spool(tmp_path, max_bytes=600_000)
    ids = [spool.append([b"x" * 10_000])[0] for _ in range(50)]

    spool.acknowledge(ids)

    assert spool.counts() == SpoolCounts(bytes=spool.counts().bytes)
    assert spool.counts().bytes < 100_000
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_records_that_were_recovered_are_deleted_when_they_are_acknowledged(tmp_path: Path) -> None:
    left(tmp_path, b"a", b"b")
    spool = a_spool(tmp_path)

    spool.acknowledge([spool_id for spool_id, _ in spool.recover()])

    assert spool.counts() == SpoolCounts()
    assert list(tmp_path.iterdir()) == []


def test_acknowledging_twice_or_too_late_changes_nothing(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    ids = spool.append([b"a", b"b"])

    spool.acknowledge(ids[:1])
    spool.acknowledge(ids[:1])
    spool.acknowledge([SpoolId(99, 0, 1)])

    assert spool.counts().records == 1
    spool.close()
    spool.acknowledge(ids)
    assert recovered(tmp_path) == [b"b"]


def test_a_record_can_be_read_until_it_is_acknowledged(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    first, second = spool.append([b"a", b"b"])

    assert (spool.read(first), spool.read(second)) == (b"a", b"b")
    spool.acknowledge([first])
    with pytest.raises(KeyError):
        spool.read(first)


def test_a_damaged_record_is_not_read_as_if_it_were_whole(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    (spool_id,) = spool.append([b"abc"])
    (path,) = tmp_path.glob("*/*.seg")
    path.write_bytes(path.read_bytes().replace(b"abc", b"abd"))

    with pytest.raises(SpoolError, match="a record was damaged on disk"):
        spool.read(spool_id)


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    spool = a_spool(tmp_path / "a" / "spool")
    ids = spool.append([b"a", b"b"])
    spool.acknowledge(ids[:1])

    modes = {path.suffix or path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*")}

    assert {mode for path, mode in modes.items() if path in ("owner", ".seg", ".ack")} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*") if path.is_dir()} == {0o700}


@pytest.mark.parametrize("fsync", ["never", "batch", "always"])
def test_every_fsync_policy_keeps_and_lets_go(tmp_path: Path, fsync: FsyncPolicy) -> None:
    spool = a_spool(tmp_path, fsync=fsync, max_bytes=2**20)
    ids = [spool.append([b"x" * 30_000, b"%d" % number]) for number in range(8)]

    spool.acknowledge([pair[0] for pair in ids])
    spool.close()

    assert recovered(tmp_path) == [b"%d" % number for number in range(8)]


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.binary(max_size=200), max_size=5), max_size=8),
    st.randoms(use_true_random=False),
)
def test_whatever_the_records_are_they_come_back(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], chance: random.Random
) -> None:
    directory = tmp_path_factory.mktemp("spool")
    expected: list[bytes] = []
    for batch in batches:
        spool = a_spool(directory)
        kept: list[bytes] = []
        for spool_id, data in [*spool.recover(), *zip(spool.append(batch), batch, strict=True)]:
            if chance.random() < 0.3:
                spool.acknowledge([spool_id])
            else:
                kept.append(data)
        expected = kept
        assert spool.counts().records == len(expected)
        spool.close()

    assert recovered(directory) == expected


def test_many_threads_share_a_spool(tmp_path: Path) -> None:
    spool = a_spool(tmp_path, max_bytes=2**22)
    kept: list[bytes] = []

    def work(worker: int) -> None:
        for number in range(100):
            data = b"%d/%d" % (worker, number) + b"." * 500
            odd, even = spool.append([data + b"a", data + b"b"])
            assert spool.read(even) == data + b"b"
            spool.acknowledge([odd])
            kept.append(data + b"b")

    workers = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert spool.counts().records == 800
    spool.close()
    assert sorted(recovered(tmp_path)) == sorted(kept)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_bytes": 0}, "max_bytes must be at least 1, got 0"),
        ({"max_age_s": 0.0}, "max_age must be more than 0 seconds, got 0.0"),
        ({"fsync": "sometimes"}, "fsync must be never, batch or always, got 'sometimes'"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        a_spool(tmp_path, **settings)


# -- caps ------------------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused_whole_until_there_is_room(tmp_path: Path) -> None:
    spool = a_spool(tmp_path, max_bytes=300_000)
    ids = [spool.append([b"x" * 50_000])[0] for _ in range(5)]

    with pytest.raises(SpoolFullError, match="2 records do not fit into the 300,000 bytes of its cap") as refused:
        spool.append([b"y" * 40_000, b"z" * 40_000])

    assert refused.value.count == 2
    assert spool.counts().records == 5
    spool.acknowledge(ids[:2])
    assert len(spool.append([b"y" * 40_000, b"z" * 40_000])) == 2


def test_the_cap_is_that_of_the_directory(tmp_path: Path) -> None:
    """What other processes, dead ones and damaged records take counts too."""
    other = a_spool(tmp_path)
    other.append([b"x" * 200_000])
    spool = a_spool(tmp_path, max_bytes=300_000)

    with pytest.raises(SpoolFullError):
        spool.append([b"x" * 150_000])

    other.close()
    ids = [spool_id for spool_id, _ in spool.recover()]
    with pytest.raises(SpoolFullError):
        spool.append([b"x" * 150_000])
    spool.acknowledge(ids)
    assert len(spool.append([b"x" * 150_000])) == 1


def test_what_is_too_old_is_deleted_and_counted_in_items(tmp_path: Path) -> None:
    old = a_spool(tmp_path, items_of=len, clock=lambda: 1_000.0)
    old.append([b"abc", b"de"])
    old.close()
    young = a_spool(tmp_path, items_of=len, clock=lambda: 1_100.0)
    young.append([b"fghi"])
    young.close()

    spool = a_spool(tmp_path, items_of=len, max_age_s=60.0, clock=lambda: 1_150.0)
    found = [data for _, data in spool.recover()]

    assert found == [b"fghi"]
    assert (spool.counts().expired, spool.counts().records, spool.counts().items) == (5, 1, 4)
    assert len(list(tmp_path.glob("*/*.seg"))) == 1


# -- damage ----------------------------------------------------------------------------------------------------------------


def test_a_record_cut_at_any_byte_costs_only_itself(tmp_path: Path) -> None:
    whole = left(tmp_path, b"first", b"second").read_bytes()
    first_end = _FRAME_BYTES + len(b"first")
    (segment,) = tmp_path.glob("*/*.seg")

    for end in range(len(whole) + 1):
        segment.write_bytes(whole[:end])
        spool = a_spool(tmp_path)
        found = [data for _, data in spool.recover()]
        corrupt = spool.counts().corrupt
        spool.close()
        segment.parent.mkdir(exist_ok=True)  # it goes when it holds nothing
        (segment.parent / "owner").touch()

        assert found == [b"first", b"second"][: (end >= first_end) + (end == len(whole))]
        assert corrupt == 0
    assert not (tmp_path / "corrupt").exists()


def test_zeros_at_the_end_are_what_a_crashed_machine_leaves(tmp_path: Path) -> None:
    segment = left(tmp_path, b"first")
    segment.write_bytes(segment.read_bytes() + bytes(4_096))
    spool = a_spool(tmp_path)

    assert [data for _, data in spool.recover()] == [b"first"]
    assert spool.counts().corrupt == 0


def test_a_damaged_byte_costs_only_its_record_which_is_set_aside(tmp_path: Path) -> None:
    whole = left(tmp_path, b"first", b"second", b"third").read_bytes()
    (segment,) = tmp_path.glob("*/*.seg")
    start = _FRAME_BYTES + len(b"first")
    end = start + _FRAME_BYTES + len(b"second")

    for at in range(start, end):
        damaged = bytearray(whole)
        damaged[at] ^= 0x41
        segment.write_bytes(damaged)
        segment.with_suffix(".ack").unlink(missing_ok=True)
        spool = a_spool(tmp_path)

        assert [data for _, data in spool.recover()] == [b"first", b"third"]
        assert spool.counts().corrupt == 1
        (kept,) = (tmp_path / "corrupt").iterdir()
        assert kept.read_bytes() == damaged[start:end]
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        spool.close()
        assert recovered(tmp_path) == [b"first", b"third"]


def test_damage_is_counted_once(tmp_path: Path) -> None:
    segment = left(tmp_path, b"first", b"second")
    segment.write_bytes(segment.read_bytes().replace(b"first", b"worst"))
    recovered(tmp_path)
    spool = a_spool(tmp_path)

    assert [data for _, data in spool.recover()] == [b"second"]
    assert spool.counts().corrupt == 0


def test_a_file_of_anything_else_is_set_aside(tmp_path: Path) -> None:
    segment = left(tmp_path, b"first")
    segment.write_bytes(b"hello\n" * 1_000)
    spool = a_spool(tmp_path)

    assert list(spool.recover()) == []
    assert spool.counts().corrupt == 1
    assert [path.read_bytes() for path in (tmp_path / "corrupt").iterdir()] == [b"hello\n" * 1_000]
    assert list(tmp_path.iterdir()) == [tmp_path / "corrupt"]


def test_damaged_acknowledgements_bring_records_back_rather_than_lose_any(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    ids = spool.append([b"a", b"b", b"c"])
    spool.acknowledge(ids[:1])
    spool.acknowledge(ids[1:2])
    spool.close()
    (path,) = tmp_path.glob("*/*.ack")
    written = path.read_bytes()

    path.write_bytes(bytes([written[0] ^ 1]) + written[1:-1])  # one is damaged, the other cut
    assert recovered(tmp_path) == [b"a", b"b", b"c"]

    path.write_bytes(written[:-1])  # what is written behind half a one is read
    next_one = a_spool(tmp_path)
    next_one.acknowledge([spool_id for spool_id, data in next_one.recover() if data == b"c"])
    next_one.close()
    assert recovered(tmp_path) == [b"b"]


# -- the disk --------------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_said_and_half_a_batch_taken_back(tmp_path: Path) -> None:
    with process("full_disk", tmp_path) as writer:
        said = [line(writer) for _ in range(3)]

    assert said == [["failed", str(errno.EFBIG), "1"], ["failed", str(errno.EFBIG), "2"], ["kept", "3"]]
    assert recovered(tmp_path) == [b"first", b"after", b"after"]


def test_half_a_batch_that_cannot_be_taken_back_harms_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = a_spool(tmp_path)
    spool.append([b"before"])
    write = os.write

    def write_half(descriptor: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(errno.EIO, "input/output error")
        return write(descriptor, data[:40])

    def refuse(descriptor: int, length: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write_half)
        patched.setattr(os, "ftruncate", refuse)
        with pytest.raises(SpoolError) as said:
            spool.append([b"x" * 30])
    spool.append([b"after"])
    spool.close()

    assert said.value.errno == errno.EIO
    assert recovered(tmp_path) == [b"before", b"after"]


def test_a_removed_directory_is_said_once_and_made_again(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    spool = a_spool(directory)
    ids = spool.append([b"a", b"b"])
    shutil.rmtree(directory)

    with pytest.raises(SpoolError, match="removed or replaced while in use, and 2 records with it") as said:
        spool.append([b"c"])

    assert said.value.errno == errno.ENOENT
    assert spool.counts() == SpoolCounts()
    spool.append([b"c"])
    spool.acknowledge(ids)
    spool.close()
    assert recovered(directory) == [b"c"]


def test_acknowledging_what_somebody_removed_is_no_error(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    left(directory, b"a", b"b")
    spool = a_spool(directory)
    ids = [spool_id for spool_id, _ in spool.recover()] + spool.append([b"c", b"d"])
    shutil.rmtree(directory)

    spool.acknowledge(ids)

    assert spool.counts().records == 0
    assert len(spool.append([b"e"])) == 1


def test_a_directory_that_cannot_be_made_is_said_and_used_when_it_can(tmp_path: Path) -> None:
    obstacle = tmp_path / "spool"
    obstacle.write_text("in the way")
    spool = a_spool(obstacle)

    for _ in range(2):
        with pytest.raises(SpoolError) as said:
            spool.append([b"a"])
        assert said.value.errno in (errno.EEXIST, errno.ENOTDIR)
        assert said.value.filename == str(obstacle)
    obstacle.unlink()

    assert len(spool.append([b"a"])) == 1


def test_a_directory_that_becomes_read_only_is_said_and_used_again_later(tmp_path: Path) -> None:
    with process("read_only", tmp_path) as writer:
        said = [line(writer) for _ in range(3)]

    assert said == [["failed", str(errno.EACCES)], ["failed", str(errno.EACCES)], ["kept", "2"]]
    assert recovered(tmp_path) == [b"before", b"after"]


def test_a_segment_that_cannot_be_deleted_is_deleted_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = a_spool(tmp_path, max_bytes=2**20)
    ids = [spool.append([b"x" * 100_000])[0] for _ in range(2)]

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, "read-only", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        with pytest.raises(SpoolError):
            spool.acknowledge(ids[:1])
        assert len(spool.append([b"x" * 100_000])) == 1
    assert len(list(tmp_path.glob("*/*.seg"))) == 3
    spool.append([b"x" * 100_000])

    assert len(list(tmp_path.glob("*/*.seg"))) == 3


def test_acknowledgements_that_could_not_be_written_are_written_later(tmp_path: Path) -> None:
    spool = a_spool(tmp_path)
    ids = spool.append([b"a", b"b", b"c"])
    (segment,) = tmp_path.glob("*/*.seg")
    segment.with_suffix(".ack").mkdir()  # in the way

    with pytest.raises(SpoolError):
        spool.acknowledge(ids[:1])
    assert spool.counts().records == 2
    segment.with_suffix(".ack").rmdir()
    spool.acknowledge(ids[1:2])
    spool.close()

    assert recovered(tmp_path) == [b"c"]


# -- several processes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fsync", ["never", "batch"])
def test_a_killed_process_loses_nothing_that_it_had_been_told_was_kept(tmp_path: Path, fsync: FsyncPolicy) -> None:
    """Killed at random moments: all that was appended and not acknowledged comes back; nothing acknowledged does."""
    for round_number in range(5):
        killed_while_appending(tmp_path / str(round_number), round_number * 1_000_000, fsync)


def test_a_living_process_keeps_its_records_and_a_dead_ones_are_adopted(tmp_path: Path) -> None:
    with process("hold", tmp_path) as holder:
        _, number = line(holder)
        spool = a_spool(tmp_path)
        assert list(spool.recover()) == []
        holder.kill()
        holder.wait()

        assert [number_of(data) for _, data in spool.recover()] == [int(number)]
        assert list(spool.recover()) == []


def test_of_several_processes_one_adopts_each_folder(tmp_path: Path) -> None:
    for number in range(20):
        spool = a_spool(tmp_path)
        spool.append([b"%d:" % each + b"x" * (each * 37 % 5_000) for each in range(number * 10, number * 10 + 10)])
        spool.close()
    with (
        process("recover", tmp_path) as one,
        process("recover", tmp_path) as two,
        process("recover", tmp_path) as three,
    ):
        everybody = (one, two, three)
        for each in everybody:
            assert line(each) == ["ready"]
        for each in everybody:
            tell(each)
        found = [number for each in everybody for number in line(each)[1:]]

    assert sorted(map(int, found)) == list(range(200))


def test_two_spools_of_one_process_do_not_take_from_each_other(tmp_path: Path) -> None:
    one, two = a_spool(tmp_path), a_spool(tmp_path)
    one.append([b"a"])
    two.append([b"b"])

    assert list(one.recover()) == []
    one.close()
    assert [data for _, data in two.recover()] == [b"a"]


def test_a_forked_child_owns_nothing_of_its_parent(tmp_path: Path) -> None:
    """The parent's records are adopted when it dies, although the child lives on."""
    with process("fork", tmp_path) as parent:
        assert line(parent) == ["inherited", "0", "0"]
        assert line(parent) == ["reads", "of", "the", "child"]
        parent.wait()

        assert [owner.is_live for owner in survey(tmp_path)] == [False, True]
        assert recovered(tmp_path) == [b"of the parent"]


def test_what_half_made_and_half_removed_folders_hold_is_cleaned_up(tmp_path: Path) -> None:
    (tmp_path / "00000000000000000001-1-00").mkdir()
    (tmp_path / ".new-00000000000000000001-1-00").mkdir()
    (tmp_path / ".new-00000000000000000001-1-00" / "owner").touch()
    (tmp_path / "00000000000000000002-1-00").mkdir()
    for name in ("owner", "00000001.ack"):
        (tmp_path / "00000000000000000002-1-00" / name).touch()

    assert list(a_spool(tmp_path).recover()) == []
    assert [path.name[:4] for path in tmp_path.iterdir()] == [".new"]  # it may be somebody's who is at it now
    assert list(a_spool(tmp_path, clock=lambda: 1e10).recover()) == []
    assert list(tmp_path.iterdir()) == []


# -- from outside ----------------------------------------------------------------------------------------------------------


def test_a_survey_tells_what_there_is_and_takes_no_part(tmp_path: Path) -> None:
    spool = a_spool(tmp_path, items_of=len, clock=lambda: 5.0)
    ids = spool.append([b"abc", b"de"])
    spool.acknowledge(ids[1:])
    (folder,) = tmp_path.iterdir()
    size = 2 * _FRAME_BYTES + 5

    assert survey(tmp_path) == [OwnerSurvey(folder, True, 1, 3, size, 5.0)]
    spool.close()
    assert survey(tmp_path) == [OwnerSurvey(folder, False, 1, 3, size, 5.0)]
    assert survey(tmp_path / "nowhere") == []
    assert recovered(tmp_path) == [b"abc"]


@pytest.mark.parametrize(
    ("name", "folder"), [("prod", "prod"), ("a/b", "a%2Fb"), ("..", "%2E."), ("", "%00"), ("ü", "%C3%BC")]
)
def test_every_exporter_has_a_directory_of_its_own(tmp_path: Path, name: str, folder: str) -> None:
    assert exporter_directory(tmp_path, name) == tmp_path / folder
    (tmp_path / folder).mkdir()
    assert exporter_directories(tmp_path) == {name: tmp_path / folder}
