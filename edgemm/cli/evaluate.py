"""`edgemm evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgemm.cli.printing import print_json, print_text
from edgemm.cli.provider import add_provider_argument
from edgemm.cli.trust import add_trust_arguments, trust_from_arguments

EXAMPLES = """\
The cases and their bars come from the task that the model was trained on: all inputs, every subset of them, and what it must
not be fooled by. Exit code 1 when a bar is missed.

examples:
  edgemm evaluate desk.ckpt
  edgemm evaluate desk.edgemm --variant int8 --count 500
  edgemm evaluate desk.ckpt --json > evaluation.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.description = "Measure a checkpoint, or a bundle as it will run, on data that training never saw."
    parser.epilog = EXAMPLES
    parser.add_argument("model", metavar="CHECKPOINT|BUNDLE", type=Path)
    parser.add_argument(
        "--task", metavar="NAME", help="the task to measure on (default: the one that it was trained on)"
    )
    parser.add_argument("--data", metavar="DIR", type=Path, help="where the task keeps its data")
    parser.add_argument("--count", type=int, default=2000, help="examples per case (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="draws the examples (default: %(default)s)")
    parser.add_argument(
        "--variant", default="auto", help="of a bundle: a target key, or a precision or device that means one"
    )
    add_provider_argument(parser)
    add_trust_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the table of cases; 1 when a bar was missed."""
    import edgemm

    evaluation = edgemm.evaluate(
        arguments.model,
        task=arguments.task,
        data=arguments.data,
        count=arguments.count,
        seed=arguments.seed,
        variant=arguments.variant,
        provider=arguments.provider,
        trust=trust_from_arguments(arguments),
    )
    if arguments.json:
        print_json(evaluation.as_dict())
    else:
        print_text(evaluation)
    return 0 if evaluation.passed else 1
