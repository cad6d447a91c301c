"""`--trust-engines`, `--expect-id`, `--key` and `--max-run-s`: how the commands that open a bundle are told what it is trusted with."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from edgemm.limits import RUN_S

if TYPE_CHECKING:
    from edgemm.bundle.trust import Trust


def add_trust_arguments(parser: argparse.ArgumentParser, *, engines: bool = True) -> None:
    """Add them; not `--trust-engines` for a command that loads no engines."""
    if engines:
        parser.add_argument(
            "--trust-engines",
            action="store_true",
            help="load the bundle's engines, which are native code: only if you trust its origin",
        )
    parser.add_argument(
        "--expect-id",
        metavar="ID",
        help="refuse any other bundle than this one, by the first 12 or more digits of its id ('edgemm verify' prints it)",
    )
    parser.add_argument(
        "--key",
        metavar="FILE",
        action="append",
        help="refuse a bundle that this public key, or another that is given, has not signed ('edgemm sign' makes keys)",
    )
    parser.add_argument(
        "--max-run-s",
        metavar="SECONDS",
        type=float,
        default=RUN_S,
        help="stop a run of a graph that takes longer (default: %(default)g)",
    )


def trust_from_arguments(arguments: argparse.Namespace) -> Trust:
    """What the arguments of `add_trust_arguments` say.

    Raises:
        UsageError: the expected id cannot be one, or a limit is none.
    """
    from edgemm.bundle.trust import Trust

    engines = getattr(arguments, "trust_engines", False)
    return Trust(engines=engines, id=arguments.expect_id, keys=arguments.key, max_run_s=arguments.max_run_s)
