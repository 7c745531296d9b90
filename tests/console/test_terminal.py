"""What the console exporter draws on a terminal, as a terminal of 100 by 30 shows it."""

import os
import pty
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.support.waiting import PATIENCE_S, wait_for

_PREAMBLE = """
import os, sys, threading, time
from nat.observability import Telemetry, step
from nat.plugins.console.register import ConsoleConfig
def wait():  # until the test has seen what it waits for
    assert sys.stdin.readline()
"""


class Terminal:
    """A program on a pseudo-terminal, and the screen that it has drawn."""

    def __init__(self, code: str, **environment: str) -> None:
        self._leader, follower = pty.openpty()
        self._shown = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PREAMBLE + textwrap.dedent(code)],
            stdin=subprocess.PIPE,
            stdout=follower,
            stderr=follower,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30", **environment},
        )
        os.close(follower)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def raw(self) -> str:
        return self._shown.decode(errors="replace")

    @property
    def screen(self) -> str:
        """What a terminal shows, for the few codes that are used here."""
        lines, row, column = [""], 0, 0
        for code, char in re.findall(r"(\x1b\[[?\d;]*[A-Za-z])|(.)", self.raw, re.DOTALL):
            if char == "\r":
                column = 0
            elif char == "\n":
                row += 1
                lines.extend([""] * (row + 1 - len(lines)))
            elif char:
                lines[row] = lines[row].ljust(column)[:column] + char + lines[row][column + 1 :]
                column += 1
            elif code == "\x1b[2K":
                lines[row] = ""
            elif code.endswith("A"):
                row -= int(code[2:-1])
        return "\n".join(line.rstrip() for line in lines).rstrip("\n") + "\n"

    def wait_for(self, is_true: Callable[[str], bool]) -> str:
        wait_for(lambda: is_true(self.screen), seen=lambda: self.screen)
        return self.screen

    def go_on(self) -> None:
        """Let `wait()` return."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def ended(self) -> str:
        self.process.communicate(timeout=PATIENCE_S)
        self._reader.join()
        return self.screen

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self._reader.join()
        os.close(self._leader)

    def _read(self) -> None:
        while True:
            try:
                self._shown += os.read(self._leader, 65536)
            except OSError:  # the other end is closed: Linux says so with EIO
                return


@pytest.fixture
def run() -> Iterator[Callable[..., Terminal]]:
    """Run a program on a terminal."""
    terminals: list[Terminal] = []

    def start(code: str, **environment: str) -> Terminal:
        terminals.append(Terminal(code, **environment))
        return terminals[-1]

    yield start
    for terminal in terminals:
        terminal.close()


def without_times(screen: str) -> str:
    return re.sub(r" +[\d.]+ m?s\b", "", screen)


def test_a_run_is_seen_while_it_grows_and_stays_when_it_has_ended(run: Callable[..., Terminal]) -> None:
    """Open steps turn; what is printed meanwhile stands above; the final tree stays and the cursor comes back."""
    terminal = run("""
        with Telemetry(ConsoleConfig()) as telemetry, telemetry.run("weather"):
            with step("plan", kind="llm") as llm:
                llm.usage(prompt_tokens=10, completion_tokens=4)
            with step("look up", kind="tool"):
                print("printed meanwhile", flush=True)
                wait()
        print([thread.name for thread in threading.enumerate() if "live" in thread.name])
    """)

    growing = terminal.wait_for(lambda screen: "look up" in screen and "printed meanwhile\n" in screen)
    terminal.go_on()
    ended = terminal.ended()

    assert re.search(r"^printed meanwhile\n[⠀-⣿] workflow weather .*\n├─ ✓ llm plan .*\n└─ [⠀-⣿] tool look up", growing)
    assert without_times(ended) == (
        "printed meanwhile\n"
        "✓ workflow weather  1 model call  10 → 4 tokens\n"
        "├─ ✓ llm plan  10 → 4 tokens\n"
        "└─ ✓ tool look up\n"
        "[]\n"
    )
    assert terminal.raw.count("\x1b[?25l") == terminal.raw.count("\x1b[?25h") == 1


def test_concurrent_runs_share_the_terminal(run: Callable[..., Terminal]) -> None:
    """Trees of runs that go on at once are below each other; each that ends moves above the others, whole."""
    terminal = run("""
        telemetry = Telemetry(ConsoleConfig()).start()
        ends = {name: threading.Event() for name in ("first", "second", "third")}
        def work(name):
            with telemetry.run(name), step(f"of {name}", kind="tool"):
                ends[name].wait()
        threads = [threading.Thread(target=work, args=(name,)) for name in ends]
        for thread in threads: thread.start()
        wait(); ends["second"].set(); wait()
        ends["first"].set(); ends["third"].set()
        for thread in threads: thread.join()
        telemetry.close()
    """)

    terminal.wait_for(lambda screen: all(f"of {name}" in screen for name in ("first", "second", "third")))
    terminal.go_on()
    partly = terminal.wait_for(lambda screen: "✓ workflow second" in screen and screen.count("\n") == 6)
    terminal.go_on()
    ended = terminal.ended()

    assert without_times(partly).splitlines()[:2] == ["✓ workflow second", "└─ ✓ tool of second"]
    assert partly.count("✓") == 2
    assert sorted(line for line in without_times(ended).splitlines() if "workflow" in line) == [
        "✓ workflow first",
        "✓ workflow second",
        "✓ workflow third",
    ]
    assert ended.count("\n") == 6


def test_a_tree_larger_than_the_terminal(run: Callable[..., Terminal]) -> None:
    """While it grows its first and last lines are seen; at the end all of it is there."""
    terminal = run("""
        with Telemetry(ConsoleConfig()) as telemetry, telemetry.run("long"):
            for number in range(100):
                with step(f"s{number}"):
                    pass
            with step("last"):
                wait()
    """)

    growing = terminal.wait_for(lambda screen: "last" in screen)
    terminal.go_on()
    ended = terminal.ended()

    assert "workflow long" in growing.splitlines()[0]
    assert growing.splitlines()[1] == "│  …"
    assert len(growing.splitlines()) <= 28
    assert [f"function s{number} " in ended for number in range(100)] == [True] * 100


def test_a_narrow_terminal(run: Callable[..., Terminal]) -> None:
    """Names are cut, errors are wrapped below their step."""
    terminal = run(
        """
        with Telemetry(ConsoleConfig()) as telemetry, telemetry.run("narrow"):
            try:
                with step("a tool whose name is far too long for this", kind="tool"):
                    raise ValueError("this is wrong in more words than a line of it can hold")
            except ValueError:
                pass
        """,
        COLUMNS="44",
    )

    assert without_times(terminal.ended()) == (
        "✓ workflow n…\n"
        "└─ ✗ tool a tool …\n"
        "      ValueError: this is wrong in more\n"
        "      words than a line of it can hold\n"
    ).replace("workflow n…", "workflow narrow")


@pytest.mark.parametrize(
    ("config", "environment", "is_live", "is_colored"),
    [
        ("", {}, True, True),
        ("live=False", {}, False, True),
        ("color='never'", {}, True, False),
        ("", {"NO_COLOR": "1"}, True, False),
        ("", {"TERM": "dumb"}, False, False),
    ],
)
def test_what_can_be_turned_off(
    run: Callable[..., Terminal], config: str, environment: dict[str, str], is_live: bool, is_colored: bool
) -> None:
    """`live: false` and a terminal that cannot: the final tree only; `color: never` and `NO_COLOR`: no colours."""
    terminal = run(
        f"""
        with Telemetry(ConsoleConfig({config})) as telemetry, telemetry.run("plain"):
            pass
        """,
        **environment,
    )

    ended = terminal.ended()

    assert without_times(ended) == "✓ workflow plain\n"
    assert ("\x1b[?25l" in terminal.raw) == is_live
    assert ("\x1b[32m" in terminal.raw) == is_colored


def test_a_terminal_that_goes_away_stops_nothing(run: Callable[..., Terminal]) -> None:
    """The workflow goes on to its end; the loss is counted."""
    terminal = run("""
        import json, os
        with Telemetry(ConsoleConfig()) as telemetry:
            with telemetry.run("one"):
                wait()
                os.close(2); os.close(1)
            telemetry.flush()
            with telemetry.run("two"):
                pass
            status = telemetry.flush().exporters["console"]
        os._exit(40 + (status.lost > 0))
    """)

    terminal.wait_for(lambda screen: "workflow one" in screen)
    terminal.go_on()
    terminal.ended()

    assert terminal.process.returncode == 41
