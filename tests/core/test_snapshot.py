"""Values as they are captured: `nat.observability.snapshot`."""

import asyncio
import collections
import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import threading
import time
import tracemalloc
import uuid
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, Field, RootModel, SecretStr, field_serializer

from nat.data_models.span import MimeTypes
from nat.observability.snapshot import clean, encode, encode_line, plain, restore, snapshot, text


class Colour(enum.Enum):
    RED = "red"
    NOT_A_NUMBER = float("nan")


class Level(enum.IntEnum):
    HIGH = 3


class Part(BaseModel):
    x: int = 1


class ColouredPart(Part):
    colour: str = "red"


class Model(BaseModel):
    parts: list[Part]
    key: SecretStr = SecretStr("hunter2")
    hidden: str = Field("hunter2", exclude=True)


class Broken(BaseModel):
    value: Any = None
    hidden: str = Field("hunter2", exclude=True)

    @field_serializer("value")
    def _write(self, value: Any) -> Any:
        raise ValueError("no")


@dataclasses.dataclass
class Record:
    value: Any


@dataclasses.dataclass(slots=True)
class Slotted:
    value: Any


Pair = collections.namedtuple("Pair", "a b")


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("no")


class Cancelling:
    def __repr__(self) -> str:
        raise asyncio.CancelledError


class Hostile:
    __hash__ = None  # type: ignore[assignment]

    @property  # type: ignore[misc]  # what some proxies do
    def __class__(self) -> type:
        raise ValueError("no")

    def __getattribute__(self, name: str) -> Any:
        raise ValueError(name)

    def __iter__(self) -> Any:
        raise ValueError("no")

    def __repr__(self) -> str:
        return "hostile"


class Meta(type):
    def __hash__(cls) -> int:
        raise ValueError("no")

    def __eq__(cls, other: object) -> bool:
        raise ValueError("no")

    def __getattribute__(cls, name: str) -> Any:
        raise ValueError(name)


class OfMeta(metaclass=Meta):
    pass


class OverridingList(list[Any]):
    def __iter__(self) -> Any:
        raise ValueError("no")


class OverridingText(str):
    def __str__(self) -> str:
        raise ValueError("no")


