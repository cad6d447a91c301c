"""`edgemm build`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgemm.cli.printing import print_json, print_text
from edgemm.cli.trust import add_trust_arguments, trust_from_arguments

EXAMPLES = """\
Engines belong to one GPU and one version of TensorRT, so a Jetson compiles its own, with the TensorRT that JetPack brings. The
bundle's ONNX is what they are compiled from; PyTorch is not needed.

examples:
  edgemm build desk.edgemm                            for the device that this machine is
  edgemm build desk.edgemm --device jetson-agx-thor
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.description = "Compile a bundle's engines on this machine, and add them to the bundle."
    parser.epilog = EXAMPLES
    parser.add_argument("bundle", metavar="BUNDLE", type=Path)
    parser.add_argument("--device", metavar="NAME", help="see 'edgemm devices' (default: what this machine is)")
    add_trust_arguments(parser, engines=False)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Build, and print what was made."""
    import edgemm

    report = edgemm.build(arguments.bundle, device=arguments.device, trust=trust_from_arguments(arguments))
    if arguments.json:
        print_json(report.to_json())
    else:
        print_text(report)
    return 0
