"""`edgemm verify`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgemm.cli.printing import print_json, print_text
from edgemm.cli.trust import add_trust_arguments, trust_from_arguments

EXAMPLES = """\
First every file is compared with its hash; then every variant that this machine can run computes the bundle's test vectors,
and its answers are compared with those that the PyTorch model gave at export. Exit code 1 when anything differs.

examples:
  edgemm verify desk.edgemm
  edgemm verify desk.edgemm --json
  edgemm verify desk.edgemm --expect-id 3f2a9c01b7de      is it the very bundle that was given out?
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.description = (
        "Check that a bundle is unchanged, and that it computes on this machine what it computed at export."
    )
    parser.epilog = EXAMPLES
    parser.add_argument("bundle", metavar="BUNDLE", type=Path)
    add_trust_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the ladder; 1 when a rung is broken."""
    import edgemm

    report = edgemm.verify(arguments.bundle, trust=trust_from_arguments(arguments))
    if arguments.json:
        print_json(report.to_json())
    else:
        print_text(report)
    return 0 if report.passed else 1
