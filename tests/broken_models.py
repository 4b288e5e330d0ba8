"""Models with mistakes, drawn at random: each compiles, or is told what is wrong and where.

python tests/broken_models.py [N] [--seed SEED]
"""

from __future__ import annotations

import argparse
import ast
import copy
import functools
import io
import os
import random
import re
import signal
import sys
import tempfile
import time
import tokenize
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Pool
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from abstract_models import text as written
from random_graphs import random_model

import symflow as sf
from symflow.compilation import Compilation
from symflow.emission import emit
from symflow.model import load

LIMIT = 30  # seconds for one model
EXAMPLES = Path(__file__).parent.parent / "examples"
SEEDS = 60  # random graphs that are broken

PARTS = """\
import numpy as np

import symflow as sf

x = sf.placeholder(sf.float32, shape=("n", 4, 6), name="x")
k = sf.placeholder(sf.int64, ("n",))
w = sf.Variable(sf.glorot_uniform((6, 3)), name="w")
u = sf.Variable(np.eye(3) * 0.5)
e = sf.Variable(sf.random_normal((5, 3), stddev=0.1))
b = sf.Variable([0.1, 0.2, 0.3], name="bias")


def cell(state, entry):
    mixed = sf.tanh(entry @ w + state @ u)
    return 0.5 * (state + mixed)


steps = sf.transpose(x, [1, 0, 2])
states = sf.scan(cell, steps, sf.zeros((4, 3))[:1] * sf.ones_like(steps[0, :, :3]))
picked = sf.gather(e, k)
images = sf.expand_dims(x, -1)
filters = sf.constant(np.ones((2, 2, 1, 2)) / 4.0)
slid = sf.nn.conv2d(images, filters, strides=1, padding="SAME")
pooled = sf.nn.max_pool(slid, 2, 2, "VALID")
summed = sf.einsum("nij,jk->nk", x, w)
both = sf.concat([summed, picked + b], axis=1)
halves = sf.split(both, 2, axis=1)
scores = sf.softmax(halves[0] + states[-1][:, :3])
hot = sf.one_hot(k, 3)
solved = sf.linalg.solve(u + sf.eye(3), sf.transpose(scores))
shares = sf.where(scores > 0.5, scores, sf.stop_gradient(scores))
loss = -sf.reduce_mean(sf.reduce_sum(hot * sf.log(shares + 1e-6), axis=1))
loss = loss + sf.reduce_mean(sf.square(sf.reshape(pooled, (-1, 12)))) * sf.l2_loss(solved)
train_op = sf.train.AdamOptimizer(learning_rate=0.01, beta1=0.9).minimize(loss)
"""

VALUES = [
    *("None", "'text'", "[]", "()", "{}", "[1, 2]", "(3, -1)", "[[1.0, 2.0], [3.0]]", "True"),
    *("0", "1", "-1", "2", "7", "-9", "0.5", "1e308", "1e400", "-0.0", "10**30", "2**63", "3+4j"),
    *("np.nan", "np.inf", "np.zeros((2, 3))", "np.array([])", "np.array(['a'])", "np.float16(1)"),
    *("lambda a: a", "lambda a, b: b", "sf.relu", "sf", "object()", "print", "b'x'", "slice(2)"),
    *("sf.zeros((2, 2))", "sf.constant(2)", "sf.Variable(1.0)", "sf.float32", "range(3)", "int"),
    *("sf.placeholder()", "sf.placeholder(shape=(None, 3))", "sf.placeholder(sf.bool, (3,))"),
]
KEYWORDS = [
    *("axis", "keepdims", "keep_dims", "name", "dtype", "shape", "trainable", "perm", "padding"),
    *("strides", "depth", "seed", "var_list", "learning_rate", "on_value", "reverse", "k"),
]
NAMES = ["class", "np", "train", "a b", "", "1", "loss", "value", "x", "step", "größe", "_hidden"]
OPERATORS = [*"+-*/@%&|^<>=.,:()[]", "**", "//", "==", "!=", "<=", ">=", "and", "or", "in", "+="]
AROUND = [
    *("float({})", "int({})", "np.exp({})", "np.sum({})", "{}.numpy()", "{}.T", "len({})"),
    *("bool({})", "max({}, 0)", "sum({})", "{}[0]", "{}[..., None]", "{}[7]", "{}[::-2]", "-{}"),
    *("{}.shape", "{}[{}]", "{}()", "list({})", "range({})", "sf.gradients({}, w)", "({}, {})"),
    *("sf.gradients({}, {})", "({} if {} else 1)", "{}.assign(1)", "{}[1:1]", "str({})", "{}[b]"),
    *("log(0 * {})", "sf.log({} - {})", "1 / ({} - {})", "sf.argmax({})", "{} ** {}", "~{}"),
]
STATEMENTS = [
    *(
        "{}[0] = 1",
        "if {}: pass",
        "del {}",
        "{} += 1",
        "while {}: break",
        "{} = None",
        "for _ in {}: {}",
    ),
    *(
        "import no_such_module",
        "raise ValueError('no')",
        "1 / 0",
        "assert {}",
        "global {}",
        "return",
    ),
    *(
        "{}.name = 'class'",
        "from symflow import no_such_name",
        "with sf.Graph().as_default(): {} + 1",
    ),
    *("{} = sf.placeholder()", "sf.train.GradientDescentOptimizer(0.1).minimize({})", "loss = {}"),
    *("__all__ = ['{}', 'none']", "import sys; sys.exit(1)", "sf.Session().run({})", "{}, {} = 1"),
    *("def {}(): return {}", "exec('1 +')", "loss = sf.reduce_sum({} * 0)", "{} = sf.floor({})"),
]


