"""Names: what users call things changes no number, in no role and no style of a module.

`pytest tests/test_names.py --long` tries every name in every role, in one of the ways to compile
each; without it, a sample.
"""

from __future__ import annotations

import inspect
import random
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import imported
from numpy.testing import assert_array_equal

from symflow.compilation import ARGUMENTS, OF_TRAINING, OWN, PUBLIC, Style
from symflow.files import compile_files, write
from symflow.shipping import Shipping

Array = Any
TEMPLATES = Path(__file__).parent.parent / "templates"

LENGTHS = tuple((string.ascii_lowercase * 2)[:size] for size in range(1, 41))
TWINS = (
    "w",
    "W",
    "Ww",
    "wW",
    "value",
    "Value",
    "VALUE",
    "p",
    "P",
    "d",
    "D",
    "n",
    "N",
    "dtype",
    "Dtype",
)
SOFT = ("match", "case", "type")
BUILTINS = (
    *("abs", "all", "any", "bool", "callable", "dict", "enumerate", "float", "frozenset", "int"),
    *("isinstance", "len", "list", "map", "max", "min", "next", "open", "print", "range", "round"),
    *("set", "slice", "str", "sum", "tuple", "zip", "ValueError", "LookupError", "OSError", "id"),
    *("FloatingPointError", "ArithmeticError", "Exception", "EOFError", "super", "object"),
)
NUMPY = (
    *("np", "numpy", "axis", "axi", "axes", "out", "dtyp", "keepdims", "keepdim", "where", "wher"),
    *(
        "initial",
        "casting",
        "order",
        "shape",
        "stride",
        "strides",
        "copy",
        "T",
        "dot",
        "exp",
        "log",
    ),
    *(
        "sqrt",
        "sin",
        "tanh",
        "ones",
        "zeros",
        "ones_n",
        "ones_n_1",
        "sigmoid",
        "softplus",
        "special",
    ),
)
OF_MODULES = (
    *("a", "i", "j", "k", "x", "y", "g", "o", "self", "key", "rest", "of", "block", "blocks"),
    *(
        "fixed",
        "rows",
        "works",
        "work",
        "sums",
        "given",
        "kept",
        "share",
        "first",
        "other",
        "others",
    ),
    *(
        "whole",
        "one",
        "part",
        "number",
        "pool",
        "errors",
        "total_n",
        "total_m",
        "maths",
        "function",
    ),
    *("count", "index", "batch", "batches", "losses", "reason", "result", "found", "moved", "rate"),
    *(
        "step",
        "gradient",
        "velocity",
        "velocity_of",
        "new_value",
        "entries",
        "norm",
        "scale",
        "low",
    ),
    *("before", "exact", "allowed", "moment", "moments", "moment_x_x", "x_x", "start_loss", "d_w"),
    *("start_d_w", "d_x", "loss_sum", "update_0_0", "fetch_0", "run", "arrays", "array", "shapes"),
    *("name", "names", "inputs", "sizes", "known", "fits", "expected", "comma", "file", "path"),
    *("random", "allow_pickle", "math", "os", "sys", "Any", "Path", "Array", "Parameters", "BLOCK"),
    *("parameters", "seed", "state", "steps", "threads", "learning_rate", "tolerance", "on_step"),
    *("batch_size", "gradients", "loss_and_gradients", "train", "initial_parameters", "selftest"),
    *(
        "TrainingState",
        "TrainingResult",
        "INPUTS",
        "KEPT",
        "BREAK_EVEN",
        "infinity",
        "out_w",
        "w_part",
    ),
)
NAMES = tuple(dict.fromkeys((*LENGTHS, *TWINS, *SOFT, *BUILTINS, *NUMPY, *OF_MODULES)))

START = """\
import symflow as sf
def called(tensor, name):
    globals()[name] = tensor
    return tensor
__all__ = ["{export}"]
_x = sf.placeholder(shape=("{rows}", 3), name="{data}")
_y = sf.placeholder(shape=("{rows}",), name="{target}")
_w = sf.Variable([0.1, -0.2, 0.3], name="{weights}")
_b = sf.Variable(0.25, name="{bias}")
"""
PLAINLY = "sf.train.GradientDescentOptimizer(1e-3).minimize(_loss)\n"
MOMENTUM = "sf.train.MomentumOptimizer(1e-3, 0.9).minimize(_loss)\n"

