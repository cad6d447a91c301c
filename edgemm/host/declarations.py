"""Declarations of inputs and outputs as tables, and back: what a model.toml and a manifest carry.

A table names its kind; every other key is a field of that kind's dataclass. A field that holds a file is written as the file's name. It knows
nothing of what the kinds mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from edgemm.errors import SpecError
from edgemm.host.named import Provider, class_of_kind

if TYPE_CHECKING:
    from edgemm.assets import Asset, Files

T = TypeVar("T")
INPUTS, OUTPUTS = "input", "output"


def declaration_from_table(
    role: str,
    table: Mapping[str, Any],
    where: str,
    provider: Provider | None = None,
    *,
    ignore_unknown: bool = False,
    files: Files | None = None,
) -> Any:
    """Make a declaration of an input or output from a table such as `[inputs.NAME]` of a model.toml.

    Args:
        role: `input` or `output`.
        provider: who brings the kind, where that is known: then nothing else is loaded.
        ignore_unknown: overlook keys that the kind does not have, instead of refusing them.
        files: reads the files that the table names; without it, a table that names one is refused.

    Raises:
        SpecError: the kind is missing, a key unknown or a value wrong; the message names the key.
        UnknownNameError, PluginError, MissingDependencyError: the kind is not to be had here.
    """
    options = dict(table)
    kind = options.pop("kind", None)
    if not isinstance(kind, str):
        raise SpecError(
            f"{where}: kind is missing, such as kind = \"{'image' if role == INPUTS else 'classes'}\"; see 'edgemm plugins --kind {role}'"
        )
    made = class_of_kind(role, kind, provider)
    return declaration_of_class(made, options, where, role=role, ignore_unknown=ignore_unknown, files=files)


def declaration_of_class(
    made: Any,
    options: Mapping[str, Any],
    where: str,
    *,
    role: str = "declaration",
    ignore_unknown: bool = False,
    files: Files | None = None,
) -> Any:
    """Make a declaration whose class is known, from the other keys of its table; arguments and errors as above."""
    known = [item.name for item in fields(made)]
    unknown = [key for key in options if key not in known]
    article = "an" if made.kind[:1] in "aeiou" else "a"
    has = f"{article} {made.kind} {role} has: {', '.join(known) or 'no keys'}"
    if unknown and not ignore_unknown:
        raise SpecError(f"{where}: unknown key '{unknown[0]}'; {has}", path=(unknown[0],))
    given = {key: _frozen(value) for key, value in options.items() if key in known}
    try:
        return made(**{**given, **_assets(made, given, files)})
    except TypeError as error:
        raise SpecError(f"{where}: {error}; {has}") from None
    except SpecError as error:
        raise SpecError(f"{where}: {error}", error.path) from None


def table_from_declaration(declaration: Any) -> dict[str, Any]:
    """The inverse, ready for JSON and TOML."""
    from edgemm.assets import Asset

    table = {"kind": declaration.kind}
    for item in fields(declaration):
        value = getattr(declaration, item.name)
        table[item.name] = value.path if isinstance(value, Asset) else _plain(value)
    return table


def _assets(made: Any, given: Mapping[str, Any], files: Files | None) -> dict[str, Asset]:
    """The fields that hold files, in place of their names: a kind never gets a path that it would open itself."""
    found = {}
    for key in made.assets:
        if given.get(key) is None:  # left out, where a kind can do without
            continue
        name = given[key]
        if not isinstance(name, str) or not name:
            raise SpecError(f"{key}: expected the name of a file, got {name!r:.40}", (key,))
        if files is None:
            raise SpecError(
                f"{key}: there is no folder to look for the file '{name}' in; give the model.toml as a file", (key,)
            )
        from pathlib import PurePath  # most kinds have no files, and a cold start does without these

        from edgemm.assets import Asset

        try:
            found[key] = Asset(PurePath(name).name, files(name))
        except SpecError as error:
            raise SpecError(f"{key}: {error}", (key,)) from None
    return found


def _frozen(value: Any) -> Any:
    """Lists become tuples, as frozen dataclasses hold them."""
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value