@functools.cache
def bases() -> tuple[str, ...]:
    """The models that are broken."""
    examples = [path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*.py"))]
    small = [one for one in examples if "data" not in one and "Session" not in one]
    return (PARTS, PARTS, *small, *(written(random_model(seed)) for seed in range(SEEDS)))


def broken(seed: int) -> str:
    """A model with one to three mistakes."""
    rng = random.Random(seed)
    text = rng.choice(bases())
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        try:
            text = rng.choice(MUTATIONS)(text, rng)
        except (SyntaxError, tokenize.TokenError, IndexError, ValueError, RecursionError):
            text = _line_lost(text, rng)
    return text


# --- mistakes ----------------------------------------------------------------------------------


def _line_lost(text: str, rng: random.Random) -> str:
    lines = text.splitlines()
    if lines:
        del lines[rng.randrange(len(lines))]
    return "\n".join(lines) + "\n"


def _lines_moved(text: str, rng: random.Random) -> str:
    lines = text.splitlines()
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    if rng.random() < 0.5:
        lines[first], lines[second] = lines[second], lines[first]
    else:
        lines.insert(first, lines[second])
    return "\n".join(lines) + "\n"


def _tokens(text: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(text).readline))


def _written_over(text: str, token: tokenize.TokenInfo, other: str) -> str:
    lines = text.splitlines(keepends=True)
    (row, start), (_, end) = token.start, token.end
    line = lines[row - 1]
    lines[row - 1] = line[:start] + other + line[end:]
    return "".join(lines)


def _token_changed(text: str, rng: random.Random) -> str:
    """A name, number, text or operator, by another or by nothing."""
    kinds = (tokenize.NAME, tokenize.NUMBER, tokenize.STRING, tokenize.OP)
    kind = rng.choice(kinds)
    tokens = [one for one in _tokens(text) if one.type == kind and one.start[0] == one.end[0]]
    token = rng.choice(tokens)
    others = {
        tokenize.NAME: [one.string for one in tokens] + NAMES,
        tokenize.NUMBER: VALUES,
        tokenize.STRING: [repr(rng.choice(NAMES)), *VALUES],
        tokenize.OP: OPERATORS,
    }
    return _written_over(text, token, rng.choice([*others[kind], ""]))


def _function_changed(text: str, rng: random.Random) -> str:
    """Another function of symflow, or one that it does not have."""
    tokens = _tokens(text)
    places = [one for at, one in enumerate(tokens) if at > 1 and tokens[at - 2].string == "sf"]
    token = rng.choice(places)
    name = rng.choice(sorted(sf.__dir__()))
    if rng.random() < 0.2:
        at = rng.randrange(len(name))
        name = name[:at] + rng.choice("aeklmx") + name[at + rng.randrange(2) :]
    return _written_over(text, token, name)


