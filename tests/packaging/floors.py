"""The oldest versions that pyproject.toml admits, as a constraints file for pip; `make oldest` installs them.

    python tests/packaging/floors.py > floors.txt

What constraints.txt pins stays as it is there. It knows neither what is installed nor which extras are asked for.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
_FLOOR = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?>=(?P<version>[0-9.]+)(;.*)?")


def main() -> None:
    """Print them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    requirements = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    print("\n".join(floors(requirements, pins)))


def floors(requirements: Iterable[str], pins: Iterable[str]) -> list[str]:
    """`name==floor` for each requirement that has one, and the pins.

    Raises:
        ValueError: a requirement of something else has no floor.
    """
    kept = [pin for pin in pins if pin and not pin.startswith("#")]
    pinned = {pin.partition("==")[0] for pin in kept}
    found: dict[str, str] = {}
    for requirement in requirements:
        if requirement.startswith("edgemm["):
            continue
        floor = _FLOOR.fullmatch(requirement)
        if floor is None:
            raise ValueError(f"expected 'name>=version', got '{requirement}': say what its oldest version is")
        if floor["name"] not in pinned and found.setdefault(floor["name"], floor["version"]) != floor["version"]:
            raise ValueError(f"{floor['name']} has two floors, {found[floor['name']]} and {floor['version']}")
    return [*(f"{name}=={version}" for name, version in sorted(found.items())), *kept]


if __name__ == "__main__":
    main()
