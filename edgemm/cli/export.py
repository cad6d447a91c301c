"""`edgemm export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgemm.cli.printing import print_json

PRECISIONS = ("auto", "fp32", "fp16", "int8", "int8+fp16")
EXAMPLES = """\
A bundle holds the model's graphs as FP32 ONNX, one variant per device and precision, test vectors, and a hash of every file.
Engines for desktop RTX cards are compiled here, without a GPU, when TensorRT-RTX is installed; a Jetson compiles its own with
'edgemm build'. Every variant is compared with the PyTorch model before the bundle is written: a failed export leaves nothing.

examples:
  edgemm export desk.ckpt --out desk.edgemm --device cpu
  edgemm export desk.ckpt --out desk.edgemm --device rtx-4090 --device jetson-orin-nano --precision int8
  edgemm export desk.ckpt --out desk.zip --zip --device cpu --calibration samples.npz --overwrite
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.description = "Make a bundle, ready to run without PyTorch, for one or more devices."
    parser.epilog = EXAMPLES
    parser.add_argument("checkpoint", metavar="CHECKPOINT", type=Path)
    parser.add_argument("--out", metavar="BUNDLE", type=Path, required=True, help="folder to make, or file with --zip")
    parser.add_argument(
        "--device",
        metavar="NAME",
        action="append",
        required=True,
        help="see 'edgemm devices'; may be given several times",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        action="append",
        help="auto takes every device's own first choice; may be given several times (default: auto)",
    )
    parser.add_argument(
        "--calibration", metavar="PATH", type=Path, help="aligned samples of all inputs (.npz), for INT8"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the bundle that is there")
    parser.add_argument("--zip", action="store_true", help="write a single file")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Export, and print what was made."""
    import edgemm

    report = edgemm.export(
        arguments.checkpoint,
        out=arguments.out,
        devices=arguments.device,
        precision=arguments.precision or ["auto"],
        calibration=arguments.calibration,
        overwrite=arguments.overwrite,
        zipped=arguments.zip,
    )
    if arguments.json:
        print_json(report.to_json())
    else:
        print(report)
    return 0
