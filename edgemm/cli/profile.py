"""`edgemm profile`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgemm.cli.printing import print_json, print_text
from edgemm.cli.provider import add_provider_argument
from edgemm.cli.trust import add_trust_arguments, trust_from_arguments

EXAMPLES = """\
Every time stands beside the same graphs run with nothing but ONNX Runtime, measured in turns in the same process: on a busy
machine look at the ratio, not at the milliseconds.

examples:
  edgemm profile desk.edgemm
  edgemm profile desk.edgemm --variant int8 --runs 1000
  edgemm profile desk.edgemm --json > profile.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.description = "Measure p50, p95 and p99 of every node and stage of a bundle on this machine."
    parser.epilog = EXAMPLES
    parser.add_argument("bundle", metavar="BUNDLE", type=Path)
    parser.add_argument("--variant", default="auto", help="a target key, or a precision or device that means one")
    add_provider_argument(parser)
    add_trust_arguments(parser)
    parser.add_argument("--runs", type=int, default=300, help="measured runs of each (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Measure, and print the table."""
    import edgemm

    report = edgemm.profile(
        arguments.bundle,
        variant=arguments.variant,
        provider=arguments.provider,
        runs=arguments.runs,
        trust=trust_from_arguments(arguments),
    )
    if arguments.json:
        print_json(report.to_json())
    else:
        print_text(report)
    return 0
