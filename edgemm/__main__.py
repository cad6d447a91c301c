"""`python -m edgemm` is the command `edgemm`."""

from __future__ import annotations

from edgemm.cli.main import entry

if __name__ == "__main__":
    entry()
