"""A graph that would make its reader read another file is refused before anything loads it, wherever the format lets it say so."""

from __future__ import annotations

import hashlib
import json
import random

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

import edgemm
from edgemm.errors import BundleError
from edgemm.runners import self_contained
from edgemm.runners.onnxruntime import OnnxRuntimeRunner
from edgemm.runners.self_contained import MESSAGES, check_self_contained

SECRET = bytes(range(1, 13))


def tensor(name="w"):
    """float32 (3,)"""
    return numpy_helper.from_array(np.frombuffer(SECRET, np.float32), name)


def external(proto, location="secret"):
    """The same tensor, with its data in a file."""
    proto.ClearField("raw_data")
    proto.data_location = TensorProto.EXTERNAL
    entry = proto.external_data.add()
    entry.key, entry.value = "location", location
    return proto


def add(x="x", y="w", out="y"):
    return helper.make_node("Add", [x, y], [out])


def value(name, shape=("batch", 3)):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model_of(nodes, initializers=(), sparse=(), **more):
    graph = helper.make_graph(nodes, "g", [value("x")], [value("y")], initializers, sparse_initializer=sparse)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9, **more)


def constant(**attribute):
    return helper.make_node("Constant", [], ["w"], **attribute)


def sparse(part):
    values, indices = tensor(), numpy_helper.from_array(np.arange(3, dtype=np.int64), "i")
    external(values if part == "values" else indices)
    return helper.make_sparse_tensor(values, indices, [3])


def in_branch():
    graph = helper.make_graph([add()], "inner", [], [value("y")], [external(tensor())])
    node = helper.make_node("If", ["condition"], ["y"], then_branch=graph, else_branch=graph)
    return model_of([node], [numpy_helper.from_array(np.array(True), "condition")])


def in_branch_of_branch():
    inner = in_branch().graph
    del inner.input[:]
    node = helper.make_node("If", ["condition"], ["y"], then_branch=inner, else_branch=inner)
    return model_of([node], [numpy_helper.from_array(np.array(True), "condition")])


def in_function():
    body = [helper.make_node("Constant", [], ["w"], value=external(tensor())), add()]
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
    function = helper.make_function("own", "F", ["x"], ["y"], body, opsets[:1])
    model = model_of([helper.make_node("F", ["x"], ["y"], domain="own")], functions=[function])
    model.opset_import.append(opsets[1])
    return model


def in_default_of_function():
    model = in_function()
    del model.functions[0].node[0]
    model.functions[0].attribute_proto.append(helper.make_attribute("w", external(tensor())))
    return model


def in_training(part):
    model = model_of([add()], [tensor()])
    training = onnx.TrainingInfoProto()
    getattr(training, part).initializer.append(external(tensor()))
    model.training_info.append(training)
    return model


def in_attributes(kind):
    attribute = onnx.AttributeProto(name="w", type=kind)
    made = {
        "TENSORS": lambda: attribute.tensors.append(external(tensor())),
        "GRAPHS": lambda: attribute.graphs.append(in_branch().graph),
        "SPARSE_TENSORS": lambda: attribute.sparse_tensors.append(sparse("values")),
    }[onnx.AttributeProto.AttributeType.Name(kind)]
    made()
    node = add()
    node.attribute.append(attribute)
    return model_of([node], [tensor()])


