"""The table of commands, and how one is found. Listing them imports none of them."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from typing import Protocol, cast

from edgemm.errors import MissingDependencyError, UnknownNameError

PLUGIN = ""  # a command of the reference model, a distribution of its own; listed here because listing must not discover plugins
REFERENCE_MODEL = "edgemm-digit-desk"
COMMANDS: dict[str, tuple[str, str]] = {
    "doctor": ("what this machine can do, and what to install for the rest", "edgemm.cli.doctor"),
    "plugins": ("everything that plugins provide, and which of them are broken", "edgemm.cli.plugins"),
    "devices": ("the devices to export for, and which one this machine is", "edgemm.cli.devices"),
    "train": ("train a model that a model.toml describes", "edgemm.cli.train"),
    "evaluate": ("measure a checkpoint or a bundle on unseen data", "edgemm.cli.evaluate"),
    "export": ("make a bundle for one or more devices from a checkpoint", "edgemm.cli.export"),
    "build": ("compile a bundle's engines on this machine", "edgemm.cli.build"),
    "sign": ("say who made a bundle, so that others can refuse any other maker's", "edgemm.cli.sign"),
    "verify": ("check a bundle's files, and that it computes here what it should", "edgemm.cli.verify"),
    "run": ("stream cameras, sound and text through a bundle", "edgemm.cli.run"),
    "profile": ("where the time goes in a bundle, node by node", "edgemm.cli.profile"),
    "demo": ("export the shipped model, stream its sample clip, write a report", PLUGIN),
}


class Command(Protocol):
    """What a command's module has; a plugin's command (hook `edgemm_commands`) is the same."""

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        """Say what the command does and takes; examples go to `parser.epilog`."""

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        """Do it and return the exit code; an `EdgeMMError` brings its own."""


def find_command(name: str) -> Command:
    """The command of that name: ours, else a plugin's. Plugins are discovered only for a name that is not ours.

    Raises:
        MissingDependencyError: it comes with the reference model, which is not installed or not usable.
        UnknownNameError: lists all commands and suggests the nearest.
    """
    if COMMANDS.get(name, ("", PLUGIN))[1] != PLUGIN:
        return cast(Command, importlib.import_module(COMMANDS[name][1]))
    from edgemm.host.entries import CommandEntry
    from edgemm.host.plugin_host import default_host

    host = default_host()
    if name in host.entries(CommandEntry):
        return cast(Command, host.load(CommandEntry, name))
    if name in COMMANDS:
        raise MissingDependencyError(_without_reference_model(name))
    raise UnknownNameError("command", name, {*COMMANDS, *host.entries(CommandEntry)}, "see 'edgemm --help'")


def _without_reference_model(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = f"{REFERENCE_MODEL} {version(REFERENCE_MODEL)}"
    except PackageNotFoundError:
        return (
            f"'edgemm {name}' needs the reference model, a distribution of its own: pip install {REFERENCE_MODEL}\n"
            "  in a checkout of EdgeMM: pip install ./plugins/digit_desk"
        )
    return f"'edgemm {name}' needs the reference model; {found} is installed, but its plugin is not in use: see 'edgemm plugins'"


def overview() -> Iterator[str]:
    """The lines of `edgemm --help`."""
    yield "usage: edgemm COMMAND [OPTIONS]"
    yield ""
    yield "From a trained multimodal PyTorch model to a live stream on an edge GPU, and on any CPU."
    yield ""
    for name, (summary, _) in COMMANDS.items():
        yield f"  {name:10} {summary}"
    yield ""
    yield "  edgemm COMMAND --help    what a command takes, with examples"
    yield "  edgemm --version"
    yield ""
    yield "exit codes: 0 ok, 1 the check failed, 2 wrong usage, 3 something is missing on this machine, 130 interrupted."
    yield "EDGEMM_DEBUG=1 shows the traceback of an error. Plugins may add commands: edgemm plugins"
