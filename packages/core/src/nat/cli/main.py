"""The `nat` command: its options and its commands, which are imported when they are used.

What this module and `nat.cli.commands` import at their top is paid for by `nat --version`.
"""

import gc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import click

from nat.cli.debug import debug_option, log_warnings_to_stderr, print_traceback_if_debug
from nat.cli.errors import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_USAGE, CommandFailed, as_message
from nat.cli.output import say

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["cli", "main"]

_DISTRIBUTION = "nat-telemetry-core"
_COMMAND_GROUP = "nat.cli"

_OWN_COMMANDS = {  # a module of nat.cli.commands each, and its line in `nat -h`
    "dead-letters": "Look at what backends refused for good, send it again, or drop it.",
    "doctor": "Send a test span to every exporter, and say why one does not arrive.",
    "explain": "Show what each exporter would make of a recorded run, processor by processor.",
    "info": "Show installed exporters and their settings.",
    "run": "Run a workflow, once or for every line of a file.",
    "spool": "See what waits on disk to be delivered, and send it.",
    "status": "Show what became of the telemetry of running processes.",
    "validate": "Check a workflow file and list everything that is wrong with it.",
}
_OTHER_COMMANDS = {  # what brings each, and its line in `nat -h`
    "exporter": ("nat-telemetry-testing", "Begin a package for an exporter of your own."),
}
_SHORT_COMMANDS = {"info", "validate"}  # they end before there is garbage worth collecting


class _NatGroup(click.Group):
    """Commands are imported when they are used; what they raise becomes a message."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of our own commands and of those that other distributions bring."""
        return sorted({*_OWN_COMMANDS, *_entry_points()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; `CommandFailed` if another distribution brings it and it is broken."""
        if cmd_name not in _SHORT_COMMANDS:
            gc.enable()
        if cmd_name in _OWN_COMMANDS:
            return _own_command(cmd_name)
        found = _entry_points().get(cmd_name)
        return None if found is None else _foreign_command(cmd_name, found)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with dashes for underscores; the error for an unknown command lists the known ones."""
        if args[0] in _OWN_COMMANDS:  # without a look at what is installed
            return args[0], self.get_command(ctx, args[0]), args[1:]
        known = self.list_commands(ctx)
        name = next((name for name in known if _underscored(name) == _underscored(args[0])), None)
        if name is None and args[0] in _OTHER_COMMANDS:
            distribution = _OTHER_COMMANDS[args[0]][0]
            raise CommandFailed(
                f"command {args[0]!r} comes with {distribution}, which is not installed; pip install {distribution}",
                EXIT_USAGE,
            )
        if name is None:
            raise click.UsageError(f"no command {args[0]!r}{_closest(args[0], known)}; known: {', '.join(known)}", ctx)
        return name, self.get_command(ctx, name), args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        installed = _entry_points()
        foreign = {
            name: f"Command of {' and '.join(map(_origin, found))}."
            for name, found in sorted(installed.items())
            if name not in _OWN_COMMANDS
        }
        for name, (distribution, line) in _OTHER_COMMANDS.items():
            foreign[name] = line if name in installed else f"{line} Comes with {distribution}."
        with formatter.section("Commands"):
            formatter.write_dl([*_OWN_COMMANDS.items(), *foreign.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it raises becomes a message and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click's own; a reader of our output that has gone is no error
        except KeyboardInterrupt:
            say("Interrupted.")
            ctx.exit(EXIT_INTERRUPTED)
        except Exception as exc:
            print_traceback_if_debug(exc)
            raise as_message(exc) from exc


def _underscored(token: str) -> str:
    return token.replace("-", "_")


@click.group(
    cls=_NatGroup,
    context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": _underscored},
    epilog="Every command has its own -h. Dashes and underscores in options are the same.",
)
@click.version_option(package_name=_DISTRIBUTION, prog_name="nat", message="%(prog)s %(version)s")
@debug_option
def cli() -> None:
    """Telemetry for Python AI agents: run a workflow and see its trace."""
    log_warnings_to_stderr()


def main() -> NoReturn:
    """Run the `nat` script; ends the process."""
    exit_code = 0
    gc.disable()  # a sixth of what `nat info` takes; commands that run code of others enable it again
    try:
        cli.main(prog_name="nat")
    except SystemExit as leaving:
        exit_code = leaving.code if isinstance(leaving.code, int) else EXIT_FAILURE
    from nat.cli.leaving import leave

    leave(exit_code)


def _own_command(name: str) -> click.Command:
    from importlib import import_module

    name = _underscored(name)
    command = getattr(import_module(f"nat.cli.commands.{name}"), name)
    assert isinstance(command, click.Command)
    return command


def _foreign_command(name: str, found: "list[EntryPoint]") -> click.Command:
    if len(found) > 1:
        raise CommandFailed(
            f"command {name!r} is claimed by {' and '.join(map(_origin, found))}; uninstall all but one of them.",
            EXIT_USAGE,
        )
    origin = _origin(found[0])
    try:
        command = found[0].load()
    except Exception as exc:
        print_traceback_if_debug(exc)
        raise CommandFailed(
            f"command {name!r} of {origin} cannot be loaded: {type(exc).__name__}: {exc}; "
            "repair or uninstall that distribution (nat --debug shows the traceback)."
        ) from exc
    if not isinstance(command, click.Command):
        raise CommandFailed(
            f"command {name!r} of {origin}: {found[0].value} is {type(command).__name__!r}, expected a click command; "
            "report it to the distribution's author."
        )
    return command


def _entry_points() -> "Mapping[str, list[EntryPoint]]":
    from importlib.metadata import entry_points

    found: dict[str, list[EntryPoint]] = {}
    for entry_point in entry_points(group=_COMMAND_GROUP):
        found.setdefault(entry_point.name, []).append(entry_point)
    return found


def _origin(entry_point: "EntryPoint") -> str:
    dist = entry_point.dist
    return entry_point.value if dist is None else f"{dist.name} {dist.version}"


def _closest(word: str, known: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""
