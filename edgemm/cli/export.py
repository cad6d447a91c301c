"""`edgemm export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgemm.cli.printing import print_json, print_text

EXAMPLES = """\
A bundle holds the model's graphs as FP32 ONNX, one variant per device and precision, test vectors, and a hash of every file.
Engines for desktop RTX cards are compiled here, without a GPU, when TensorRT-RTX is installed; a Jetson compiles its own with
'edgemm build'. Every variant is compared with the PyTorch model before the bundle is written: a failed export leaves nothing.

examples:
  edgemm export desk.ckpt --out desk.edgemm --device cpu
  edgemm export desk.ckpt --out desk.edgemm --device rtx-4090 --device jetson-orin-nano --precision int8+fp16
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
        help="see 'edgemm devices'; may be given several times (default: cpu)",
    )
    parser.add_argument(
        "--precision",
        default="auto",
        help="auto (what each profile says: fp32 and int8 for a CPU, fp16 and int8+fp16 for our GPUs), or a list of fp32, fp16, int8, int8+fp16 (default: %(default)s)",
    )
    parser.add_argument(
        "--calibration",
        metavar="PATH",
        type=Path,
        help="aligned samples of all inputs (.npz), for INT8; in order of time where the model has state or windows",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the bundle that is there")
    parser.add_argument("--zip", action="store_true", help="write a single file")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Export, and print what was made."""
    import edgemm
    from edgemm.progress import show_progress

    with show_progress() as progress:
        summary = edgemm.export(
            arguments.checkpoint,
            arguments.out,
            device=arguments.device or ["cpu"],
            precision=arguments.precision,
            calibration=arguments.calibration,
            overwrite=arguments.overwrite,
            zipped=arguments.zip,
            progress=progress,
        )
    if arguments.json:
        print_json(summary.to_json())
    else:
        print_text(summary)
    return 0
