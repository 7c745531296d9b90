"""Output as a page shows it: durations and ids may differ, as may the width of gaps."""

import re
from collections.abc import Iterator


def commands(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a block, each with the output that is shown below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def is_as_shown(said: str, expected: str) -> bool:
    """Whether a command has printed what the page shows; there, a line `...` stands for any lines, a `…` for any text."""
    return re.fullmatch(_pattern(expected), _normal(said)) is not None


def are_as_shown(stdout: str, stderr: str, expected: str) -> bool:
    """The same where both were caught apart: which of them is written first is not certain."""
    errors = stderr.splitlines()
    return any(
        is_as_shown("\n".join([*errors[:at], *stdout.splitlines(), *errors[at:]]), expected)
        for at in range(len(errors) + 1)
    )


def _normal(text: str) -> str:
    text = re.sub(r"\b\d+(\.\d+)? ?(ms|s)\b", "1 ms", text)
    text = re.sub(r"\b[0-9a-f]{16,32}\b", "id", text)
    return "\n".join(re.sub(r" +", " ", line).rstrip() for line in _tree_first(text.strip().splitlines()))


def _tree_first(lines: list[str]) -> list[str]:
    """The lines, those of a run's tree before what the command itself has written meanwhile, since both write at once."""
    start = next((index for index, line in enumerate(lines) if re.match("[✓✗!] workflow ", line)), None)
    if start is None:
        return lines
    end = next((index for index in range(start + 1, len(lines)) if not re.match("[├└│ ]", lines[index])), len(lines))
    return [*lines[start:end], *lines[:start], *lines[end:]]


def _pattern(expected: str) -> str:
    lines = [
        r"(?:.*\n)*?" if line == "..." else f"{re.escape(line).replace('…', '.*?')}\n"
        for line in _normal(expected).splitlines()
    ]
    return "".join(lines).removesuffix("\n") + r"\n?"
