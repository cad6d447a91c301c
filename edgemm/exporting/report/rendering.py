"""The templates, and how numbers are written in them. Knows nothing of models.

Everything that a template is given is escaped where it is written, attributes included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edgemm.outputs.printable import printable

HUES = ("blue", "amber", "violet", "teal", "rose", "lime")


def render(template: str, **context: Any) -> str:
    """Fill in one template."""
    return _environment().get_template(template).render(context)


def share(value: float) -> str:
    """0 to 1 for people: 100%, 98.4%."""
    return f"{100 * value:.1f}%".replace(".0%", "%")


def percent(value: float) -> str:
    """0 to 1 as a CSS width; what lies outside ends at the edge."""
    return f"{100 * max(0.0, min(1.0, value if math.isfinite(value) else 0.0)):.2f}%"


def count(number: int) -> str:
    """651,000 as 651 k."""
    return f"{number / 1e6:.2f} M" if number >= 1e6 else f"{number / 1e3:.0f} k" if number >= 1e4 else f"{number}"


def mebibytes(size: int) -> str:
    """Bytes for people."""
    return f"{size / 2**20:.2f} MiB" if size >= 2**20 / 10 else f"{size / 2**10:.0f} KiB"


def duration(microseconds: float) -> str:
    """Microseconds for people."""
    return f"{microseconds / 1e3:.2f} ms" if microseconds >= 1000 else f"{microseconds:.0f} µs"


def cut(text: str, limit: int) -> str:
    """At most `limit` characters."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def hue_of(names: Sequence[str], name: str) -> str:
    """The colour of one of `names`, the same all over the page."""
    return HUES[names.index(name) % len(HUES)] if name in names else "soft"


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("edgemm.exporting.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"share": share, "percent": percent, "duration": duration, "cut": cut, "or_dash": _or_dash}
    return environment


def _printable(value: object) -> object:
    """Control and bidirectional characters, which HTML may not hold or which reorder what is read, become `·`."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return printable(value)


def _or_dash(value: object) -> object:
    return "–" if value is None else value
