"""`edgemm train`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgemm.cli.printing import print_text

EXAMPLES = """\
SPEC names the inputs, the encoders, the fusion and the heads, all from plugins ('edgemm plugins' lists them), and the task
that brings the data. A finished stage is kept in the output folder: --resume goes on after it.

examples:
  edgemm train model.toml --out desk.ckpt
  edgemm train model.toml --out desk.ckpt --seed 7 --data /data/digits
  edgemm train model.toml --out desk.ckpt --resume       after Ctrl-C
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.description = "Train a model, encoder by encoder and then the fusion, and write a checkpoint (safetensors)."
    parser.epilog = EXAMPLES
    parser.add_argument("spec", metavar="SPEC", type=Path, help="the model's description, a model.toml")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument(
        "--seed", type=int, help="another seed than the specification's; the same seed, the same weights"
    )
    parser.add_argument(
        "--data", metavar="DIR", type=Path, help="where the task keeps its data; it is made there when absent"
    )
    parser.add_argument("--resume", action="store_true", help="go on after the stages that are finished")


def run(arguments: argparse.Namespace) -> int:
    """Train, and say how it went."""
    import edgemm

    record = edgemm.train(
        arguments.spec, out=arguments.out, seed=arguments.seed, data=arguments.data, resume=arguments.resume
    )
    print_text(record)
    print_text(f"the checkpoint is in {arguments.out}; next: edgemm evaluate {arguments.out}")
    return 0
