"""Files that somebody made to do harm, or that a disk has damaged, through everything that reads.

    python tests/hostile_files.py 700

Each must be told in a clear line: no bug of symflow's, no traceback, nothing executed, nothing
written, nothing that a terminal would obey, little memory, little time. What is not told must be
read as what it was before it was changed.
"""

from __future__ import annotations

import argparse
import gzip
import io
import itertools
import json
import os
import pickle
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

MODEL = """\
import symflow as sf
x = sf.placeholder(shape=("n", 3))
y = sf.placeholder(shape=("n",))
w = sf.Variable([0.5, -0.5, 0.25])
b = sf.Variable(0.5)
prediction = x @ w + b
loss = sf.reduce_mean(sf.square(prediction - y))
sf.train.AdamOptimizer(0.01).minimize(loss)
"""
ROWS = "x_0,x_1,x_2,y\n1,2,3,4\n5,6,7,8\n1,0,1,0\n"
VALUES = {
    "w": np.array([1.0, 2.0, 3.0]),
    "b": np.array(0.25),
    "x": np.arange(12.0).reshape(4, 3),
    "y": np.array([1.0, 0.0, 2.0, 1.0]),
}
"""Parameters and inputs: each reader takes what it wants; `--at` takes all of it."""

MOST_SECONDS = 20
MOST_MEMORY = 400 * 2**20
CANARY = "canary"


@dataclass(frozen=True)
class Hostile:
    """A file: `kind` is its suffix; `make` may put it there itself, as a link or a pipe."""

    name: str
    kind: str
    content: bytes = b""
    make: Callable[[Path], object] | None = None

    def put(self, folder: Path) -> Path:
        path = folder / f"hostile{self.kind}"
        if path.is_symlink() or path.exists():
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        if self.make is None:
            path.write_bytes(self.content)
        else:
            self.make(path)
        return path


# --- arrays --------------------------------------------------------------------------------------


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=True)
    return file.getvalue()


def npy_of(
    header: str | bytes, data: bytes = b"\0" * 24, version: tuple[int, int] = (1, 0)
) -> bytes:
    """An array of any header."""
    text = header.encode("latin1") if isinstance(header, str) else header
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text + data


def header(
    descr: str = "'<f8'", shape: str = "(3,)", by_columns: str = "False", more: str = ""
) -> str:
    return f"{{'descr': {descr}, 'fortran_order': {by_columns}, 'shape': {shape}, {more}}}"


def zipped(
    members: list[tuple[str, bytes]], kind: int = zipfile.ZIP_STORED, comment: bytes = b""
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=kind)
        archive.comment = comment
    return file.getvalue()


def members(arrays: dict[str, Any] | None = None) -> list[tuple[str, bytes]]:
    return [(f"{name}.npy", npy(value)) for name, value in (arrays or VALUES).items()]


def with_member(content: bytes, of: tuple[str, ...] = ("w", "x")) -> list[tuple[str, bytes]]:
    """All that is wanted, but for one member of the parameters, and one of the rows."""
    return [(name, content if name[:-4] in of else old) for name, old in members()]


class Payload:
    """What a pickle would do."""

    def __reduce__(self) -> Any:
        return (Path(CANARY).touch, ())