PLACES = {
    "initializer": lambda: model_of([add()], [external(tensor())]),
    "constant": lambda: model_of([constant(value=external(tensor())), add()]),
    "sparse constant": lambda: model_of([constant(sparse_value=sparse("values")), add()]),
    "sparse initializer": lambda: model_of([add()], sparse=[sparse("values")]),
    "indices of a sparse initializer": lambda: model_of([add()], sparse=[sparse("indices")]),
    "branch": in_branch,
    "branch of a branch": in_branch_of_branch,
    "function": in_function,
    "default of a function": in_default_of_function,
    "initialization of training": lambda: in_training("initialization"),
    "algorithm of training": lambda: in_training("algorithm"),
    "list of tensors": lambda: in_attributes(onnx.AttributeProto.TENSORS),
    "list of graphs": lambda: in_attributes(onnx.AttributeProto.GRAPHS),
    "list of sparse tensors": lambda: in_attributes(onnx.AttributeProto.SPARSE_TENSORS),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_tensor_whose_data_is_in_a_file_is_refused_wherever_it_stands(place):
    with pytest.raises(BundleError, match="graph 'net' keeps data of a tensor in another file"):
        OnnxRuntimeRunner(PLACES[place]().SerializeToString(), "net")


def put(bundle, name, content):
    """Replace a file of a bundle, and seal it again, as anybody can."""
    (bundle / name).write_bytes(content)
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    text = json.dumps(manifest)
    (bundle / "manifest.json").write_text(text)
    (bundle / "manifest.sha256").write_text(hashlib.sha256(text.encode()).hexdigest())


def test_a_bundle_cannot_read_what_lies_in_the_working_directory(one_node, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(16 * SECRET)
    spied = helper.make_graph(
        [helper.make_node("Max", ["a", "b", "w"], ["answer"])],
        "g",
        [value("a"), value("b")],
        [value("answer")],
        [external(numpy_helper.from_array(np.zeros((16, 3), np.float32), "w"))],
    )
    opsets = [helper.make_opsetid("", 18)]
    content = helper.make_model(spied, opset_imports=opsets, ir_version=9).SerializeToString()
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    nothing = np.zeros((1, 3), np.float32)
    assert session.run(None, {"a": nothing, "b": nothing})[0].tobytes() == 16 * SECRET, "it would be read"
    put(one_node, "graphs/net/model.onnx", content)
    with pytest.raises(BundleError, match="nothing outside of a bundle is read"):
        edgemm.open(one_node)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda proto: proto.ClearField("data_location"),
        lambda proto: proto.ClearField("external_data"),
    ],
)
def test_half_of_what_says_that_data_is_in_a_file_is_enough_to_be_refused(spoil):
    proto = external(tensor())
    spoil(proto)
    with pytest.raises(BundleError, match="another file"):
        check_self_contained(model_of([add()], [proto]).SerializeToString(), "net")


def test_a_graph_that_says_that_it_holds_its_data_loads():
    proto = tensor()
    proto.data_location = TensorProto.DEFAULT
    content = model_of([add()], [proto]).SerializeToString()
    answer = OnnxRuntimeRunner(content, "net").run({"x": np.zeros((1, 3), np.float32)})[0]
    assert answer.tobytes() == SECRET


def length_delimited(tag, content):
    return bytes([*tag, len(content)]) + content


# A tensor in a graph in a model, its location EXTERNAL, in ways that the canonical writer never writes but every parser reads.
GRAPH, INITIALIZER = b"\x3a", b"\x2a"
ODD = {
    "a tag that is longer than it need be": length_delimited(GRAPH, length_delimited(b"\xaa\x80\x00", b"\x70\x01")),
    "a location that is longer than it need be": length_delimited(GRAPH, length_delimited(INITIALIZER, b"\x70\x81\x00")),
    "a location that is cut off to EXTERNAL": length_delimited(
        GRAPH, length_delimited(INITIALIZER, b"\x70\x81\x80\x80\x80\x10")
    ),
    "the graph in two parts": length_delimited(GRAPH, b"") + length_delimited(GRAPH, length_delimited(INITIALIZER, b"\x70\x01")),
    "a location that is taken back": length_delimited(GRAPH, length_delimited(INITIALIZER, b"\x70\x01\x70\x00")),
}  # fmt: skip


@pytest.mark.parametrize("way", ODD)
def test_an_odd_spelling_hides_nothing(way):
    parsed = onnx.load_from_string(ODD[way])
    assert len(parsed.graph.initializer) == 1
    with pytest.raises(BundleError, match="another file"):
        check_self_contained(ODD[way], "net")


@pytest.mark.parametrize(
    "content",
    [
        b"\x3a",  # ends before a size
        b"\x3a\x05\x2a",  # ends before what it says
        b"\x3a\x02\x2a\x05\x70\x01\x00",  # a tensor that reaches beyond its graph
        b"\x3b\x2a\x02\x70\x01\x3c",  # a group
        b"\xba\x80\x80\x80\x80\x00\x00",  # a tag of six bytes
        b"\xba\x80\x80\x80\x10\x00",  # a tag that a parser cuts off to that of a graph
        b"\x08" + b"\xff" * 10 + b"\x01",  # a number of eleven bytes
        b"\x0d\x00",  # half of four bytes
        b"\x09\x00",  # an eighth of eight
    ],
)
def test_what_is_no_sound_message_is_refused(content):
    with pytest.raises(BundleError, match="graph 'net' is no readable ONNX file"):
        check_self_contained(content, "net")