CYCLE: list[Any] = []
CYCLE.append({"me": CYCLE})
DATACLASS_CYCLE = Record(None)
DATACLASS_CYCLE.value = DATACLASS_CYCLE

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(MESSAGES, [{"role": "user", "content": "hi"}], id="messages"),
        pytest.param((1, (2,)), [1, [2]], id="tuples"),
        pytest.param([float("nan"), float("inf"), -float("inf")], ["NaN", "Infinity", "-Infinity"], id="not finite"),
        pytest.param([None, {"a": (None, float("nan"))}], [None, {"a": [None, "NaN"]}], id="nan beside none"),
        pytest.param([None, "null", 1.5], [None, "null", 1.5], id="none stays"),
        pytest.param([Record(float("nan")), None], [{"value": "NaN"}, None], id="nan in dataclass"),
        pytest.param([{float("nan")}, None], [["NaN"], None], id="nan in set"),
        pytest.param([Colour.NOT_A_NUMBER], ["NaN"], id="nan in enum"),
        pytest.param([np.array([1, float("nan")])], [[1.0, "NaN"]], id="nan in array"),
        pytest.param([2**63, 2**64, -(2**64)], [2**63, str(2**64), str(-(2**64))], id="big integers"),
        pytest.param([10**5000], ["<int of 16610 bits>"], id="integer that python does not write"),
        pytest.param(["\ud800", "\ud83d\ude00"], ["\ufffd", "\U0001f600"], id="surrogates"),
        pytest.param({"\ud800": 1}, {"\ufffd": 1}, id="surrogate key"),
        pytest.param(
            [b"abc\n", b"\xff\x00", bytearray(b"x"), memoryview(b"abcd")[::2]],
            ["abc\n", "base64:/wA=", "x", "ac"],
            id="bytes",
        ),
        pytest.param([{3, 1, 2}, frozenset("ba"), {"a", 1, None}], [[1, 2, 3], ["a", "b"], [None, 1, "a"]], id="sets"),
        pytest.param(
            Model(parts=[ColouredPart()]), {"parts": [{"x": 1, "colour": "red"}], "key": "**********"}, id="model"
        ),
        pytest.param(Broken(value=CYCLE), {"value": [{"me": "<cycle>"}]}, id="model that does not serialise"),
        pytest.param(Record(Slotted(1)), {"value": {"value": 1}}, id="dataclasses"),
        pytest.param(Pair(1, 2), {"a": 1, "b": 2}, id="named tuple"),
        pytest.param(
            [np.float32(1.5), np.int8(3), np.bool_(True), np.complex128(1 + 2j)],
            [1.5, 3, True, "(1+2j)"],
            id="numpy scalars",
        ),
        pytest.param(np.arange(4).reshape(2, 2), [[0, 1], [2, 3]], id="array"),
        pytest.param(np.array(["a", None]), ["a", None], id="object array"),
        pytest.param([Colour.RED, Level.HIGH], ["red", 3], id="enums"),
        pytest.param(
            [
                datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.UTC),
                datetime.timedelta(days=1),
                decimal.Decimal("1.50"),
                pathlib.PurePosixPath("/a"),
                uuid.UUID(int=1),
            ],
            ["2024-01-02T03:00:00+00:00", "1 day, 0:00:00", "1.50", "/a", "00000000-0000-0000-0000-000000000001"],
            id="standard library",
        ),
        pytest.param([ValueError("boom"), KeyError()], ["ValueError: boom", "KeyError"], id="exceptions"),
        pytest.param(
            {1: 2, "1": 3, None: 4, (1, 2): 5, b"x": 6, Colour.RED: 7, float("nan"): 8, Unprintable(): 9},
            {
                "1": 2,
                "1 <str>": 3,
                "null": 4,
                "(1, 2)": 5,
                "x": 6,
                "red": 7,
                "NaN": 8,
                "<unprintable Unprintable: ValueError>": 9,
            },
            id="keys",
        ),
        pytest.param({True: 1, 2.5: 2}, {"true": 1, "2.5": 2}, id="more keys"),
        pytest.param(CYCLE, [{"me": "<cycle>"}], id="cycle"),
        pytest.param(DATACLASS_CYCLE, {"value": "<cycle>"}, id="dataclass cycle"),
        pytest.param(
            [Unprintable(), Cancelling()],
            ["<unprintable Unprintable: ValueError>", "<unprintable Cancelling: CancelledError>"],
            id="raising repr",
        ),
        pytest.param([Hostile()], ["hostile"], id="hostile object"),
        pytest.param([OfMeta()], ["<unprintable OfMeta: ValueError>"], id="hostile class"),
        pytest.param([OverridingList([1]), OverridingText("x")], [[1], "x"], id="subclasses"),
        pytest.param({"a": 1}.keys(), ["a"], id="view"),
        pytest.param(collections.deque([1]), [1], id="deque"),
    ],
)
def test_what_a_value_becomes(value: Any, expected: Any) -> None:
    """Every kind of value becomes what the module's table says, in a snapshot, as JSON and in plain terms alike."""
    assert restore(snapshot(value)) == expected
    assert json.loads(encode(value)) == expected
    assert plain(value) == expected


@pytest.mark.parametrize("value", ["text", "", 1, 1.5, True, None, 2**70, "\ud800"])
def test_scalars_are_kept(value: Any) -> None:
    """A scalar is not copied and not encoded."""
    assert snapshot(value) is value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (OverridingText("x"), "x"),
        (Level.HIGH, 3),
        (Colour.RED, "red"),
        (np.float32(1.5), 1.5),
        (np.float64("nan"), "NaN"),
        (b"abc", "abc"),
        (SecretStr("hunter2"), "**********"),
        (RootModel[int](5), 5),
        (datetime.date(2024, 1, 2), "2024-01-02"),
        (ValueError("boom"), "ValueError: boom"),
    ],
)
def test_what_has_no_parts_is_a_scalar(value: Any, expected: Any) -> None:
    """Only lists and mappings become JSON text; a value that is one text or number is that."""
    captured = snapshot(value)

    assert type(captured) is type(expected)
    assert captured == expected


def test_later_changes_change_nothing() -> None:
    """A snapshot is what the value was."""
    messages = [{"role": "user", "content": ["hi"]}]

    captured = snapshot(messages)
    messages[0]["content"] = "changed"

    assert restore(captured) == [{"role": "user", "content": ["hi"]}]


def test_iterators_are_not_consumed() -> None:
    """Generators, iterators and coroutines are still whole after they were captured."""

    async def answer() -> int:
        return 1

    numbers = (number for number in (1, 2))
    iterator = iter([1, 2])
    coroutine = answer()

    captured = restore(
        snapshot([numbers, iterator, coroutine, Record(numbers), {"n": Broken.model_construct(value=numbers)}])
    )

    assert captured[0].startswith("<generator object")
    assert list(numbers) == [1, 2]
    assert list(iterator) == [1, 2]
    assert asyncio.run(coroutine) == 1