SHAPES = {
    "polynomial, trained by moments": START
    + "_h = called(_b*_x[:, 0] + _w[0]*_x[:, 0]**2 + _w[1]*sf.sin(_x[:, 1]) + _w[2], '{hidden}')\n"
    "called(2.0*sf.reduce_sum(_h), '{export}')\n"
    "_loss = sf.reduce_mean(sf.square(_h - _y))\n" + PLAINLY,
    "network in blocks": START
    + "_v = sf.Variable([[0.1, 0.2], [0.3, 0.4], [-0.5, 0.6]], name='{more}')\n"
    "_h = called(sf.tanh(_x @ _v), '{hidden}')\n"
    "_c = sf.constant([[1.5, 0.5], [0.25, -1.0], [1.0, 2.0]])\n"
    "_z = called(sf.log_softmax(_h + _x @ _c), '{logits}')\n"
    "called(sf.exp(_z)[:, 0], '{export}')\n"
    "_loss = sf.reduce_mean(_y*_z[:, 0]) + _b*sf.reduce_sum(_w**2)\n"
    "_loss = _loss + sf.reduce_mean(sf.square(_z))\n" + MOMENTUM,
    "two sizes": START + "_u = sf.placeholder(shape=('{rows}', '{columns}'), name='{more}')\n"
    "_q = sf.placeholder(shape=('{columns}',), name='{logits}')\n"
    "_h = called(sf.reduce_sum(sf.exp(_u*_q - _b), 1), '{hidden}')\n"
    "called(sf.pad(sf.ones_like(_u), [[0, 0], [1, 0]])*_b, '{export}')\n"
    "_loss = sf.reduce_mean(sf.square(_h - _x @ _w - _y)) + sf.reduce_mean(_u)*_b\n" + PLAINLY,
    "scan": START + "_u = sf.placeholder(shape=('{columns}', '{rows}', 3), name='{more}')\n"
    "_all = sf.scan(lambda carry, entry: sf.tanh(carry*_w + sf.square(entry)), _u, _x)\n"
    "_h = called(sf.reduce_sum(_all[-1], 1), '{hidden}')\n"
    "called(sf.reduce_sum(_all, 2)*_b, '{export}')\n"
    "_loss = sf.reduce_mean(sf.square(_h - _y)) + sf.reduce_mean(_all)*_b\n" + PLAINLY,
    "numbers": START.replace('("{rows}", 3)', "()")
    .replace('("{rows}",)', "()")
    .replace("[0.1, -0.2, 0.3]", "0.125")
    + "_h = called(sf.exp(-_w*_x)*sf.sin(_b + _x), '{hidden}')\n"
    "_z = called(sf.log(1.5 + _h*_h), '{logits}')\n"
    "called(_z*_h, '{export}')\n"
    "_loss = sf.square(_z - _y) + sf.sqrt(sf.square(_b) + 1.0)*_h\n" + MOMENTUM,
    "no training": START + "_h = called(sf.sigmoid(_x @ _w + _b), '{hidden}')\n"
    "called(sf.reduce_logsumexp(_x*_h[:, None], 1), '{export}')\n",
}
PUBLIC_ROLES = ("data", "target", "weights", "bias", "more", "logits", "hidden", "rows", "columns")
ROLES = (*PUBLIC_ROLES, "export")
HARMLESS = {role: f"{role}_of_it" for role in ROLES}


def refused(role: str, name: str, text: str) -> bool:
    """Whether a name is one of the public interface: of another function, or another argument."""
    trains = "minimize" in text
    if role == "export":
        return name in PUBLIC | OWN or (name == "loss" and trains)
    placeholder = role in ("data", "target") or (
        f"name='{{{role}}}'" in text
        and ("placeholder" in next(line for line in text.splitlines() if f"'{{{role}}}'" in line))
    )
    return placeholder and name in ARGUMENTS | (OF_TRAINING if trains else set())


def names_of(shape: str, at: int) -> dict[str, str]:
    """Names for all roles; from one to the next, each name changes its role."""
    text = SHAPES[shape]
    found: dict[str, str] = {}
    for number, role in enumerate(ROLES):
        for further in range(len(NAMES)):
            name = NAMES[(at + 37 * number + further) % len(NAMES)]
            if name not in found.values() and not refused(role, name, text):
                found[role] = name
                break
    return found


