"""Data files as inputs: what is read, which column goes where, and what is said of mistakes."""

from __future__ import annotations

import gzip
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from symflow.errors import SymflowError
from symflow.fitting.matching import arrays, described, matched, parsed
from symflow.fitting.tables import table

VECTORS: dict[str, Any] = {"x": ("n",), "y_": ("n",)}
MATRIX: dict[str, Any] = {"x": ("n", 3), "y": ("n",)}


def read(
    path: Path,
    inputs: Mapping[str, Any],
    *maps: str,
    integers: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    source = table(path)
    return arrays(source, matched(source, inputs, parsed(maps)), integers)


def said(path: Path, inputs: Mapping[str, Any], *maps: str, **more: Any) -> str:
    """The message of an error, without the folder."""
    with pytest.raises(SymflowError) as error:
        read(path, inputs, *maps, **more)
    message = str(error.value).replace(f"{path.parent}/", "")
    assert "\n" not in message
    return message


@pytest.fixture
def csv(tmp_path: Path) -> Any:
    def write(text: str, name: str = "data.csv") -> Path:
        path = tmp_path / name
        content = text.encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write


# --- which column goes where ---------------------------------------------------------------------


def test_columns_by_name(csv: Any) -> None:
    found = read(csv("y_,other,x\n1,a,2\n3,b,4\n"), VECTORS)
    assert_array_equal(found["x"], [2.0, 4.0])
    assert_array_equal(found["y_"], [1.0, 3.0])


@pytest.mark.parametrize(
    "header", ["x_0,x_1,x_2,y", "y,x2,x0,x1", "x[1],x[2],x[3],y", "x1,x2,x3,y"]
)
def test_numbered_columns_are_one_input(csv: Any, header: str) -> None:
    cells = ",".join(
        "9" if name == "y" else re.findall(r"\d", name)[0] for name in header.split(",")
    )
    first = 0 if "0" in header else 1
    found = read(csv(f"{header}\n{cells}\n"), MATRIX)
    assert_array_equal(found["x"], [[first, first + 1, first + 2]])
    assert_array_equal(found["y"], [9])


def test_what_is_left_is_taken_and_said(csv: Any) -> None:
    source = table(csv("age,bmi,bp,target\n1,2,3,4\n"))
    matches = matched(source, MATRIX, {"y": "target"})
    assert described(source, matches) == [
        "  x (n, 3) is columns age, bmi, bp, all that is left",
        "  y (n,) is column target",
    ]
    assert_array_equal(arrays(source, matches, frozenset())["x"], [[1, 2, 3]])


def test_a_name_that_is_nearly_the_same(csv: Any) -> None:
    found = read(csv("X,extra,Y\n1,0,2\n"), VECTORS)
    assert_array_equal(found["x"], [1])
    assert_array_equal(found["y_"], [2])


@pytest.mark.parametrize(
    "text", ["x=a,b,c", "x=a..c", "x=[abc]", "x = a, b, c", "x=a,b..c", "x=?,c"]
)
def test_map(csv: Any, text: str) -> None:
    if text == "x=?,c":
        assert said(csv("y,a,b,c\n4,1,2,3\n"), MATRIX, text) == (
            "data.csv: x: expected (n, 3), got (1, 5) from y, a, b, c, ..."
        )
        return
    assert_array_equal(read(csv("y,a,b,c\n4,1,2,3\n"), MATRIX, text)["x"], [[1, 2, 3]])


def test_without_a_header_in_order(csv: Any) -> None:
    path = csv("1,2,3,4\n5,6,7,8\n")
    found = read(path, MATRIX)
    assert_array_equal(found["x"], [[1, 2, 3], [5, 6, 7]])
    assert_array_equal(found["y"], [4, 8])
    assert_array_equal(read(path, MATRIX, "x=1..3", "y=0")["x"], [[2, 3, 4], [6, 7, 8]])


def test_columns_of_an_image(csv: Any) -> None:
    found = read(csv("a,b,c,d\n1,2,3,4\n5,6,7,8\n"), {"image": ("n", 2, 2, 1)})
    assert_array_equal(found["image"], np.arange(1, 9).reshape(2, 2, 2, 1))


@pytest.mark.parametrize("name", ["data.tsv", "data.csv.gz", "data.csv", "data.tsv.gz"])
def test_kinds_of_text(csv: Any, name: str) -> None:
    between = "\t" if "tsv" in name else ";"
    text = "\ufeff" + '"x"?y_\r\n1e3?-2\r\n\r\n" 3"?.5\r\n'.replace("?", between)
    found = read(csv(text, name), VECTORS)
    assert_array_equal(found["x"], [1000, 3])
    assert_array_equal(found["y_"], [-2, 0.5])


def test_a_column_of_text_changes_nothing(csv: Any) -> None:
    """Files of numbers alone are read another way, which is faster."""
    rows = ['1,"2"', "3e-5, 4 ", "", ".1,1e30"]
    plain = read(csv("\n".join(["x,y", *rows]) + "\n"), VECTORS)
    text = ["x,y,t", *(f"{row},a" if row else row for row in rows)]
    beside = read(csv("\n".join(text) + "\n"), VECTORS)
    for name in VECTORS:
        assert_array_equal(plain[name], beside[name])
    assert_array_equal(plain["x"], [1.0, 3e-5, 0.1])


def test_archives(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    x = np.arange(6.0).reshape(2, 3)
    np.savez(path, x=x, y=np.array([1, 2]), a=x[:, 0], rest=x[:, 1:])
    for maps in ((), ("x=a,rest",)):
        found = read(path, MATRIX, *maps)
        assert_array_equal(found["x"], x)
        assert found["y"].dtype.kind == "i"
    images = read(path, {"x": ("n", 3, 1)})
    assert images["x"].shape == (2, 3, 1)
    assert said(path, MATRIX, "y=x") == ("data.npz: y: expected (2,), got (2, 3) from x")


def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "data.parquet"
    columns = {"x": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "y": [1, 2], "name": ["a", "b"]}
    pq.write_table(pa.table(columns), path)
    found = read(path, MATRIX)
    assert_array_equal(found["x"], [[1, 2, 3], [4, 5, 6]])
    assert_array_equal(found["y"], [1, 2])
    assert said(path, VECTORS, "x=name") == (
        "data.parquet: column name holds string, not real numbers"
    )
    pq.write_table(pa.table({"x": [1.0, None], "y": [1.0, 2.0]}), path)
    assert said(path, VECTORS) == "data.parquet: row 2, column x: the cell is empty"
    path.write_text("x,y\n1,2\n")
    assert said(path, VECTORS).startswith("data.parquet: not a .parquet file that can be read: ")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert said(path, VECTORS).endswith("not installed; hint: pip install 'symflow[parquet]'")


def test_whole_numbers(csv: Any) -> None:
    inputs: dict[str, Any] = {"k": ("n",)}
    whole = frozenset({"k"})
    assert read(csv("k\n1\n2.0\n"), inputs, integers=whole)["k"].dtype == np.int64
    assert said(csv("k\n1\n2.5\n"), inputs, integers=whole) == (
        "data.csv: column k, row 2: k wants whole numbers, not 2.5"
    )


# --- mistakes ------------------------------------------------------------------------------------

MISTAKES: dict[str, tuple[str, Any, tuple[str, ...], str]] = {
    "no column": (
        "x,yy\n1,2\n",
        {"x": ("n",), "y": ("n",), "z": ("n",)},
        (),
        "no column y (nearest are: yy) for the input y (n,); hint: --map y=yy",
    ),
    "no columns": (
        "a,b\n1,2\n",
        MATRIX,
        (),
        "no column x (there are: a, b) for the input x (n, 3); hint: --map x=a,...",
    ),
    "unknown in map": (
        "age,bmi,y\n1,2,3\n",
        {"x": ("n", 2), "y": ("n",)},
        ("x=age,bmj",),
        "--map x=age,bmj: no column bmj (nearest are: bmi)",
    ),
    "text": ("x,y\n1,2\n3,abc\n", VECTORS, (), "line 3, column y: 'abc' is no number"),
    "empty": ("x,y\n1,2\n\n3,\n", VECTORS, (), "line 4, column y: the cell is empty"),
    "NaN": ("x,y\n1,2\nnan,4\n", VECTORS, (), "line 3, column x: nan"),
    "infinity": ("x,y\n1,2\n3,-inf\n", VECTORS, (), "line 3, column y: -inf"),
    "ragged": ("x,y\n1,2\n3\n", VECTORS, (), "line 3 has 1 cells, the header has 2"),
    "ragged, no header": ("1,2\n3,4,5\n", VECTORS, (), "line 2 has 3 cells, the first line has 2"),
    "no rows": ("x,y\n", VECTORS, (), "no rows below the header"),
    "nothing": ("", VECTORS, (), "the first line is empty; it names the columns"),
    "twice": ("x,y,x\n1,2,3\n", VECTORS, (), "two columns are called 'x'"),
    "too few": ("x_0,x_1,y\n1,2,3\n", MATRIX, (), "x: expected (n, 3), got (1, 2) from x_0, x_1"),
}


@pytest.mark.parametrize(("text", "inputs", "maps", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(csv: Any, text: str, inputs: Any, maps: Any, message: str) -> None:
    assert said(csv(text), inputs, *maps) == f"data.csv: {message}"


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (("x",), "--map x: not INPUT=COLUMN,COLUMN,..."),
        (("x=",), "--map x=: not INPUT=COLUMN,COLUMN,..."),
        (("x=x", "x=y"), "--map x=y: x is mapped already"),
        (("q=x",), "--map q=x: the inputs are: x, y_"),
    ],
)
def test_mistakes_in_a_map(csv: Any, maps: Any, message: str) -> None:
    assert said(csv("x,y\n1,2\n"), VECTORS, *maps) == message


def test_files_that_are_none(tmp_path: Path, csv: Any) -> None:
    assert said(tmp_path / "none.csv", VECTORS) == "none.csv: No such file or directory"
    assert said(csv("x", "data.txt"), VECTORS).startswith("data.txt: no data file that is known")
    assert said(csv("x", "data.npz"), VECTORS) == (
        "data.npz: not an .npz file of arrays: File is not a zip file"
    )
    path = csv("x,y\n1,2\n", "data.csv.gz")
    path.write_bytes(path.read_bytes()[:-12])
    assert said(path, VECTORS).startswith("data.csv.gz: not a whole gzip file: ")
    path.write_bytes(b"x,y\n1,2\n")
    assert said(path, VECTORS).startswith("data.csv.gz: not a whole gzip file: ")
    path = tmp_path / "data.csv"
    path.write_bytes(b"x,y\n1,\xff\n")
    assert said(path, VECTORS) == "data.csv: not a text file in UTF-8"


def test_archives_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x=np.ones(3), y_=np.ones(4))
    assert said(path, VECTORS) == "data.npz: y_: expected (3,), got (4,) from y_"
    np.savez(path, x=np.array([1.0, np.nan]), y_=np.ones(2))
    assert said(path, VECTORS) == "data.npz: array x: [1] is nan"
    np.savez(path, x=np.array(["a", "b"]), y_=np.ones(2))
    assert said(path, VECTORS) == "data.npz: array x: expected real numbers, got <U1"
    np.savez(path, x=np.array([None]), y_=np.ones(1))
    assert said(path, VECTORS).startswith("data.npz: array x: ")