def test_objects_of_the_system_are_their_repr() -> None:
    """Locks, modules, functions and files are named, not opened."""
    with pathlib.Path("/dev/null").open() as file:
        captured = restore(snapshot([threading.Lock(), json, len, file, int, range(3)]))

    assert captured[2:3] + captured[4:] == ["<built-in function len>", "<class 'int'>", "range(0, 3)"]
    assert captured[1].startswith("<module 'json'")
    assert all(type(item) is str for item in captured)


def test_deep_nesting_is_cut() -> None:
    """A list nested 100,000 deep is cut where readers of JSON would give up."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    captured = restore(snapshot(deep))

    depth = 0
    while type(captured) is list:
        captured = captured[0]
        depth += 1
    assert captured == "<too deep>"
    assert depth == 250
    while deep:  # else the interpreter takes them apart recursively
        deep = deep.pop()


def test_an_exhausted_stack_cuts_deeper() -> None:
    """Captured at the bottom of a deep recursion, a value still becomes something; what is left of the stack decides what."""
    captured = []
    refused = []

    def down() -> None:
        try:
            captured.append(snapshot([{"a": [float("nan")]}]))
        except RecursionError:
            refused.append(True)
        down()

    with pytest.raises(RecursionError):
        down()

    assert {str(restore(item)) for item in captured[:-100]} == {"[{'a': ['NaN']}]"}
    assert all(type(restore(item)) in (list, str) for item in captured)
    assert len(refused) <= 5  # where not even a call is possible; measuring coverage takes of the stack too


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_interrupts_go_on(stop: type[BaseException]) -> None:
    """Ctrl-C while a value's own code runs is not swallowed."""

    class Interrupting:
        def __repr__(self) -> str:
            raise stop

    for value in (Interrupting(), [Interrupting()], {Interrupting(): 1}, [float("nan"), None, Interrupting()]):
        with pytest.raises(stop):
            snapshot(value)


def test_long_reprs_are_cut() -> None:
    """An object's `repr` is bounded."""

    class Long:
        def __repr__(self) -> str:
            return "x" * 100_000

    captured = snapshot(Long())

    assert captured == "x" * 8_192 + "… <100000 characters>"


def test_huge_values_take_linear_time() -> None:
    """50 MB of text are not copied; a million elements, also with odd keys, take seconds, not hours."""
    huge = "x" * 50_000_000
    started = time.thread_time()

    assert snapshot(huge) is huge
    assert snapshot([huge]).__sizeof__() > 50_000_000
    assert snapshot([float("nan"), None, huge]).__sizeof__() > 50_000_000
    assert len(restore(snapshot([*range(1_000_000), None]))) == 1_000_001
    assert len(restore(snapshot(dict.fromkeys(range(300_000), 1.5)))) == 300_000
    assert time.thread_time() - started < 20


@pytest.mark.parametrize("length", [10, 3_000, 60_000])
def test_a_snapshot_holds_no_more_memory_than_it_says(length: int) -> None:
    """The intake's bound is one on resident memory, so room that a writer has left over would count against it."""
    value = {"text": "a" * length}
    snapshot(value)
    tracemalloc.start()
    try:
        kept = [snapshot(value) for _ in range(100)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert held < 1.2 * sum(captured.__sizeof__() for captured in kept) + 10_000


def test_text_and_its_mime_type() -> None:
    """Text stays text; everything else is JSON."""
    assert text("a \ud800") == ("a \ufffd", MimeTypes.TEXT)
    assert text('{"a": 1}') == ('{"a": 1}', MimeTypes.TEXT)
    assert text(snapshot({"a": 1})) == ('{"a":1}', MimeTypes.JSON)
    assert text(5) == ("5", MimeTypes.JSON)
    assert text(True) == ("true", MimeTypes.JSON)
    assert text(float("nan")) == ('"NaN"', MimeTypes.JSON)
    assert text(10**5000) == ('"<int of 16610 bits>"', MimeTypes.JSON)


def test_a_line_is_a_line_for_every_reader() -> None:
    """None of the line breaks of Unicode is in an encoded line, and all of them come back."""
    value = {"a\u2028b": "1\n2\r3\x0b4\x0c5\x1c6\x1d7\x1e8\x859\u202810\u2029é"}

    line = encode_line(value)

    assert len(line.splitlines()) == 1
    assert json.loads(line) == value


def test_snapshots_compare() -> None:
    """Two snapshots of equal values are equal; one of a list is its JSON text."""
    captured = snapshot([1, 2])

    assert captured == snapshot([1, 2])
    assert hash(captured) == hash(snapshot([1, 2]))
    assert captured != snapshot([1])
    assert captured == b"[1,2]"
    assert clean("é") == "é"
