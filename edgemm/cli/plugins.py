"""`edgemm plugins`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from edgemm.cli.printing import print_json, print_table
from edgemm.host.entries import Entry, Option, SinkEntry, SourceEntry
from edgemm.host.plugin_host import ENTRY_KINDS, EntryKind, PluginHost

EXAMPLES = """\
A broken plugin is listed with what is wrong with it, and everything else works. Nothing heavy is imported to make the list.

examples:
  edgemm plugins                      everything that is installed
  edgemm plugins --kind encoder       only the encoders
  edgemm plugins --kind source        the sources, with their options (edgemm run --help says how to write them)
  edgemm plugins --strict             exit code 3 when any plugin is broken, for CI
  EDGEMM_PLUGINS=vision,fusion edgemm plugins     load only these; 'none' loads no plugin

how to write one: docs/plugins.md and plugins/template/ in EdgeMM's repository
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.description = "List everything that plugins provide, with who provides it, and every plugin that failed."
    parser.epilog = EXAMPLES
    parser.add_argument("--kind", choices=[*ENTRY_KINDS], help="list entries of this kind only")
    parser.add_argument("--strict", action="store_true", help="exit with 3 when a plugin failed")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """List entries, then failures."""
    from edgemm.machine.profiles import profiles

    host = PluginHost(strict=False).discover()
    profiles(host)  # files, not objects: one that cannot be read is a failure too
    kinds = [ENTRY_KINDS[arguments.kind]] if arguments.kind else ENTRY_KINDS.values()
    entries = [record for kind in kinds for record in _records(host, kind)]
    if arguments.json:
        failures = [asdict(failure) for failure in host.failures]
        print_json({"plugins": host.plugins, "entries": entries, "failures": failures})
    else:
        _print(host, entries)
        if arguments.kind:
            _print_options(arguments.kind, entries)
    return 3 if arguments.strict and host.failures else 0


def _records(host: PluginHost, kind: EntryKind) -> list[dict[str, Any]]:
    return [
        {
            "kind": kind.name,
            "name": name,
            "plugin": found.plugin,
            "distribution": found.distribution,
            "needs": list(found.entry.requires),
            "summary": found.entry.summary,
            "options": [asdict(option) for option in _options(found.entry)],
        }
        for name, found in sorted(host.entries(kind.record).items())
    ]


def _options(entry: Entry) -> tuple[Option, ...]:
    return entry.options if isinstance(entry, (SourceEntry, SinkEntry)) else ()


def _print_options(kind: str, entries: list[dict[str, Any]]) -> None:
    from edgemm.streaming.sources import QUEUE_OPTIONS

    listed = [(entry["name"], option) for entry in entries for option in entry["options"]]
    if kind == "source":
        listed += [("(every URI)", asdict(option)) for option in QUEUE_OPTIONS]
    rows = [(name, f"{option['name']}={option['default']}", _meaning(option)) for name, option in listed]
    if rows:
        print()
        print_table(rows, header=(kind, "option and default", "what it is"))


def _meaning(option: dict[str, Any]) -> str:
    choices = " or ".join(choice for choice in option["choices"] if choice)
    return f"{option['summary']} ({choices})" if choices else option["summary"]


def _print(host: PluginHost, entries: list[dict[str, Any]]) -> None:
    rows = [(e["kind"], e["name"], e["plugin"], e["distribution"], e["summary"]) for e in entries]
    print_table(rows, header=("kind", "name", "plugin", "from", "what it is"))
    if not rows:
        print("no entries")
    if host.failures:
        print(f"\n{len(host.failures)} failure(s); the rest works without them:")
        print_table([("  " + f.plugin, f.distribution, f"{f.stage}: {f.error}") for f in host.failures])