HEADERS = {
    "huge": header(shape="(1000000000000,)"),
    "huge in two axes": header(shape=f"({2**40}, {2**40})"),
    "more than 64 bits": header(shape=f"({10**30},)"),
    "huge and empty": header(shape=f"({2**62}, 0)"),
    "negative": header(shape="(-3,)"),
    "negative twice": header(shape="(-1, -3)"),
    "many axes": header(shape=f"({'1, ' * 70})"),
    "floats": header(shape="(3.0,)"),
    "booleans": header(shape="(True, 3)"),
    "a number": header(shape="3"),
    "a list": header(shape="[3]"),
    "None": header(shape="None"),
    "text as shape": header(shape="'abc'"),
    "nested shape": header(shape="((3,),)"),
    "objects": header("'|O'"),
    "text": header("'<U2'"),
    "long text": header("'<U999999999'"),
    "bytes": header("'|S8'"),
    "complex": header("'<c16'"),
    "times": header("'<M8[s]'"),
    "void": header("'|V8'"),
    "large void": header("'|V2147483647'"),
    "structured": header("[('a', '<f8')]"),
    "structured with escapes": header("[('\\x1b[31m', '<f8')]"),
    "subarrays": header("('<f8', (1000000,))"),
    "nine bytes": header("'<f9'"),
    "a formula": header("'f8,f8'"),
    "an unknown type": header("'<z8'"),
    "no type": header("None"),
    "code as type": header(f"__import__('pathlib').Path({CANARY!r}).touch()"),
    "code as shape": header(shape=f"(open({CANARY!r}, 'w'),)"),
    "order as text": header(by_columns="'yes'"),
    "one key more": header(more="'more': 1"),
    "two keys less": "{'descr': '<f8'}",
    "no dictionary": "'<f8'",
    "nothing": "",
    "not closed": "{'descr': ('<f8'",
    "deep": "(" * 3000,
    "deep and closed": "[" * 90 + "]" * 90,
    "a null byte": header().replace("3", "3\0"),
    "an escape": "\x1b]0;title\x07" + header(),
    "latin": "\xe9\xff" + header(),
    "long": header(more="#" * 20000),
    "dedented": "  if\n x:\n\ty",
}


def arrays() -> Iterator[tuple[str, bytes]]:
    """Archives in which one array is hostile."""
    for name, text in HEADERS.items():
        yield f"header: {name}", zipped(with_member(npy_of(text)))
        yield f"header 2.0: {name}", zipped(with_member(npy_of(text, version=(2, 0))))
    for name, content in {
        "magic": b"\x93NUMPX" + npy(VALUES["w"])[6:],
        "version": b"\x93NUMPY\x09\x09" + npy(VALUES["w"])[8:],
        "header longer than the file": b"\x93NUMPY\x01\x00\xff\xff{}",
        "header of 4 GB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}",
        "cut": npy(VALUES["x"])[:-8],
        "empty member": b"",
        "a pickle": pickle.dumps(Payload()),
        "an array of pickles": npy(np.array([Payload()], object)),
        "text": b"1 2 3",
        "other shape": npy(np.zeros((2, 2, 2))),
        "empty array": npy(np.zeros((0, 3))),
        "another archive": zipped(members()),
    }.items():
        yield f"member: {name}", zipped(with_member(content))
    for name, value in {
        "objects": np.array([None, 1.0, "a"], object),
        "text": np.array(["1", "2", "3"]),
        "bytes": np.array([b"1", b"2", b"3"]),
        "complex": np.array([1j, 2, 3]),
        "times": np.array([1, 2, 3], "M8[s]"),
        "structured": np.zeros(3, [("a", "f8"), ("b", "i4")]),
        "void": np.zeros(3, "V8"),
    }.items():
        yield f"values: {name}", zipped(with_member(npy(value)))


def names() -> Iterator[tuple[str, bytes]]:
    """Archives with hostile names of members, and without those that are wanted."""
    value = npy(VALUES["w"])
    for name in (
        "../../w",
        "/etc/w",
        "C:\\w",
        "w/../w",
        "\x1b[2J\x1b[31mw",
        "w\nsymflow: all is well",
        "\u202ew",
        "w\0",
        "ｗ",
        "é",
        "w" * 60000,
        "",
        " ",
        "__class__",
        "training/run",
        "{w}",
        "%s%s%s%n",
        "$(touch canary)",
    ):
        yield f"name: {name[:20]!r}", zipped([(f"{name}.npy", value)])
    yield "names: twice", zipped([*members(), *members()])
    yield "names: without .npy", zipped([(name[:-4], content) for name, content in members()])
    yield "names: very many", zipped([(f"a{at}.npy", b"") for at in range(3000)])
    yield "names: none", zipped([])
    yield "names: only some", zipped(members({"w": VALUES["w"]}))


