"""`edgemm demo`."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """\
The digit desk: the camera shows a handwritten digit, the microphone hears a spoken one, the text says what to do with them.
Its last lines say how many answers were right, how closely each precision follows the PyTorch model, and how fast it was.

examples:
  edgemm demo
  edgemm demo --out /tmp/demo
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.description = (
        "Export the shipped model in every precision, stream its sample clip in real time, write report.html."
    )
    parser.epilog = EXAMPLES
    parser.add_argument("--out", metavar="DIR", type=Path, default=Path("build/demo"), help="default: %(default)s")


def run(arguments: argparse.Namespace) -> int:
    """Do the whole main job once; 1 when the answers are not good enough."""
    from edgemm.demo import demo  # type: ignore[import-not-found, unused-ignore]

    return int(demo(out=arguments.out))
