"""`--provider`: how the commands that run a bundle are told by which of ONNX Runtime's execution providers."""

from __future__ import annotations

import argparse

from edgemm.runners.providers import CPU, PROVIDERS


def add_provider_argument(parser: argparse.ArgumentParser) -> None:
    """Add it; that there is such a provider, and that the installed build has it, is checked when the bundle is opened."""
    parser.add_argument(
        "--provider",
        default=CPU,
        metavar="|".join(PROVIDERS),
        help="what runs ONNX graphs; others than cpu need another build of ONNX Runtime ('edgemm doctor' lists what this one has)",
    )