def patched(content: bytes, offset: int, value: bytes, every: bytes = b"PK\x01\x02") -> bytes:
    """An archive with a field of each entry of its directory changed."""
    found, at = bytearray(content), content.find(every)
    while at >= 0:
        found[at + offset : at + offset + len(value)] = value
        at = content.find(every, at + 4)
    return bytes(found)


def archives() -> Iterator[tuple[str, bytes]]:
    """Archives that are damaged, or claim what is not so."""
    whole, packed = zipped(members()), zipped(members(), zipfile.ZIP_DEFLATED)
    local = b"PK\x03\x04"
    yield "encrypted", patched(patched(whole, 8, b"\x01\0"), 6, b"\x01\0", local)
    yield "encrypted strongly", patched(whole, 8, b"\x41\0")
    yield "an unknown compression", patched(whole, 10, b"\x63\0")
    yield "compression that is none", patched(whole, 10, b"\x08\0")
    yield "lzma that is none", patched(whole, 10, b"\x0e\0")
    yield "bzip2 that is none", patched(whole, 10, b"\x0c\0")
    yield "lzma cut", zipped(members(), zipfile.ZIP_LZMA)[:-90]
    yield "a version to come", patched(whole, 6, b"\xff\0")
    yield "checksums", patched(whole, 16, b"\x01\x02\x03\x04")
    yield "checksums of packed", patched(packed, 16, b"\x01\x02\x03\x04")
    yield "sizes of 4 GB", patched(whole, 24, b"\xfe\xff\xff\xff")
    yield "sizes of 4 GB, packed", patched(packed, 24, b"\xfe\xff\xff\xff")
    yield "sizes of 4 GB in the file", patched(whole, 20, b"\xfe\xff\xff\xff")
    yield "sizes of nothing", patched(whole, 24, b"\0\0\0\0")
    yield "offsets", patched(whole, 42, b"\xff\xff\xff\x7f")
    yield "offsets to one place", patched(whole, 42, b"\0\0\0\0")
    yield "names of other length", patched(whole, 28, b"\xff\x7f")
    yield "an extra field", patched(whole, 30, b"\x05\0")
    end = whole.rfind(b"PK\x05\x06")
    yield "without an end", whole[:end]
    yield "a directory elsewhere", whole[: end + 16] + b"\xff\xff\xff\x7f" + whole[end + 20 :]
    yield "a directory of 4 GB", whole[: end + 12] + b"\xfe\xff\xff\xff" + whole[end + 16 :]
    yield "64 bits that are none", whole[:end] + b"PK\x06\x07" + b"\xff" * 16 + whole[end:]
    yield "only an end", b"PK\x05\x06" + b"\xff" * 18
    yield "a directory in itself", whole[:4] + whole[:-4]
    bomb = npy_of(header(shape="(11796480,)"), b"")
    flat = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = b"\0" * 2**20
    stream = flat.compress(bomb) + b"".join(flat.compress(zeros) for _ in range(90)) + flat.flush()
    claimed = patched(zipped([("w.npy", stream), ("x.npy", stream)]), 10, b"\x08\0")
    yield "a bomb", patched(patched(claimed, 24, struct.pack("<I", 2**32 - 2)), 8, b"\x08\0", local)
    yield "a bomb that says little", patched(claimed, 24, struct.pack("<I", 200))
    for part in (1, 4, 30, 100, 600, len(whole) - 30, len(whole) - 1):
        yield f"cut at {part}", whole[:part]
    yield "in the middle of others", b"x" * 1000 + whole[500:]


def others() -> Iterator[tuple[str, bytes]]:
    """What is no archive at all."""
    yield "empty", b""
    yield "text", b"w = 1\n"
    yield "one array", npy(VALUES["w"])
    yield "one array of objects", npy(np.array([Payload()], object))
    yield "a pickle", pickle.dumps({"w": Payload()})
    yield "an old pickle", pickle.dumps(Payload(), protocol=0)
    yield "a pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    yield "gzip", gzip.compress(zipped(members()))
    yield "a picture", b"\x89PNG\r\n\x1a\n" + bytes(64)
    yield "zeros", bytes(5000)
    yield "escapes", b"\x1b[31m\x1b]0;title\x07" * 20
    yield "html", b"<script>alert(1)</script>"
    yield "json", json.dumps({"w": [1, 2, 3]}).encode()
    yield "a program", b"#!/bin/sh\ntouch canary\n"
    yield "python", b"open('canary', 'w')\n"