def test_the_runtime_s_own_format_is_refused():
    with pytest.raises(BundleError, match="own format"):
        check_self_contained(b"\x12\x00\x00\x00ORTM" + bytes(64), "net")


def test_a_node_that_names_an_engine_is_refused():
    node = helper.make_node(
        "EPContext", ["x"], ["y"], domain="com.microsoft", ep_cache_context="engine.plan", embed_mode=0
    )
    with pytest.raises(BundleError, match="names an engine for a GPU"):
        check_self_contained(model_of([node]).SerializeToString(), "net")


def holds_external(message):
    """Whether a parsed message has a tensor whose data is elsewhere, at any depth."""
    if isinstance(message, onnx.TensorProto) and (message.data_location or message.external_data):
        return True
    inside = [(field, value) for field, value in message.ListFields() if field.message_type is not None]
    return any(
        holds_external(one) for _, value in inside for one in ([value] if hasattr(value, "ListFields") else value)
    )


def test_whatever_a_parser_sees_is_seen_here():
    """Thousands of files, each broken in a few places: none that a parser reads with a tensor elsewhere is let through."""
    chance = random.Random(7)
    seeds = [make().SerializeToString() for make in PLACES.values()] + list(ODD.values())
    telling = [0, 1, 2, 0x0A, 0x2A, 0x3A, 0x6A, 0x70, 0x7F, 0x80, 0xFF]
    seen = 0
    for _ in range(5_000):
        content = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(content))
            content[place : place + chance.choice([0, 1, 1])] = bytes(
                chance.choices(telling, k=chance.choice([1, 1, 2]))
            )
        try:
            parsed = onnx.ModelProto.FromString(bytes(content))
        except DecodeError:
            continue
        if holds_external(parsed):
            seen += 1
            with pytest.raises(BundleError):
                check_self_contained(bytes(content), "net")
    assert seen > 200


def test_every_way_to_a_tensor_that_the_format_has_is_known():
    """Of the installed onnx: a field that a later version adds is noticed here."""
    found, waiting = {}, [onnx.ModelProto.DESCRIPTOR]
    while waiting:
        message = waiting.pop()
        if message.name in found:
            continue
        inside = [field for field in message.fields if field.message_type is not None]
        found[message.name] = {field.number: field.message_type.name for field in inside}
        waiting += [field.message_type for field in inside]
    leads = {"TensorProto", "NodeProto"}
    while more := {name for name, inside in found.items() if leads & set(inside.values())} - leads:
        leads |= more
    expected = {name: {n: to for n, to in found[name].items() if to in leads} for name in leads}
    assert expected == MESSAGES
    tensor_fields = onnx.TensorProto.DESCRIPTOR.fields_by_name
    assert (tensor_fields["external_data"].number, tensor_fields["data_location"].number) == (13, 14)
    assert onnx.NodeProto.DESCRIPTOR.fields_by_name["op_type"].number == 4


def test_the_time_does_not_grow_with_the_weights(monkeypatch):
    """By the number of fields, not by the clock: twenty million weights are one field."""
    monkeypatch.setattr(self_contained, "GRAPH_FIELDS", 40)
    large = numpy_helper.from_array(np.zeros(20_000_000, np.uint8), "w")
    check_self_contained(model_of([add()], [large]).SerializeToString(), "net")


def test_a_graph_of_more_fields_than_any_has_is_refused(monkeypatch):
    monkeypatch.setattr(self_contained, "GRAPH_FIELDS", 100)
    check_self_contained(b"\x08\x01" * 100, "net")
    with pytest.raises(BundleError, match="more than 100 fields"):
        check_self_contained(b"\x08\x01" * 101, "net")


def test_nesting_has_no_end_that_breaks_the_walk():
    content = b""
    for _ in range(2_000):  # graph > node > attribute > graph …, each one around the last
        for tag in (0x32, 0x2A, 0x0A):
            size = len(content)
            length = bytearray()
            while size > 127:
                length.append(size & 127 | 128)
                size >>= 7
            content = bytes([tag, *length, size]) + content
    size = len(content)
    check_self_contained(b"\x3a" + bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14]) + content, "net")


def with_function():
    model = in_function()
    del model.functions[0].node[0].attribute[:]
    model.functions[0].node[0].attribute.append(helper.make_attribute("value", tensor()))
    return model


def texts():
    many = TensorProto(name="s", data_type=TensorProto.STRING, dims=[2**27])  # 4 GiB of empty ones
    return model_of([add()], [tensor(), many])


