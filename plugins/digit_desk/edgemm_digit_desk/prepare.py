"""Fetches the handwritten digits and synthesizes the speech of the digit desk, as far as this machine can; says what it went without.

python -m edgemm_digit_desk.prepare [--data DIR]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgemm.errors import EdgeMMError
from edgemm.progress import show_progress
from edgemm.training.task import data_folder
from edgemm_digit_desk.task import build

__all__ = ["main"]


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Prepare the digit desk's training and test data.")
    parser.add_argument("--data", type=Path, help="folder to fill; $EDGEMM_DATA or the user's cache if not given")
    folder = data_folder("digit_desk", parser.parse_args().data)
    try:
        with show_progress() as progress:
            missing = build(folder).prepare(progress)
    except EdgeMMError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write("".join(f"done without {line}\n" for line in missing) + f"the data is in {folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