def places(kind: str) -> Iterator[Hostile]:
    """What is no file."""
    yield Hostile("a folder", kind, make=Path.mkdir)
    yield Hostile("a loop", kind, make=lambda path: path.symlink_to(path.name))
    yield Hostile("a link to nothing", kind, make=lambda path: path.symlink_to("nothing"))
    yield Hostile("zeros without end", kind, make=lambda path: path.symlink_to("/dev/zero"))
    yield Hostile("noise without end", kind, make=lambda path: path.symlink_to("/dev/urandom"))
    yield Hostile("a pipe of nobody", kind, make=os.mkfifo)


# --- runs ----------------------------------------------------------------------------------------


def runs(saved: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Runs of training whose record or arrays are hostile; `saved` is a sound one."""

    def changed(**arrays: Any) -> bytes:
        values = {**saved, **{name.replace("__", "/"): one for name, one in arrays.items()}}
        return zipped(members({name: one for name, one in values.items() if one is not None}))

    about = json.loads(str(saved["training/run"]))
    for name in about:
        for value in (
            -(10**9),
            10**30,
            -1,
            1.5,
            float("nan"),
            float("inf"),
            "\x1b[2J",
            None,
            [],
            {},
        ):
            allowed = [1.5, 10**30] if name in ("learning_rate", "tolerance") else []
            allowed += [None] if name in ("batch_size", "learning_rate") else []
            if any(value is one or value == one for one in (about[name], *allowed)):
                continue
            text = json.dumps({**about, name: value})
            yield f"{name} is {value!r}", changed(training__run=np.array(text))
        without = {one: value for one, value in about.items() if one != name}
        yield f"without {name}", changed(training__run=np.array(json.dumps(without)))
    for text in (
        "",
        "{",
        "[]",
        "null",
        "1" * 5000,
        "[" * 5000,
        '{"step": 1, "step": -1}',
        json.dumps({**about, "more": 1}),
        json.dumps(about).replace("}", ', "step": -1000000000}'),
        "\x1b]0;title\x07",
    ):
        yield f"a record that is {text[:20]!r}", changed(training__run=np.array(text))
    yield "a record in bytes", changed(training__run=np.array(json.dumps(about).encode()))
    yield "two records", changed(training__run=np.array([json.dumps(about)] * 2))
    yield "a record of numbers", changed(training__run=np.zeros(3))
    for name in ("losses", "validation", "path", "m/w", "v/b"):
        key = f"training__{name.replace('/', '__')}"
        for what, value in {
            "missing": None,
            "of text": np.array(["a"]),
            "of objects": np.array([Payload()], object),
            "of another shape": np.zeros((7, 5)),
            "of whole numbers": np.array([[1, 2]]),
            "in single precision": np.zeros((9, 1), np.float32),
        }.items():
            yield f"{name} {what}", changed(**{key: value})
    yield "validation at -1", changed(training__validation=np.array([[-1.0, 1.0]]))
    yield "validation at NaN", changed(training__validation=np.array([[np.nan, 1.0]]))
    yield "losses that are fewer", changed(training__losses=np.zeros(1))


# --- tables --------------------------------------------------------------------------------------


def tables() -> Iterator[Hostile]:
    """Text that is no table of numbers."""
    texts: dict[str, bytes | str] = {
        "empty": "",
        "only a line end": "\n",
        "only a header": "x_0,x_1,x_2,y\n",
        "null bytes": "x_0,x_1,x_2,y\n1\0,2,3,4\n",
        "null bytes in the header": "x_0\0,x_1,x_2,y\n1,2,3,4\n",
        "a cell without end": 'x_0,x_1,x_2,y\n"1,2,3,4\n',
        "a header without end": '"x_0,x_1,x_2,y\n1,2,3,4\n',
        "a long cell": "x_0,x_1,x_2,y\n" + "1" * 200000 + "x,2,3,4\n",
        "a long header": "x" * 200000 + ",y\n1,2\n",
        "a line without end": "x_0,x_1,x_2,y\n" + "1" * (2**24 + 5),
        "few cells": "x_0,x_1,x_2,y\n1,2\n",
        "many cells": "x_0,x_1,x_2,y\n1,2,3,4,5\n",
        "twice the same": "x_0,x_1,x_1,y\n1,2,3,4\n",
        "another name": "a,b,c,d,e\n1,2,3,4,5\n",
        "escapes in names": "\x1b[2J,\x1b]0;title\x07,c,d,e\n1,2,3,4,5\n",
        "escapes in a cell": "x_0,x_1,x_2,y\n1,2,\x1b[31m3\x1b[0m,4\n",
        "names from right to left": "\u202ex_0\u202c,x_1,x_2,z,q\n1,2,3,4,5\n",
        "a formula": "x_0,x_1,x_2,y\n=1+1,2,3,4\n",
        "a command": "x_0,x_1,x_2,y\n=cmd|' /C calc'!A0,2,3,4\n",
        "hexadecimal": "x_0,x_1,x_2,y\n0x10,2,3,4\n",
        "too large": "x_0,x_1,x_2,y\n1e999,2,3,4\n",
        "many digits": f"x_0,x_1,x_2,y\n{'9' * 5000},2,3,4\n",
        "not a number": "x_0,x_1,x_2,y\nnan,2,3,4\n",
        "complex": "x_0,x_1,x_2,y\n1+2j,2,3,4\n",
        "empty cells": "x_0,x_1,x_2,y\n1,,3,4\n",
        "code": "x_0,x_1,x_2,y\n__import__('os').mkdir('canary'),2,3,4\n",
        "latin": b"x_0,x_1,x_2,y\n1,2,3,\xe9\n",
        "latin in the header": b"x_0,x_1,\xe9,y\n1,2,3,4\n",
        "UTF-16": ROWS.encode("utf-16"),
        "surrogates": b"x_0,x_1,x_2,y\n1,2,3,\xed\xa0\x80\n",
        "only a mark of order": b"\xef\xbb\xbf",
        "lines that end otherwise": ROWS.replace("\n", "\r").replace("\r1", "\r;1"),
        "a header of lines": '"x_0\nx_1",x_2,y\n1,2,3\n',
        "numbers of other writing": "x_0,x_1,x_2,y\n1.000,5,2,3,4\n",
        "very many columns": ",".join(f"a{at}" for at in range(20000)) + "\n1\n",
        "very many columns of one name": ",".join(["a"] * 20000) + "\n1\n",
        "very many columns in one row": ",".join(["1"] * 20000) + "\n",
        "an archive": zipped(members()),
        "noise": np.random.default_rng(1).bytes(5000),
    }
    for name, text in texts.items():
        content = text.encode() if isinstance(text, str) else text
        yield Hostile(name, ".csv", content)
        if len(content) < 10**6:
            yield Hostile(f"{name}, packed", ".csv.gz", gzip.compress(content, 1))
            yield Hostile(f"{name}, with tabs", ".tsv", content.replace(b",", b"\t"))
    whole = gzip.compress(ROWS.encode())
    for part in (1, 5, 12, len(whole) - 8, len(whole) - 1):
        yield Hostile(f"gzip cut at {part}", ".csv.gz", whole[:part])
    yield Hostile("gzip that is none", ".csv.gz", ROWS.encode())
    yield Hostile("gzip with another checksum", ".csv.gz", whole[:-8] + bytes(8))
    yield Hostile("gzip and noise", ".csv.gz", whole[:20] + bytes(50))
    head = gzip.compress(b"x_0,x_1,x_2,y\n")
    mega = gzip.compress(b"0" * 2**20)
    yield Hostile("a bomb of one line", ".csv.gz", head + mega * 90)
    rows = gzip.compress((b"0,0,0," + b"0" * 2000 + b"\n") * 500)
    yield Hostile("a bomb of rows", ".csv.gz", head + rows * 90)


def parquet() -> Iterator[Hostile]:
    """Files of columns that are no numbers, or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def table(**columns: Any) -> bytes:
        file = io.BytesIO()
        sound = {f"x_{at}": [1.0, 2.0, 3.0] for at in range(3)} | {"y": [1.0, 2.0, 3.0]}
        pq.write_table(pa.table({**sound, **columns}), file)
        return file.getvalue()

    for name, column in {
        "text": ["a", "b", "c"],
        "nothing": [None, None, None],
        "holes": [1.0, None, 3.0],
        "lists": [[1.0], [1.0, 2.0], []],
        "lists of text": [["a"], ["b"], ["c"]],
        "booleans and holes": [True, None, False],
        "bytes": [b"\x1b[31m", b"a", b"b"],
        "not finite": [1.0, float("nan"), 2.0],
        "records": [{"a": 1}, {"a": 2}, {"a": 3}],
        "maps": pa.array([[("a", 1)]] * 3, pa.map_(pa.string(), pa.int64())),
        "decimals": pa.array([1, 2, 3], pa.decimal128(9, 0)),
        "times": pa.array([1, 2, 3], pa.timestamp("s")),
        "days": pa.array([1, 2, 3], pa.date32()),
    }.items():
        yield Hostile(f"a column of {name}", ".parquet", table(x_0=column))
    file = io.BytesIO()
    twice = pa.Table.from_arrays([pa.array([1.0])] * 4, names=["x_0", "x_1", "x_1", "y"])
    pq.write_table(twice, file)
    yield Hostile("two columns of one name", ".parquet", file.getvalue())
    yield Hostile(
        "other names", ".parquet", table(**{"\x1b[2J": [1.0] * 3, "x_0": ["\x1b[2J"] * 3})
    )
    whole = table()
    for part in (1, 4, 100, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        yield Hostile(f"cut at {part}", ".parquet", whole[:part])
    yield Hostile("a footer of 4 GB", ".parquet", whole[:-8] + b"\xff\xff\xff\x7fPAR1")
    yield Hostile("without a footer", ".parquet", b"PAR1" + bytes(100) + b"\x10\0\0\0PAR1")
    yield Hostile("only marks", ".parquet", b"PAR1PAR1")


# --- all of them ---------------------------------------------------------------------------------


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """A file as a disk, a network or somebody with time leaves it."""
    found = bytearray(content)
    for _ in range(int(random.integers(1, 4))):
        at = int(random.integers(0, len(found)))
        way = int(random.integers(0, 5))
        if way == 0:
            found[at] ^= 1 << int(random.integers(0, 8))
        elif way == 1:
            found[at] = int(random.choice([0, 1, 127, 128, 255]))
        elif way == 2:
            del found[at : at + int(random.integers(1, 40))]
        elif way == 3:
            found[at:at] = found[at : at + int(random.integers(1, 40))]
        else:
            found[at : at + 4] = random.bytes(4)
    return bytes(found)


def hostile(saved: dict[str, Any], seed: int) -> Iterator[Hostile]:
    """Hostile files without end: those thought of, and then sound ones that are damaged."""
    for makers in (arrays, names, archives, others):
        for name, content in makers():
            yield Hostile(name, ".npz", content)
    for name, content in runs(saved):
        yield Hostile(f"run: {name}", ".run.npz", content)
    yield from tables()
    yield from parquet()
    for kind in (".npz", ".csv", ".csv.gz", ".parquet", ".run.npz"):
        yield from places(kind)
    random = np.random.default_rng(seed)
    columns = io.BytesIO()
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table({f"x_{at}": [1.0, 2.0] for at in range(3)} | {"y": [0.5, 1.5]}), columns
    )
    sound = {
        ".npz": [zipped(members()), zipped(members(), zipfile.ZIP_DEFLATED)],
        ".run.npz": [zipped(members(saved))],
        ".csv": [ROWS.encode()],
        ".csv.gz": [gzip.compress(ROWS.encode())],
        ".parquet": [columns.getvalue()],
    }
    for number in itertools.count():
        kind = [*sound][number % len(sound)]
        one = sound[kind][number // len(sound) % len(sound[kind])]
        yield Hostile(f"damaged {number}", kind, damaged(one, random))


# --- readers -------------------------------------------------------------------------------------

Reader = Callable[["Bench", Path], Any]


def command(*arguments: str) -> Reader:
    """A command, with `{}` for the file."""

    def read(bench: Bench, path: Path) -> Any:
        return bench.run(*(one.format(path.name) for one in arguments))

    return read


def loaded(bench: Bench, path: Path) -> Any:
    """What is read must be right: a damaged number is no number."""

    def read() -> None:
        p = bench.module.load_parameters(path)
        for name in ("w", "b"):
            if p._asdict()[name].tobytes() not in (
                VALUES[name].tobytes(),
                bench.saved[name].tobytes(),
            ):
                raise ArithmeticError(f"{name} is {p._asdict()[name]}")

    return bench.told(read)


def checked(bench: Bench, path: Path) -> Any:
    from symflow.testing import check_gradients

    return bench.told(lambda: check_gradients(bench.module, at=path, most=1))


PARAMETERS: dict[str, Reader] = {
    "check": command("check", "generated/model.py", "--at", "{}", "--most", "1"),
    "compile": command("compile", "model.py", "-o", "out", "--parameters", "{}"),
    "start": command(
        *("train", "generated/model.py", "--data", "rows.csv", "--steps", "1", "--start", "{}")
    ),
    "predict": command("predict", "generated/model.py", "--data", "rows.csv", "--parameters", "{}"),
    "check_gradients": checked,
}
DATA: dict[str, Reader] = {
    "data": command("train", "generated/model.py", "--data", "{}", "--steps", "1"),
    "validation": command(
        *("train", "generated/model.py", "--data", "rows.csv", "--steps", "1"),
        *("--validation", "{}"),
    ),
    "rows": command(
        *("predict", "generated/model.py", "--parameters", "sound.npz", "--data", "{}"),
    ),
}
RESUME: dict[str, Reader] = {
    "resume": command(
        *("train", "generated/model.py", "--data", "rows.csv", "--steps", "9"),
        *("--resume", "{}", "--save", "out.npz"),
    )
}


def readers(one: Hostile, number: int, all_of_them: bool) -> dict[str, Reader]:
    """What reads a file: the module itself, and one command after the other, or all of them."""
    own: dict[str, Reader] = {"load_parameters": loaded} if one.kind.endswith(".npz") else {}
    kinds = RESUME if one.kind == ".run.npz" else DATA
    many = {**kinds, **(PARAMETERS if one.kind == ".npz" else {})}
    chosen = [*many] if all_of_them else [[*many][number % len(many)]]
    return {**own, **{name: many[name] for name in chosen}}


class Bench:
    """A folder with a model, its module and sound files, in which hostile ones are read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "model.py").write_text(MODEL)
        (folder / "rows.csv").write_text(ROWS)
        np.savez(folder / "sound.npz", w=VALUES["w"], b=VALUES["b"])
        self.run("compile", "model.py")
        self.run(
            *("train", "generated/model.py", "--data", "rows.csv", "--steps", "3"),
            *("--save", "run.npz"),
        )
        with np.load(folder / "run.npz") as archive:
            self.saved = dict(archive)
        self.module = imported(folder / "generated" / "model.py")
        self.before = self.contents()

    def run(self, *arguments: str) -> tuple[int, str]:
        """The exit status of a command, and all that it says."""
        from click.testing import CliRunner

        from symflow.cli import main

        with at_most(MOST_SECONDS):
            result = CliRunner().invoke(main, arguments, prog_name="symflow")
        return result.exit_code, result.output

    def told(self, function: Callable[[], object]) -> tuple[int, str]:
        """The same of a function: 1 if it raises what it may, 70 if it raises anything else."""
        from symflow.errors import SymflowError

        try:
            with at_most(MOST_SECONDS):
                function()
        except SymflowError as error:
            return 1, str(error)
        except (ValueError, OSError) as error:
            return 1, str(error) if isinstance(error, OSError) else ""
        except Exception as error:
            return 70, f"{type(error).__name__}: {error}"
        return 0, ""

    def contents(self) -> dict[str, bytes]:
        return {
            path.name: path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and "hostile" not in path.name
        }

    def wrong(self, one: Hostile, name: str, reader: Reader, path: Path) -> str:
        """What is wrong with how a file was read; "" if nothing is."""
        status, said = reader(self, path)
        if status not in (0, 1, 2):
            return f"status {status}: {said[-300:]}"
        if status == 0 and not one.name.startswith("damaged") and name not in may_pass(one):
            return "nothing was told"
        unsafe = {c for c in said if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\n"}
        if unsafe:
            return f"a terminal would obey {unsafe}"
        if len(said) > 6000:
            return f"{len(said)} characters were said"
        if status and self.contents() != self.before:
            return f"files are not as they were: {self.contents().keys() ^ self.before.keys()}"
        if (self.folder / CANARY).exists():
            return "something was executed"
        (self.folder / "out.npz").unlink(missing_ok=True)
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        return ""


def may_pass(one: Hostile) -> frozenset[str]:
    """Readers that have no part in what is hostile about a file."""
    if one.make is not None:
        return frozenset()
    if one.kind == ".run.npz":
        return frozenset({"load_parameters"})
    if one.name == "names: none":
        return frozenset({"check", "check_gradients"})
    if one.name == "names: only some":
        return frozenset({"check", "check_gradients"})
    # a module reads what it needs, if that is there; of two of one name the last, as NumPy does
    by_module = {"load_parameters", "start", "predict"}
    by_directory = {"check", "check_gradients"}  # which is at the end of the file, and sound
    if one.name == "names of other length":
        return frozenset(by_directory)
    if one.name == "sizes of 4 GB in the file":
        return frozenset({"compile", *by_directory, *by_module, *DATA})
    if one.name.startswith("sizes of 4 GB"):
        return frozenset(by_module)
    if one.name == "names: twice":
        return frozenset(by_module)
    return frozenset()


def imported(path: Path) -> ModuleType:
    import importlib.util

    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in what takes longer."""

    def ring(number: int, frame: object) -> None:
        raise TimeoutError(f"more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


VERBOSE = False


@contextmanager
def limited() -> Iterator[None]:
    """A process that cannot take all of the machine's memory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 3 * 2**29, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def memory() -> int:
    """The most bytes that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@dataclass
class Found:
    """What came of it: `told` of `reads` were refused; `failures` say which file, where and why."""

    files: int = 0
    reads: int = 0
    told: int = 0
    memory: int = 0
    failures: tuple[str, ...] = ()


def tried(folder: Path, count: int, seed: int = 0, all_of_them: bool = False) -> Found:
    """Read so many hostile files in a folder, which must be the current one."""
    bench = Bench(folder)
    found = Found()
    before = memory()
    with warnings.catch_warnings(), limited():
        warnings.simplefilter("ignore")
        for number, one in enumerate(itertools.islice(hostile(bench.saved, seed), count)):
            found.files += 1
            path = one.put(folder)
            for name, reader in readers(one, number, all_of_them).items():
                found.reads += 1
                start, least = time.process_time(), memory()
                wrong = bench.wrong(one, name, reader, path)
                if VERBOSE and (time.process_time() - start > 0.3 or memory() > least + 2**24):
                    print(one.kind, one.name, name, time.process_time() - start, memory() - least)
                if wrong:
                    found.failures += (f"{one.kind} {one.name}: {name}: {wrong}",)
    found.memory = memory() - before
    if found.memory > MOST_MEMORY:
        found.failures += (f"{found.memory / 2**20:.0f} MB of memory were taken",)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("count", type=int, nargs="?", default=700)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="every file through every reader")
    parser.add_argument("--verbose", action="store_true", help="what takes time or memory")
    given = parser.parse_args()
    global VERBOSE
    VERBOSE = given.verbose
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        found = tried(Path(folder), given.count, given.seed, given.all)
        os.chdir("/")
    print("\n".join(found.failures))
    print(
        f"{found.files} files, {found.reads} times read: {len(found.failures)} failures, "
        f"{found.memory / 2**20:.0f} MB more memory"
    )
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