def _tree_changed(change: Callable[[ast.Module, random.Random], None]) -> Any:
    def mutation(text: str, rng: random.Random) -> str:
        tree = copy.deepcopy(ast.parse(text))
        change(tree, rng)
        return ast.unparse(ast.fix_missing_locations(tree)) + "\n"

    return mutation


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _arguments_changed(tree: ast.Module, rng: random.Random) -> None:
    call = rng.choice([node for node in ast.walk(tree) if isinstance(node, ast.Call)])
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    value = _expression(rng.choice([*VALUES, rng.choice(names), rng.choice(names)]))
    chance = rng.random()
    if chance < 0.6 and (call.args or call.keywords):
        at = rng.randrange(len(call.args) + len(call.keywords))
        if at < len(call.args):
            call.args[at] = value
        else:
            call.keywords[at - len(call.args)].value = value
    elif chance < 0.7 and call.args:
        del call.args[rng.randrange(len(call.args))]
    elif chance < 0.85:
        call.keywords.append(ast.keyword(rng.choice(KEYWORDS), value))
    else:
        call.args.insert(rng.randint(0, len(call.args)), value)


def _number_changed(tree: ast.Module, rng: random.Random) -> None:
    """Shapes, axes, rates: another small number."""
    numbers = [
        node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value is not None
    ]
    one = rng.choice([node for node in numbers if isinstance(node.value, (int, float))])
    one.value = rng.choice([0, 1, 2, 3, 5, -1, 2.5, one.value + 1])


def _wrapped(tree: ast.Module, rng: random.Random) -> None:
    """A name inside of something that does not suit it."""
    places = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    ]
    chosen = rng.choice([node for node in places if node.id not in ("sf", "np")])
    form = _expression(rng.choice(AROUND).replace("{}", chosen.id))

    class Put(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return form if node is chosen else node

    Put().visit(tree)


def _statement_added(tree: ast.Module, rng: random.Random) -> None:
    names = [
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    text = re.sub(r"\{\}", lambda _: rng.choice(names), rng.choice(STATEMENTS))
    at = rng.randint(1, len(tree.body))
    tree.body[at:at] = ast.parse(text).body


MUTATIONS: list[Callable[[str, random.Random], str]] = [
    _line_lost,
    _lines_moved,
    _token_changed,
    _token_changed,
    _function_changed,
    _tree_changed(_arguments_changed),
    _tree_changed(_arguments_changed),
    _tree_changed(_number_changed),
    _tree_changed(_wrapped),
    _tree_changed(_statement_added),
]


# --- what is said of them ------------------------------------------------------------------------


class TooLong(Exception):  # noqa: N818
    """A model is compiled for longer than anyone waits."""


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooLong(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def complaint(text: str, folder: Path, whole: bool = False) -> str | None:
    """What is wrong with how symflow takes a model, or None; `whole` writes the module too."""
    path = folder / "model.py"
    path.write_text(text, encoding="utf-8")
    try:
        with limited(LIMIT), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = Compilation(load(path))
            if whole:
                ast.parse(emit(run).text)
            else:
                run.program()
    except sf.SymflowError as error:
        return _badly_told(error)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(last.filename)}:{last.lineno}, {last.name}"
        return f"{type(error).__name__} in {place}: {str(error)[:200]}"
    return None


def _badly_told(error: sf.SymflowError) -> str | None:
    """What a message lacks: a line of the model, or plain text."""
    for one in error.every:
        told = one.alone
        if not re.search(r"\bmodel\.py\b", told):
            return f"names no line: {told}"
        if re.search(r"sympy|\{\d\}|Traceback|site-packages|\bs\d\b|Dummy", told, re.IGNORECASE):
            return f"leaks: {told}"
    return None


def report(seed: int) -> tuple[int, str, str] | None:
    text = broken(seed)
    with tempfile.TemporaryDirectory() as folder:
        found = complaint(text, Path(folder), whole=True)
    return None if found is None else (seed, found, text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the first model")
    arguments = parser.parse_args()
    start, failures = time.perf_counter(), 0
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    with Pool(os.cpu_count()) as pool:
        for found in pool.imap(report, seeds, chunksize=10):
            if found is not None:
                failures += 1
                print(f"# seed {found[0]}: {found[1]}\n{found[2]}", flush=True)
    seconds = time.perf_counter() - start
    print(f"{arguments.count} models, {failures} badly taken, {seconds:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
