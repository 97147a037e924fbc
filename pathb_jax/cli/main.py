"""`pathb`: one command for all others."""

import contextlib
import difflib
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Annotated, Any, NamedTuple, Union, cast

from pathb_jax.cli.exit_codes import BAD_INPUT, MEANINGS, OK
from pathb_jax.cli.streams import outlived
from pathb_jax.display.terminal import notice, say
from pathb_jax.errors import InputError


class Command(NamedTuple):
    """A subcommand."""

    module: str
    """Of `pathb_jax.cli`; its `main` is the command."""
    flags: str
    """The class in it that its words are parsed into."""
    summary: str


COMMANDS = {
    "train": Command("train", "TrainFlags", "train one run, or evaluate a checkpoint"),
    "ladder": Command("ladder", "LadderFlags", "run the stability ladder, or print its plan"),
    "status": Command("status", "StatusFlags", "show how far a ladder or any runs are"),
    "verify": Command(
        "verify", "VerifyFlags", "recompute a ladder or run from its files, replay its policies"
    ),
    "report": Command("report", "ReportFlags", "write a ladder's note and page from its files"),
    "judge": Command("judge", "JudgeFlags", "judge any finished runs, and say how sure that is"),
    "diagnose": Command(
        "diagnose", "DiagnoseFlags", "train a protocol's defaults: peak, unwinding, best state"
    ),
    "power": Command(
        "power", "PowerFlags", "say what a protocol would adopt, from finished runs, resampled"
    ),
    "fork": Command(
        "fork", "ForkFlags", "go on from a kept state with one change each, many times"
    ),
    "timeline": Command("timeline", "TimelineFlags", "say what moves first when runs unwind"),
    "plot": Command("plot", "PlotFlags", "draw curves of any runs, with bands over training seeds"),
    "evaluate": Command(
        "evaluate", "EvaluateFlags", "play a checkpoint, policy file or reference controller"
    ),
    "export": Command("export", "ExportFlags", "write a policy as ONNX or StableHLO"),
    "intervene": Command(
        "intervene", "InterveneFlags", "edit channels in mid-episode: what policies steer by"
    ),
    "envelope": Command(
        "envelope", "EnvelopeFlags", "train every lambda with several seeds: where training breaks"
    ),
    "anchors": Command(
        "anchors", "AnchorFlags", "train the anchor rows and compare them with published figures"
    ),
    "check": Command(
        "reproducibility", "ReproducibilityFlags", "try the promises of equal bits; print digests"
    ),
}

OPTIONS = {
    "-h, --help": "print this and exit",
    "--version": "print version and commit and exit",
    "--completion SHELL": "print what completes words in bash, zsh or fish, and exit",
}
SHELLS = ("bash", "zsh", "fish")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; `arguments` default to the process's."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    name, *rest = words or [""]
    if name in COMMANDS:
        if arguments is None:
            sys.argv[0] = f"pathb {name}"  # what its --help calls it
        code: int = _module(name).main(rest)
        return code
    with outlived():
        try:
            return _own(name, rest)
        except InputError as error:
            notice(f"error: {error}")
            return BAD_INPUT


def _own(name: str, rest: Sequence[str]) -> int:
    if name in ("-h", "--help"):
        _help()
    elif name == "--version":
        _version()
    elif name == "--completion":
        if len(rest) != 1 or rest[0] not in SHELLS:
            raise InputError("--completion", " ".join(rest), f"give one of {', '.join(SHELLS)}")
        _completion(rest[0])
    else:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.5)
        allowed = f"did you mean {near[0]}?" if near else f"give one of {', '.join(COMMANDS)}"
        raise InputError("COMMAND", name or "(missing)", f"{allowed} (see pathb --help)")
    return OK


def _help() -> None:
    say("usage: pathb COMMAND [OPTIONS]")
    say("")
    say("A PPO trainer for shadow-field navigation with a pre-registered stability ladder.")
    sections = {
        "commands (pathb COMMAND --help says more)": {
            name: item.summary for name, item in COMMANDS.items()
        },
        "options": OPTIONS,
        "exit codes": MEANINGS,
    }
    for heading, entries in sections.items():
        say("")
        say(f"{heading}:")
        width = max(map(len, entries))
        for entry, text in entries.items():
            say(f"  {entry:{width}}  {text}")


def _version() -> None:
    from pathb_jax.system.source import source_version

    source = source_version()
    commit = f", commit {source['commit'][:12]}" if source["commit"] else ""
    changed = " with changes" if source["dirty"] else ""
    say(f"pathb {source['version']}{commit}{changed}, program {source['program'][:12]}")


def _completion(shell: str) -> None:
    """Print what makes a shell complete the words of all subcommands."""
    import tyro

    from pathb_jax.cli import command

    flags = tuple(
        Annotated[getattr(_module(name), item.flags), tyro.conf.subcommand(name)]
        for name, item in COMMANDS.items()
    )
    with contextlib.suppress(SystemExit):
        words = ["--tyro-write-completion", shell, "-"]
        command.parse(cast(Any, Union[flags]), words, "", prog="pathb")  # noqa: UP007  # made here


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"pathb_jax.cli.{COMMANDS[name].module}")
