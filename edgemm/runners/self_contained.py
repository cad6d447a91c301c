"""Refuses an ONNX graph that is not what its file holds: that would read another file, or grow beyond its size, before it is loaded.

A tensor may say that its data is in a file beside the graph. A graph that is loaded from memory has no place beside it, so ONNX Runtime looks below
the working directory, older ones anywhere, and what it finds comes out in the answers. A node may name a file, too: an engine, which a GPU's
provider would load as native code. Both are refused, wherever the format lets a tensor or a node stand.

A loader writes functions out where they are called, so twenty that call one another twice each become a million nodes, and it fills up sparse tensors
with zeros; texts lie where no ceiling counts them. These are refused too: no exporter of ours makes them.

The protobuf messages are walked and what they hold is skipped, so that no weights are copied, the time grows with the number of nodes, and no package is
needed. What is no sound message is refused as well: a laxer parser could see something else in it. It knows nothing of sessions.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Any, NoReturn

from edgemm.errors import BundleError
from edgemm.limits import GRAPH_FIELDS, GRAPH_NODES

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types; groups (3 and 4) are in no ONNX file
_LONGEST_TAG, _LARGEST_TAG, _LONGEST_NUMBER = 5, 2**32 - 1, 10
_ORT_FORMAT = b"ORTM"  # from byte 4 on in ONNX Runtime's own format, for which it looks before it reads protobuf
_ENGINE_CONTEXT = b"EPContext"
_TEXT = 8  # TensorProto.DataType.STRING

# message -> {field: the message inside}: every way from a model to a tensor or a node
MESSAGES = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
}
_Table = dict[int, Any]  # tag -> the table of what is inside, or one of:
_REFUSED: _Table = {}
_OPERATOR: _Table = {}
_DIMS: _Table = {}
_NAME: _Table = {}
_RAW: _Table = {}
_TABLES: dict[str, _Table] = {message: {} for message in MESSAGES}
for _message, _inside in MESSAGES.items():
    _TABLES[_message].update({field << 3 | _BYTES: _TABLES[name] for field, name in _inside.items()})
_MODEL, _TENSOR, _NODE = _TABLES["ModelProto"], _TABLES["TensorProto"], _TABLES["NodeProto"]
_FUNCTION, _SPARSE = _TABLES["FunctionProto"], _TABLES["SparseTensorProto"]
_TENSOR[13 << 3 | _BYTES] = _REFUSED  # external_data
_NODE[4 << 3 | _BYTES] = _OPERATOR  # op_type
_ATTRIBUTE = _TABLES["AttributeProto"]
_ATTRIBUTE[1 << 3 | _BYTES] = _NAME
_TENSOR[1 << 3 | _BYTES] = _DIMS
_TENSOR[9 << 3 | _BYTES] = _RAW  # raw_data
_DIM, _DATA_TYPE, _DATA_LOCATION = 1 << 3 | _VARINT, 2 << 3 | _VARINT, 14 << 3 | _VARINT
_WHOLE = 3 << 3 | _VARINT  # an attribute's number
_MAKES_TEXTS = (b"_string", b"_strings")  # how attributes end that do: of Constant, of LabelEncoder
# bits of one element by TensorProto.DataType, texts have none
_BITS = (0, 32, 8, 8, 16, 16, 32, 64, 0, 8, 16, 64, 32, 64, 64, 128, 16, 8, 8, 8, 8, 4, 4, 4, 8, 2, 2)


def check_self_contained(model: bytes, name: str) -> None:
    """Raise unless an ONNX file holds all of its data itself.

    Args:
        model: its content.
        name: the graph's, for messages.

    Raises:
        BundleError: something in it is in another file, it is no ONNX file, it has more nodes or fields than a graph may have, a tensor whose
            data is not as large as its shape, or it would grow when it is loaded.
    """
    if model[4:8] == _ORT_FORMAT:
        raise BundleError(f"graph '{name}' is in ONNX Runtime's own format; expected an ONNX file")
    try:
        _walk(model, name)
    except IndexError:  # a number that goes on behind the end
        _unreadable(name)


def _walk(model: bytes, name: str) -> None:
    left, nodes, growing = GRAPH_FIELDS, 0, ""
    waiting = [(0, len(model), _MODEL)]
    while waiting:
        at, end, inside = waiting.pop()
        elements, kind, raw = 1, 0, -1  # of a tensor, or the number of an attribute that is called `to`
        of_type = inside is _TENSOR
        if inside is _NODE:
            nodes += 1
        elif inside is _FUNCTION or inside is _SPARSE:
            growing = "functions of its own" if inside is _FUNCTION else "a sparse tensor"
        while at < end:
            left -= 1
            if left < 0:
                raise BundleError(f"graph '{name}' has more than {GRAPH_FIELDS} fields beside its weights")
            tag, size = model[at], model[at + 1]
            at += 2
            if tag > 127 or tag & 7 != _BYTES:
                tag, at = _number(model, at - 2, name)
                if tag & 7 != _BYTES:
                    if inside is _TENSOR or inside is _ATTRIBUTE:
                        at, elements, kind = _whole(model, tag, at, inside is _TENSOR, elements, kind, name)
                    else:
                        at = _behind(model, tag, at, name)
                    continue
                size, at = _number(model, at, name)
            elif size > 127:
                # two bytes, as most are that are longer than one, and without a call, since a cold start waits for this
                high = model[at]
                if high > 127:
                    size, at = _number(model, at - 1, name)
                else:
                    size += (high << 7) - 128
                    at += 1
            if tag in inside:
                known = inside[tag]
                if known is _REFUSED:
                    _external(name)
                elif known is _RAW:
                    raw = size
                elif known is _DIMS:
                    elements *= _product(model, at, at + size, name)
                elif known is _NAME:
                    of_type = model[at : at + size] == b"to"
                    growing = "texts" if model[at : at + size].endswith(_MAKES_TEXTS) else growing
                elif known is not _OPERATOR:
                    waiting.append((at, at + size, known))
                elif model[at : at + size] == _ENGINE_CONTEXT:
                    _engine(name)
            at += size
        if at > end:
            _unreadable(name)
        if raw >= 0:
            _check_size(elements, kind, raw, name)
        if kind == _TEXT and of_type:
            growing = "texts"
    _check_growth(nodes, growing, name)


def _whole(
    model: bytes, tag: int, at: int, of_tensor: bool, elements: int, kind: int, name: str
) -> tuple[int, int, int]:
    """Where a number of a tensor or of an attribute ends; how many elements and what type there are with it."""
    if tag not in ((_DIM, _DATA_TYPE, _DATA_LOCATION) if of_tensor else (_WHOLE,)):
        return _behind(model, tag, at, name), elements, kind
    number, at = _number(model, at, name, _LONGEST_NUMBER)
    if tag == _DIM and of_tensor:
        return at, elements * number, kind
    if tag == _DATA_LOCATION and of_tensor:
        return (at, elements, kind) if number == 0 else _external(name)
    return at, elements, number


def _product(model: bytes, at: int, end: int, name: str) -> int:
    """Of numbers one behind the other."""
    product = 1
    while at < end:
        number, at = _number(model, at, name, _LONGEST_NUMBER)
        product *= number
    return product


def _check_size(elements: int, kind: int, raw: int, name: str) -> None:
    """A tensor has the bytes that its shape needs: ONNX Runtime before 1.25 reads on behind them, and crashes."""
    bits = _BITS[kind] if kind < len(_BITS) else 0
    if raw != (elements * bits + 7) // 8:
        raise BundleError(
            f"graph '{name}' holds a tensor of {elements} elements of type {kind} in {raw} bytes, which is not what they take"
        )


def _check_growth(nodes: int, growing: str, name: str) -> None:
    if nodes > GRAPH_NODES:
        raise BundleError(f"graph '{name}' has {nodes} nodes; at most {GRAPH_NODES} are loaded")
    if growing:
        raise BundleError(
            f"graph '{name}' has {growing}, which take memory beyond the file's size when it is loaded or run: refused. Write them out, or make them "
            "dense, when it is exported (onnx.inliner.inline_local_functions does it for functions)"
        )


def _behind(model: bytes, tag: int, at: int, name: str) -> int:
    """Where a field ends that is a number."""
    wire = tag & 7
    if wire == _VARINT:
        return _number(model, at, name, _LONGEST_NUMBER)[1]
    if wire == _FIXED32:
        return at + 4
    if wire == _FIXED64:
        return at + 8
    return _unreadable(name)


def _number(model: bytes, at: int, name: str, longest: int = _LONGEST_TAG) -> tuple[int, int]:
    """A number of variable length, and where it ends. A tag or a size that is longer, others would cut off, and see another."""
    value = 0
    for place in range(longest):
        byte = model[at + place]
        value |= (byte & 127) << 7 * place
        if byte < 128:
            if longest == _LONGEST_TAG and value > _LARGEST_TAG:
                break
            return value, at + place + 1
    return _unreadable(name)


def _external(name: str) -> NoReturn:
    raise BundleError(
        f"graph '{name}' keeps data of a tensor in another file, which is refused: nothing outside of a bundle is read. "
        "Save it as one file: onnx.save(onnx.load(PATH), PATH, save_as_external_data=False)"
    )


def _engine(name: str) -> NoReturn:
    raise BundleError(
        f"graph '{name}' names an engine for a GPU (a node {_ENGINE_CONTEXT.decode()}), which is native code, and may be in another file: refused. "
        "Use the graph that it was compiled from"
    )


def _unreadable(name: str) -> NoReturn:
    raise BundleError(f"graph '{name}' is no readable ONNX file")
