"""The fault matrix as a table: what is delivered of each input's packets, and what is lost with which cause.

python tests/edgemm/streaming/fault_table.py            prints it
python tests/edgemm/streaming/fault_table.py --write    writes it into docs/faults.md, where a test compares it
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from fault_matrix import FAULTS, KINDS, WAYS, cells, outcome

PAGE = Path(__file__).parents[3] / "docs" / "faults.md"
TABLE = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- end -->)", re.DOTALL)


def table():
    """Rows of markdown: kinds to which the same happens in every way share one."""
    possible = set(cells())
    rows = [["fault", "kinds", *WAYS], ["---"] * (2 + len(WAYS))]
    for fault in FAULTS:
        alike = {}
        for kind in KINDS:
            said = tuple(_cell(fault, kind, way) if (fault, kind, way) in possible else "" for way in WAYS)
            alike.setdefault(_without_standard_input(said), {})[kind] = said
        for kinds in alike.values():
            said = [max(column, key=len) for column in zip(*kinds.values(), strict=True)]
            rows.append(
                [fault, "all" if len(kinds) == len(KINDS) else ", ".join(kinds), *(text or "–" for text in said)]
            )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def written():
    """The table of the page."""
    return TABLE.findall(PAGE.read_text(encoding="utf-8"))


def _cell(fault, kind, way):
    sent, delivered, lost, _, _ = outcome(fault, kind, way)
    if not lost:
        return f"{delivered}"
    return f"{delivered} of {sent}; " + ", ".join(f"{count} {cause}" for cause, count in sorted(lost.items()))


def _without_standard_input(said):
    """Only texts come so, which makes no kind another one."""
    return tuple(text for text, way in zip(said, WAYS, strict=True) if way != "standard input")


def main():
    parser = argparse.ArgumentParser(description="What becomes of packets when their source has faults.")
    parser.add_argument("--write", action="store_true", help=f"write it into {PAGE.name}")
    made = table()
    if parser.parse_args().write:
        PAGE.write_text(TABLE.sub(lambda _: made, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(made, end="")


if __name__ == "__main__":
    main()
