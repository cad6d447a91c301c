"""`edgemm sign`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgemm.cli.printing import print_text
from edgemm.errors import UsageError

EXAMPLES = """\
A signature says who made a bundle: whoever has the public key opens it with --key, and refuses every other. It covers every file; 'edgemm build'
adds engines, so a bundle that was built must be signed again. Keys are Ed25519 in PEM, as 'openssl genpkey -algorithm ed25519' makes them too.
Keep the private key off the device, and give out the public one by another way than the bundle.

examples:
  edgemm sign --new-key publisher.key              publisher.key, yours alone, and publisher.pub, to give out
  edgemm sign desk.edgemm --key publisher.key
  edgemm run desk.edgemm --key publisher.pub -i image=camera:
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.description = "Sign a bundle, so that others can tell that it is yours, or make the keys for that."
    parser.epilog = EXAMPLES
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, nargs="?")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--key", metavar="FILE", type=Path, help="the private key")
    way.add_argument("--new-key", metavar="FILE", type=Path, help="make a pair of keys instead")


def run(arguments: argparse.Namespace) -> int:
    """Sign, or make keys."""
    from edgemm.bundle.signing import make_key, sign

    if arguments.new_key is not None:
        if arguments.bundle is not None:
            raise UsageError("--new-key makes keys and signs nothing; sign with: edgemm sign BUNDLE --key FILE")
        private, given_out = make_key(arguments.new_key)
        print_text(f"{private}  the private key: keep it to yourself")
        print_text(f"{given_out}  the public key: give it to whoever opens your bundles")
        return 0
    if arguments.bundle is None:
        raise UsageError("which bundle? edgemm sign BUNDLE --key FILE")
    public = sign(arguments.bundle, arguments.key)
    print_text(f"{arguments.bundle}  signed by {public[:16]}")
    return 0
