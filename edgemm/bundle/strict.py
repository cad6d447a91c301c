"""JSON to records (frozen dataclasses and named tuples) and back, strictly: an unknown key, a missing key or another type is an error that names its path.

One definition of the manifest serves reading and writing, and opening a bundle needs no validation library.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, Union, get_args, get_origin

from edgemm.errors import BundleError, EdgeMMError, SpecError, UnknownNameError
from edgemm.host.declarations import INPUTS, OUTPUTS, declaration_from_table, table_from_declaration
from edgemm.host.named import Provider, provider_of
from edgemm.inputs.kind import InputKind
from edgemm.model.edge import Edge
from edgemm.model.rules import Policy, Trigger
from edgemm.outputs.kind import OutputKind

if TYPE_CHECKING:
    from edgemm.assets import Files

T = TypeVar("T")
_WRITTEN_AS_TEXT = (Edge, Trigger, Policy)
_ROLES = {InputKind: INPUTS, OutputKind: OUTPUTS}


class _Reading(NamedTuple):
    """How a file is read: whether unknown keys are overlooked, and where the files are that declarations name."""

    lenient: bool
    files: Files | None


def record_from_json(
    kind: type[T], value: Any, where: str, *, ignore_unknown: bool = False, files: Files | None = None
) -> T:
    """Read `value` as the record `kind`.

    Args:
        kind: a dataclass or NamedTuple whose fields have the types that `value` must have.
        value: parsed JSON.
        where: what messages begin with.
        ignore_unknown: overlook keys that are not known, at any depth, instead of refusing them.
        files: reads the files that declarations of inputs and outputs name.

    Raises:
        BundleError: naming the path within the file of what does not fit.
    """
    return _read_record(kind, value, where, _Reading(ignore_unknown, files))


def _read_record(kind: type[T], value: Any, where: str, how: _Reading) -> T:
    if not isinstance(value, dict):
        raise BundleError(f"{where}: expected an object, got {_name(value)}")
    known = _fields(kind)  # type: ignore[arg-type]
    unknown = sorted(value.keys() - known.keys())
    if unknown and not how.lenient:
        raise BundleError(f"{where}: unknown key '{unknown[0]}'; was it written by a newer EdgeMM?")
    arguments = {}
    for name, (hint, required) in known.items():
        if name in value:
            arguments[name] = _read(hint, value[name], f"{where}.{name}", how)
        elif required:
            raise BundleError(f"{where}: '{name}' is missing")
    try:
        return kind(**arguments)
    except BundleError:
        raise
    except EdgeMMError as error:
        raise BundleError(f"{where}: {error}") from None


def json_from_record(value: Any) -> Any:
    """The inverse of `record_from_json`."""
    if isinstance(value, (InputKind, OutputKind)):
        provider = provider_of(INPUTS if isinstance(value, InputKind) else OUTPUTS, value.kind)
        return {**table_from_declaration(value), **({"from": list(provider)} if provider else {})}
    if isinstance(value, _WRITTEN_AS_TEXT):
        return str(value)
    if _is_record(type(value)) and not isinstance(
        value, Provider
    ):  # who brings something is a pair: [distribution, plugin]
        return {name: json_from_record(getattr(value, name)) for name in _fields(type(value))}  # type: ignore[arg-type]
    if isinstance(value, Mapping):
        return {key: json_from_record(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [json_from_record(item) for item in value]
    return value


def _is_record(kind: Any) -> bool:
    return is_dataclass(kind) or hasattr(kind, "_fields")


@cache
def _fields(kind: Any) -> dict[str, tuple[Any, bool]]:
    """Field of a record -> its type, and whether it must be given."""
    hints = typing.get_type_hints(kind)
    if is_dataclass(kind):
        return {
            item.name: (hints[item.name], item.default is MISSING and item.default_factory is MISSING)
            for item in fields(kind)
        }
    return {name: (hints[name], name not in kind._field_defaults) for name in kind._fields}


def _read(hint: Any, value: Any, where: str, how: _Reading) -> Any:
    if hint is Any or type(value) is hint:  # most of a manifest: texts and numbers
        return value
    origin = get_origin(hint)
    if hint in _WRITTEN_AS_TEXT:
        try:
            return hint.parse(value, where)
        except EdgeMMError as error:
            raise BundleError(str(error)) from None
    if hint in _ROLES:
        return _read_declaration(_ROLES[hint], value, where, how)
    if origin in (Union, types.UnionType):
        return _read_union(hint, value, where, how)
    if origin is tuple:
        item = get_args(hint)[0]
        if not isinstance(value, list):
            raise BundleError(f"{where}: expected a list, got {_name(value)}")
        return tuple(_read(item, part, f"{where}[{index}]", how) for index, part in enumerate(value))
    if origin is not None:  # Mapping[str, X]
        item = get_args(hint)[1]
        if not isinstance(value, dict):
            raise BundleError(f"{where}: expected an object, got {_name(value)}")
        return {key: _read(item, part, f"{where}.{key}", how) for key, part in value.items()}
    if isinstance(hint, type) and _is_record(hint):
        return _read_record(hint, value, where, how)
    if hint is float and type(value) is int:
        return float(value)
    raise BundleError(f"{where}: expected {hint.__name__}, got {_name(value)}")


def _read_declaration(role: str, value: Any, where: str, how: _Reading) -> Any:
    """An input's or output's; `from` says who brings its kind where that is not us."""
    if not isinstance(value, dict):
        raise BundleError(f"{where}: expected an object, got {_name(value)}")
    table = dict(value)
    provider = table.pop("from", None)
    if provider is not None and not (isinstance(provider, list) and [type(part) for part in provider] == [str, str]):
        raise BundleError(f"{where}.from: expected [distribution, plugin], got {_name(provider)}")
    try:
        brought_by = Provider(*provider) if provider else None
        return declaration_from_table(role, table, where, brought_by, ignore_unknown=how.lenient, files=how.files)
    except (SpecError, UnknownNameError) as error:
        raise BundleError(str(error)) from None


def _read_union(hint: Any, value: Any, where: str, how: _Reading) -> Any:
    """`X | None`, and `int | str` as in shapes."""
    options = get_args(hint)
    if value is None and type(None) in options:
        return None
    if type(value) in options:
        return value
    rest = [option for option in options if option is not type(None)]
    if len(rest) == 1:
        return _read(rest[0], value, where, how)
    raise BundleError(f"{where}: expected {' or '.join(o.__name__ for o in rest)}, got {_name(value)}")


def _name(value: Any) -> str:
    return "null" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"