class Way(NamedTuple):
    """How a module is compiled."""

    style: Style = "fast"
    ships: Shipping = Shipping()


WAYS = {
    "fast": Way(),
    "plain": Way("plain"),
    "traced": Way(ships=Shipping(trace_nan=True)),
    "tested": Way(ships=Shipping(selftest=True)),
    "plain, tested": Way("plain", Shipping(selftest=True)),
}


def module(folder: Path, text: str, names: Mapping[str, str], way: Way) -> ModuleType:
    model = folder / "model.py"
    model.write_text(text.format(**names))
    files = compile_files(model, folder / "out", {}, None, style=way.style, ships=way.ships)
    write(files)
    return imported(folder / "out" / "model.py")


N = 11


def data(shape: str, names: Mapping[str, str]) -> dict[str, Array]:
    """What the functions of a module are given, beside parameters."""
    rng = np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {"data": (N, 3), "target": (N,)}
    shapes |= {"two sizes": {"more": (N, 5), "logits": (5,)}, "scan": {"more": (4, N, 3)}}.get(
        shape, {}
    )
    if shape == "numbers":
        shapes = {"data": (), "target": ()}
    return {names[role]: rng.normal(size=one) for role, one in shapes.items()}


def computed(found: ModuleType, shape: str, names: Mapping[str, str]) -> Iterator[Array]:
    """All that a module's functions return, in order."""
    given = data(shape, names)
    if hasattr(found, "BLOCK"):
        found.BLOCK = 4

    def called(function: str, *first: Any, **more: Any) -> Any:
        taken = inspect.signature(getattr(found, function)).parameters
        return getattr(found, function)(
            *first, **{name: one for name, one in given.items() if name in taken}, **more
        )

    p = found.initial_parameters() if hasattr(found, "initial_parameters") else None
    first = () if p is None else (p,)
    yield called(names["export"], *first)
    if not hasattr(found, "train"):
        return
    for how in ({}, {"threads": 2}) if hasattr(found, "BLOCK") else ({},):
        yield called("loss", *first, **how)
        loss, gradients = called("loss_and_gradients", *first, **how)
        yield from (loss, *gradients, *called("gradients", *first, **how))
    for name in ("BREAK_EVEN", "_BREAK_EVEN"):
        if hasattr(found, name):
            setattr(found, name, 0)
    batches = {"batch_size": 4} if "batch_size" in inspect.signature(found.train).parameters else {}
    for how in ({}, {"on_step": lambda *_: False}, batches):
        result = called("train", *first, steps=3, **how)
        yield from (*result.parameters, np.array(result.losses))
        yield from called("train", result.parameters, steps=1, state=result.state).parameters


WANTED: dict[tuple[str, str], list[Array]] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        ways = list(WAYS)
        every = [
            (shape, ways[(at + number) % len(ways)], at)
            for number, shape in enumerate(SHAPES)
            for at in range(len(NAMES))
        ]
        if not metafunc.config.getoption("--long"):
            every = random.Random(3).sample(every, 90)
        metafunc.parametrize(
            "case", sorted(every), ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}"
        )


@pytest.mark.usefixtures("long")
def test_names_change_no_number(tmp_path: Path, case: tuple[str, str, int]) -> None:
    shape, kind, at = case
    way, text, names = WAYS[kind], SHAPES[shape], names_of(shape, at)
    if (shape, kind) not in WANTED:
        harmless = module(tmp_path, text, HARMLESS, way)
        WANTED[shape, kind] = list(computed(harmless, shape, HARMLESS))
    found = module(tmp_path, text, names, way)
    results, wanted = list(computed(found, shape, names)), WANTED[shape, kind]
    if not all(map(np.array_equal, results, wanted)):  # lines that are too long are taken apart
        alike = {
            role: letter + "q" * (len(name) - 1)
            for (role, name), letter in zip(names.items(), "bcefhlmrsu", strict=True)
        }
        beside = tmp_path / "alike"  # for the self-test of the module reads its own file
        beside.mkdir()
        wanted = list(computed(module(beside, text, alike, way), shape, alike))
    for got, right in zip(results, wanted, strict=True):
        assert_array_equal(got, right)
    if way.ships.selftest:
        assert found.selftest()
