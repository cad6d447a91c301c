"""`edgemm doctor`."""

from __future__ import annotations

import argparse

from edgemm.cli.printing import print_json, print_table
from edgemm.errors import MissingDependencyError

EXAMPLES = """\
Nothing is changed. Exit code 3 when the core itself is broken; what is only missing is listed with the command that brings it.

examples:
  edgemm doctor
  edgemm doctor --json > machine.json      to attach to a report of a fault
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.description = "Say what this machine can do, and what to install for the rest."
    parser.epilog = EXAMPLES
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the report, topic by topic."""
    from edgemm.machine.doctor import doctor

    report = doctor()
    if arguments.json:
        print_json(report.to_json())
    else:
        rows = [
            (c.state, c.topic, c.name, f"{c.detail}\n-> {c.remedy}" if c.remedy else c.detail) for c in report.checks
        ]
        print_table(rows)
        absent = sum(check.state == "missing" for check in report.checks)
        verdict = "bundles can be opened and run" if report.passed else "the core is broken"
        print(f"\n{verdict}" + (f"; {absent} optional thing(s) missing, each with its remedy above" if absent else ""))
    return 0 if report.passed else MissingDependencyError.exit_code