def texts_of_numbers():
    return model_of([helper.make_node("Cast", ["x"], ["t"], to=TensorProto.STRING), add()], [tensor()])


def texts_of_a_constant():
    return model_of([helper.make_node("Constant", [], ["t"], value_strings=[b"a" * 100]), add()], [tensor()])


def dense_in_a_file():
    values, indices = tensor(), numpy_helper.from_array(np.arange(3, dtype=np.int64), "i")
    return model_of([add()], sparse=[helper.make_sparse_tensor(values, indices, [3])])


@pytest.mark.parametrize(
    ("make", "what"),
    [(with_function, "functions of its own"), (texts, "texts"), (texts_of_numbers, "texts"), (texts_of_a_constant, "texts"), (dense_in_a_file, "a sparse tensor")],
)  # fmt: skip
def test_what_would_grow_beyond_its_file_is_refused(make, what):
    with pytest.raises(BundleError, match=f"graph 'net' has {what}, which take memory beyond the file's size"):
        check_self_contained(make().SerializeToString(), "net")


def test_a_graph_with_too_many_nodes_is_refused(monkeypatch):
    content = model_of([add(), add("y", "w", "z")], [tensor()]).SerializeToString()
    monkeypatch.setattr(self_contained, "GRAPH_NODES", 2)
    check_self_contained(content, "net")
    monkeypatch.setattr(self_contained, "GRAPH_NODES", 1)
    with pytest.raises(BundleError, match="has 2 nodes; at most 1 are loaded"):
        check_self_contained(content, "net")


def sized(kind, dims, raw):
    """A graph with one tensor, which says what it likes."""
    tensor = TensorProto(name="w", data_type=kind, dims=dims, raw_data=raw)
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [], [tensor])
    return helper.make_model(graph).SerializeToString()


@pytest.mark.parametrize(
    ("kind", "dims", "size"),
    [
        (TensorProto.FLOAT, [2, 3], 24), (TensorProto.INT64, [], 8), (TensorProto.BOOL, [0, 5], 0), (TensorProto.INT4, [3], 2),
        (TensorProto.FLOAT16, [200], 400), (TensorProto.COMPLEX128, [1], 16), (TensorProto.UINT4, [4], 2),
    ],
)  # fmt: skip
def test_a_tensor_with_the_bytes_that_its_shape_needs_is_taken_and_with_any_other_number_refused(kind, dims, size):
    check_self_contained(sized(kind, dims, bytes(size)), "g")
    for wrong in (size + 1, size - 1, 1000):
        if wrong >= 0:
            with pytest.raises(
                BundleError, match=rf"'g' holds a tensor of \d+ elements of type {kind} in {wrong} bytes"
            ):
                check_self_contained(sized(kind, dims, bytes(wrong)), "g")


@pytest.mark.parametrize(
    ("kind", "dims"), [(TensorProto.STRING, [1]), (99, [1]), (TensorProto.FLOAT, [-1]), (TensorProto.FLOAT, [2**62, 4])]
)
def test_a_tensor_of_no_size_that_could_be_is_refused(kind, dims):
    with pytest.raises(BundleError, match="which is not what they take"):
        check_self_contained(sized(kind, dims, bytes(4)), "g")


def test_a_shape_that_is_packed_counts_as_one_that_is_not():
    packed = b"\x0a\x02\x02\x03" + b"\x10\x01" + b"\x4a" + bytes([24]) + bytes(24)  # dims [2, 3], FLOAT, raw_data
    assert list(TensorProto.FromString(packed).dims) == [2, 3]
    graph = b"\x2a" + bytes([len(packed)]) + packed
    check_self_contained(b"\x3a" + bytes([len(graph)]) + graph, "g")
    shorter = packed.replace(b"\x02\x03", b"\x02\x04", 1)
    graph = b"\x2a" + bytes([len(shorter)]) + shorter
    with pytest.raises(BundleError, match="a tensor of 8 elements of type 1 in 24 bytes"):
        check_self_contained(b"\x3a" + bytes([len(graph)]) + graph, "g")


def test_numbers_may_be_cast_to_numbers():
    nodes = [helper.make_node("Cast", ["x"], ["d"], to=TensorProto.DOUBLE), add()]
    grouped = helper.make_node("Other", ["x"], ["z"], group=TensorProto.STRING)
    check_self_contained(model_of([*nodes, grouped], [tensor()]).SerializeToString(), "net")
