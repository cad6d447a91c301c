"""`edgemm verify`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgemm.cli.printing import print_json

EXAMPLES = """\
First every file is compared with its hash; then every variant that this machine can run computes the bundle's test vectors,
and its answers are compared with those that the PyTorch model gave at export. Exit code 1 when anything differs.

examples:
  edgemm verify desk.edgemm
  edgemm verify desk.edgemm --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.description = (
        "Check that a bundle is unchanged, and that it computes on this machine what it computed at export."
    )
    parser.epilog = EXAMPLES
    parser.add_argument("bundle", metavar="BUNDLE", type=Path)
    parser.add_argument(
        "--trust-engines",
        action="store_true",
        help="load the bundle's engines, which are native code: only if you trust its origin",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the ladder; 1 when a rung is broken."""
    import edgemm

    report = edgemm.verify(arguments.bundle, trust_engines=arguments.trust_engines)
    if arguments.json:
        print_json(report.to_json())
    else:
        print(report)
    return 0 if report.passed else 1
