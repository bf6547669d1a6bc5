"""Truncated, damaged, foreign and hostile files: a CheckpointError with the file's name."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
import resource
import time

import numpy as np
import pytest

from symgraph.errors import CheckpointError
from symgraph.graph import Graph
from symgraph.io import graph_from_json, graph_to_json, load, save
from symgraph.nn import Linear
from symgraph.symbol import input

ARRAYS = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "mask": np.array([True, False])}


@pytest.fixture
def good(tmp_path) -> bytes:
    save(tmp_path / "good", ARRAYS)
    return (tmp_path / "good").read_bytes()


def refused(path, content: bytes, match: str = "hostile|cut|trap|long") -> str:
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=match) as caught:
        load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_cut_at_every_length(tmp_path, good):
    for length in range(len(good)):
        text = refused(tmp_path / "cut", good[:length])
        assert str(length) in text  # the actual size


def test_trailing_bytes(tmp_path, good):
    refused(tmp_path / "long", good + b"\0", "expected")


def test_every_flipped_byte(tmp_path, good):
    path = tmp_path / "flipped"
    generator = random.Random(0)
    header_end = 8 + int.from_bytes(good[:8], "little")
    for position in range(len(good)):
        for mask in (1, generator.randrange(2, 256)):
            changed = bytearray(good)
            changed[position] ^= mask
            path.write_bytes(changed)
            try:
                found = load(path)
            except CheckpointError:
                continue
            assert position < header_end and good[position : position + 1] == b" "
            assert all(np.array_equal(found[name], array) for name, array in ARRAYS.items())


def test_random_mutations_raise_nothing_else(tmp_path, good):
    path = tmp_path / "mutated"
    generator = random.Random(1)
    tokens = [b"{", b"[", b'"', b"-1", b"1e999", b"NaN", b"9" * 30, b"null", b"\xff", b"F64", b"data_offsets"]
    for _ in range(1000):
        changed = bytearray(good)
        for _ in range(generator.randrange(1, 4)):
            at = generator.randrange(8, len(changed))
            end = at + generator.choice([0, 1, 5, 20])
            changed[at:end] = generator.choice([*tokens, bytes(changed[at : at + 30]), b""])
        length = int.from_bytes(good[:8], "little") + len(changed) - len(good)
        changed[:8] = max(length, 0).to_bytes(8, "little")
        path.write_bytes(changed)
        with contextlib.suppress(CheckpointError):
            load(path, verify=generator.random() < 0.5)


def packed(header: object, payload: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + payload


def entry(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


HOSTILE = {
    "empty": b"",
    "short": b"\x01\x00",
    "length of 2^63-1": (2**63 - 1).to_bytes(8, "little") + b"{}",
    "length of -1": b"\xff" * 8 + b"{}",
    "no JSON": packed(b"not json"),
    "no object": packed([1, 2]),
    "nested": packed(b"[" * 100_000),
    "nested objects": packed(b'{"a":' * 100_000),
    "repeated key": packed(b'{"a":%b,"a":%b}' % ((json.dumps(entry([1], 0, 4)).encode(),) * 2), bytes(4)),
    "not a size": packed(b'{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', bytes(4)),
    "infinite size": packed(b'{"a":{"dtype":"F32","shape":[1e999],"data_offsets":[0,4]}}', bytes(4)),
    "long number": packed(
        b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,4]}}', bytes(4)
    ),
    "overlap": packed({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
    "hole": packed({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)),
    "descending": packed({"a": entry([1], 4, 8), "b": entry([1], 0, 4)}, bytes(8)),
    "negative offset": packed({"a": entry([1], -4, 0)}),
    "negative shape": packed({"a": entry([-1, -1], 0, 4)}, bytes(4)),
    "product over 2^64": packed({"a": entry([2**32, 2**32, 2], 0, 8)}, bytes(8)),
    "too large": packed({"a": entry([2**40], 0, 2**42)}, bytes(8)),
    "unknown dtype": packed({"a": entry([1], 0, 4, "F99")}, bytes(4)),
    "dtype is a list": packed({"a": entry([1], 0, 4, ["F32"])}, bytes(4)),
    "bool as a size": packed({"a": entry([True], 0, 4)}, bytes(4)),
    "no bool": packed({"a": entry([1], 0, 1, "BOOL")}, b"\x02"),
    "missing key": packed({"a": {"dtype": "F32", "shape": [1]}}, bytes(4)),
    "surplus key": packed({"a": {**entry([1], 0, 4), "x": 1}}, bytes(4)),
    "name with NUL": packed({"a\0": entry([1], 0, 4)}, bytes(4)),
    "long name": packed({"a" * 2**20: entry([1], 0, 4)}, bytes(4)),
    "empty name": packed({"": entry([1], 0, 4)}, bytes(4)),
    "metadata of numbers": packed({"__metadata__": {"a": 1}}),
    "metadata list": packed({"__metadata__": [1]}),
    "many arrays": packed({f"{i}": entry([], 4 * i, 4 * i + 4) for i in range(70_000)}, bytes(280_000)),
    "many values of metadata": packed({"__metadata__": {f"{i}": "" for i in range(300_000)}}),
    "many dimensions": packed({"a": entry([1] * 300_000, 0, 4)}, bytes(4)),
    "a hundred dimensions": packed({"a": entry([1] * 100, 0, 4)}, bytes(4)),  # more than numpy has
    "a long text that is none": packed(b'{"symgraph":"' + b"\\" * 1_000_000),
    "text is a number": packed({"__metadata__": {"symgraph": 1}}),
    "half precision": packed({"a": entry([2], 0, 4, "F16")}, bytes(4)),
    "brain floats": packed({"a": entry([2], 0, 4, "BF16")}, bytes(4)),
    "bad text": packed(b'{"\xff":1}'),
    "zip": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("verify", [True, False])
def test_hostile_headers(tmp_path, name, verify):
    path = tmp_path / "hostile"
    path.write_bytes(HOSTILE[name])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        load(path, verify=verify)
    assert time.monotonic() - start < 1.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 64 * 1024
    assert str(path) in str(caught.value) and len(str(caught.value)) < 2000


def test_a_file_too_large_to_read_is_refused_from_its_header(tmp_path):
    path = tmp_path / "sparse"
    path.write_bytes(packed({"a": entry([4], 0, 16)}))
    os.truncate(path, 1 << 40)
    with pytest.raises(CheckpointError, match=f"the file has {1 << 40}"):
        load(path, verify=False)


def test_a_pickle_is_not_run(tmp_path):
    marker = tmp_path / "marker"

    class Trap:
        def __reduce__(self):
            return os.system, (f"touch {marker}",)

    refused(tmp_path / "trap", pickle.dumps(Trap()))
    assert not marker.exists()


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(CheckpointError, match="expected a file"):
            load(path)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")


def small_graph() -> Graph:
    x = input("x", ("batch", 3))
    return Graph(inputs=(x.node,), outputs=((Linear(3, 2)(x) * 2.0).node,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g["nodes"][-1].update(op="os.system"), "op 'os.system' is unknown"),
        (lambda g: g["nodes"][-1].update(type=["f32", 7]), "is stored as f32"),
        (lambda g: g["nodes"][-1].update(inputs=[len(g["nodes"])]), "number"),
        (lambda g: g["nodes"][-1].update(inputs=[-1]), "number -1"),
        (lambda g: g["nodes"][-1].update(inputs=[True]), "whole number"),
        (lambda g: g["nodes"][-1].update(attrs={"axis": 1}), "unexpected keyword"),
        (lambda g: g["nodes"][-1].update(at=99), "number 99"),
        (lambda g: g.update(outputs=[99]), "number 99"),
        (lambda g: g.update(inputs=[1]), "an input that is none"),
        (lambda g: g.update(checks=[1]), "no int32 scalar"),
        (lambda g: g.update(updates=[[0, 0]]), "only a parameter or a state"),
        (lambda g: g.update(updates=[[0]]), "damaged"),
        (lambda g: g.update(states=[]), "number 0 of 0"),
        (lambda g: g.pop("nodes"), "KeyError"),
        (lambda g: g["states"][0].update(array="missing"), "missing"),
        (lambda g: g["states"][0].update(name=5), "named 5"),
        (lambda g: g["locations"].append([1, 2, 3]), "location"),
    ],
)
def test_damaged_graphs(change, message):
    described, tensors = graph_to_json(small_graph())
    described = json.loads(json.dumps(described))
    change(described)
    with pytest.raises(CheckpointError, match=message):
        graph_from_json(described, tensors)


def test_random_changes_of_a_graph_raise_nothing_else():
    described, tensors = graph_to_json(small_graph())
    text = json.dumps(described)
    generator = random.Random(2)
    values = [
        "-1",
        "0",
        "1e9",
        "null",
        "[]",
        "{}",
        '"x"',
        '{"tuple":[1]}',
        '{"dim":[[["b"],0]]}',
        "true",
        "99999999999",
    ]
    refusals = 0
    for _ in range(2000):
        at = generator.randrange(len(text))
        changed = text[:at] + generator.choice(values) + text[at + generator.randrange(0, 12) :]
        try:
            again = json.loads(changed)
        except ValueError:
            continue
        try:
            graph_from_json(again, dict(tensors))
        except CheckpointError:
            refusals += 1
    assert refusals > 20
