"""The tables of a model.toml: one class each, with exactly the keys that mean something there.

Where a table is of a plugin, keys that no table has are that plugin's own options, which its pydantic model checks. It knows nothing of what
names in it refer to, nor of files.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from types import UnionType
from typing import Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

RESERVED = ("use", "share", "run", "output")  # no plugin's options, in whatever table they stand


class Table(BaseModel):
    """A table that has its own keys and no others."""

    model_config = ConfigDict(extra="forbid")


class FusionRun(Table):
    """When a fusion runs; how long its answer serves is the reader's business."""

    when: str = ""
    policy: str = "latest"


class EncoderRun(FusionRun):
    """When an encoder runs, and how long what it made serves."""

    hold: bool = False
    stale_after_ms: float = Field(default=1000.0, gt=0)
    valid_for_ms: float = Field(default=0.0, ge=0)


class PluginTable(BaseModel):
    """One plugin in use; every key that no table has is the plugin's own option."""

    model_config = ConfigDict(extra="allow")
    what: ClassVar[str]  # for messages
    use: str = Field("", min_length=1)

    @property
    def options(self) -> dict[str, Any]:
        """The plugin's own options."""
        return dict(self.__pydantic_extra__ or {})

    @model_validator(mode="after")
    def _has_a_plugin_and_nothing_of_other_tables(self) -> PluginTable:
        for key in self.options:
            if key in RESERVED:
                has = ", ".join(type(self).model_fields)
                raise _error_of(key, f"means nothing here; {self.what} has: {has}, and its plugin's options")
        self._check_plugin()
        return self

    def _check_plugin(self) -> None:
        if not self.use:
            raise _error_of("use", "is missing; it names a plugin's entry, see 'edgemm plugins'")


class EncoderTable(PluginTable):
    """`[encoders.NAME]`: a plugin of its own, or the module of another encoder."""

    what = "an encoder"
    share: str = Field("", min_length=1)
    run: EncoderRun = EncoderRun()

    def _check_plugin(self) -> None:
        if not self.share:
            return super()._check_plugin()
        for key in (*(["use"] if self.use else []), *self.options):
            has = ", ".join(name for name in type(self).model_fields if name != "use")
            raise _error_of(
                key, f"is said by '{self.share}', whose module it shares; {self.what} that shares has: {has}"
            )
        return None


class NodeTable(EncoderTable):
    """`[[node]]`: an encoder that reads other edges beside its input."""

    what = "a node"
    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    reads: dict[str, str] = Field(min_length=1)


class FusionTable(PluginTable):
    """`[fusion]`."""

    what = "a fusion"
    run: FusionRun = FusionRun()


class HeadTable(PluginTable):
    """`[heads.NAME]`; `output` says how it is read, such as `{ kind = "values", unit = "m/s" }`."""

    what = "a head"
    output: dict[str, Any] = Field(default_factory=dict)


class ModelTable(Table):
    """`[model]`."""

    name: str = Field(min_length=1)
    width: int = Field(96, ge=1)


class TrainingTable(Table):
    """`[training]`."""

    task: str
    seed: int = 0


def describe_validation(
    error: ValidationError, where: str, text: str, table: Any = None, prefix: tuple[str, ...] = ()
) -> str:
    """The first problems that pydantic found, in our words, with key and line.

    Args:
        where: what messages begin with: the file, or whose options.
        text: of the model.toml.
        table: the pydantic model that was to be made, whose keys are told.
        prefix: the keys that lead to its table.
    """
    lines = []
    for problem in error.errors()[:5]:
        path = (*prefix, *(str(part) for part in problem["loc"]))
        line = line_of(text, path)
        place = f"{where}, line {line}" if line else where
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"there is no such key{_allowed(path[-1], _keys_at(table, problem['loc'][:-1]))}"
        elif problem["type"] == "missing":
            message = "is missing"
        lines.append(f"{place}: {'.'.join(path)}: {message}")
    return "\n".join(lines)


def line_of(text: str, path: tuple[str, ...]) -> int:
    """Line (from 1) of a key in a TOML text, or of the table that should have it; 0 when it cannot be told.

    A table of an array (`[[node]]`) is counted in the path, from 0: `("node", "1", "reads")`.
    """
    table: tuple[str, ...] = ()
    counts: dict[tuple[str, ...], int] = {}
    best = 0
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*(\[\[?)\s*([^\]]+?)\s*\]", line)
        key = None if header else re.match(r"\s*([A-Za-z0-9_\-.\"']+)\s*=", line)
        if header:
            table = _parts(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, str(counts[table]))
            found = table
        elif key:
            found = (*table, *_parts(key[1]))
        else:
            continue
        if found == path:
            return number
        if found == path[: len(found)]:
            best = number
    return best


def _parts(key: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in key.split("."))


def _keys_at(table: Any, path: Sequence[int | str]) -> list[str]:
    """The keys of the table at `path` below a pydantic model; [] where nobody says which there are."""
    for part in path:
        table = _table_of(table)
        if get_origin(table) in (dict, list):
            table = get_args(table)[-1]
        else:
            field = getattr(table, "model_fields", {}).get(part)
            table = field.annotation if field else None
    return list(getattr(_table_of(table), "model_fields", {}))


def _table_of(annotation: Any) -> Any:
    """What an optional table is when it is there."""
    return get_args(annotation)[0] if get_origin(annotation) in (Union, UnionType) else annotation


def _allowed(key: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(key, known, n=1)
    meant = f"; did you mean '{nearest[0]}'?" if nearest else ""
    return f"{meant}{' There are' if meant else '; there are'}: {', '.join(known)}" if known else ""


def _error_of(key: str, message: str) -> ValidationError:
    """An error of one key of a table, so that its line can be told."""
    kind = PydanticCustomError("key", "{message}", {"message": message})
    return ValidationError.from_exception_data("model.toml", [InitErrorDetails(type=kind, loc=(key,), input=None)])
