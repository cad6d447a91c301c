"""`python -m edgemm` is the command `edgemm`."""

from __future__ import annotations

import sys

from edgemm.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
