"""The reference of the operations, made from their tables and by compiling examples.

`{elementwise}` writes an entry for every row of `symflow/rows.py`: its definition, its derivatives
as SymPy takes them, the NumPy text, what happens at kinks and where it is tested. `{arrays}`
compiles every example of `array_examples.py`, with its gradients, and shows the code.
"""

from __future__ import annotations

import ast
import inspect
import re
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import sympy as sp
from array_examples import EXAMPLES, Example
from docutils import nodes
from function_pages import signature, thing
from prose import escaped, prose
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

import symflow as sf
from symflow.arithmetic import undistributed
from symflow.elementwise import Elementwise, canonical, differentiated
from symflow.files import compile_files
from symflow.notation import expression_text
from symflow.printing import value_text
from symflow.program import Type, dimension, slot
from symflow.rows import ROWS
from symflow.shapes import Sizes
from symflow.text import Text

NUMERICS = Path(__file__).parent.parent / "numerics.md"


class ElementwiseOperations(SphinxDirective):
    """An entry for every row of the table."""

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(NUMERICS))
        return self.parse_text_to_nodes("\n\n".join(map(elementwise, ROWS.values())))


class ArrayOperations(SphinxDirective):
    """A section for every kind of operation, an entry for every example."""

    def run(self) -> list[nodes.Node]:
        parts = []
        for section, examples in EXAMPLES.items():
            parts.append(f"## {section}")
            parts += [array(name, example) for name, example in examples.items()]
        return self.parse_text_to_nodes("\n\n".join(parts), allow_section_headings=True)


# --- elementwise -----------------------------------------------------------------------------


@undistributed
def elementwise(row: Elementwise) -> str:
    """The entry of a row; one that has no name in `sf` is the compiler's own."""
    names = list(inspect.signature(row.maths).parameters)
    called = ", ".join(names)
    public = callable(getattr(sf, row.name, None))
    head = f"sf.{row.name}({called})" if public else f"{row.name}({called})"
    option = "" if public else ":no-index:\n"
    own = "" if public else " The compiler's own, put in by [rules](../stability.md)."
    lines = [escaped(row.doc) + own, ""]
    lines += [f"{field}\n: {text}\n" for field, text in _fields(row, names)]
    return f"```{{py:function}} {head}\n{option}\n" + "\n".join(lines) + "```"


def _fields(row: Elementwise, names: list[str]) -> Iterator[tuple[str, str]]:
    operands = {slot(number): sp.Symbol(names[number]) for number in range(row.arity)}
    symbols = list(operands.values())
    yield "definition", _definition(row, symbols)
    if row.result not in ("bool", "int"):
        body = canonical(row(*operands))
        for number, name in enumerate(names):
            slope = expression_text(differentiated(body, number).xreplace(operands))
            yield f"derivative by {name}", _code(slope)
    yield "NumPy", _code(_numpy(row, names))
    if row.name in conventions():
        yield "convention", conventions()[row.name]
    intervals = ", ".join(
        f"{name} from {low:g} to {high:g}"
        for name, (low, high) in zip(names, row.domain, strict=True)
    )
    yield "tested on", f"{intervals}, and [far outside](../operations.md)"


def _definition(row: Elementwise, symbols: list[sp.Symbol]) -> str:
    """The maths of a row: a formula, or one for each case."""
    maths = sp.piecewise_fold(sp.sympify(row.maths(*symbols)))
    if not isinstance(maths, sp.Piecewise):
        return _code(_formula(maths, symbols))
    *cases, (rest, last) = maths.args
    text = [f"{_code(_formula(one, symbols))} where {_condition(where)}" for one, where in cases]
    otherwise = "elsewhere" if last == sp.true else f"where {_condition(last)}"
    return ", ".join([*text, f"{_code(_formula(rest, symbols))} {otherwise}"])


def _formula(expression: sp.Expr, symbols: list[sp.Symbol]) -> str:
    """With SymPy's functions under the names that they have in the table."""
    slots = {symbol: slot(number) for number, symbol in enumerate(symbols)}
    body = canonical(expression.xreplace(slots))
    return expression_text(body.xreplace({one: symbol for symbol, one in slots.items()}))


def _condition(condition: sp.Basic) -> str:
    for kind, word in ((sp.Or, " or "), (sp.And, " and ")):
        if isinstance(condition, kind):
            return word.join(sorted(map(_condition, condition.args)))
    left, right = expression_text(condition.lhs), expression_text(condition.rhs)
    sign = {"==": "=", "!=": "≠", ">=": "≥", "<=": "≤"}.get(condition.rel_op, condition.rel_op)
    return _code(f"{left} {sign} {right}")


def _numpy(row: Elementwise, names: list[str]) -> str:
    types = [Type((dimension("n"),), "bool" if row.takes == "booleans" else "float")] * row.arity
    value = row.define(types, Sizes())
    return value_text(value, types[0], types, lambda tensor: Text(names[tensor])).source


def _code(text: str) -> str:
    return f"`` {text} ``"


@cache
def conventions() -> dict[str, str]:
    """What numerics.md, whose figures are tested, says of each operation at a kink."""
    text = NUMERICS.read_text(encoding="utf-8").partition("## Conventions")[2]
    found: dict[str, str] = {}
    for line in text.partition("\n## ")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 3:
            continue
        operations, where, derivative = cells
        for name in re.findall(r"`(\w+)", operations):
            place = "" if where == "everywhere" else f" ({where})"
            found[name] = f"{derivative}{place}; see [numerics](../numerics.md#conventions)"
    return found


# --- arrays ----------------------------------------------------------------------------------


def array(name: str, example: Example) -> str:
    """The entry of an operation on arrays: what it says, what it is compiled to."""
    function = thing(name)
    parts = [
        f"````{{py:function}} sf.{name}{signature(function)}",
        prose(inspect.getdoc(function) or ""),
        f"```python\nz = {example.call}\n```",
        f"`z` and its gradients, where {shapes_text(example)}:",
        f"```python\n{compiled(name, example)}\n```",
        "````",
    ]
    return "\n\n".join(parts)


def shapes_text(example: Example) -> str:
    parts = []
    for name, shape in example.operands.items():
        kind = "whole numbers " if shape.startswith("int ") else ""
        sizes = shape.removeprefix("int ")
        comma = "," if "," not in sizes else ""
        parts.append(f"`{name}` is {kind}({sizes}{comma})")
    return ", ".join(parts)


def compiled(name: str, example: Example) -> str:
    """The statements that compute an example and its gradients."""
    with tempfile.TemporaryDirectory() as folder, sf.Graph().as_default():
        model = Path(folder) / "m.py"
        model.write_text(_model(example), encoding="utf-8")
        files = compile_files(model, Path(folder), {}, None, style="plain")
        text = files[model]
    if text is None:
        raise ExtensionError(f"{name}: its example is not compiled")
    return "\n\n".join(_bodies(text.decode()))


def _model(example: Example) -> str:
    lines = ["import symflow as sf"]
    floats = []
    for name, shape in example.operands.items():
        kind = "sf.int64" if shape.startswith("int ") else "None"
        floats += [] if shape.startswith("int ") else [name]
        sizes = [part.strip() for part in shape.removeprefix("int ").split(",")]
        entries = ", ".join(size if size.isdigit() else repr(size) for size in sizes)
        lines.append(f"{name} = sf.placeholder({kind}, ({entries},))")
    lines.append(f"z = {example.call}")
    probe: dict[str, object] = {}
    with sf.Graph().as_default():
        exec("\n".join(lines), probe)
    exported = ["z"]
    if floats and probe["z"].type.dtype == "float":  # type: ignore[attr-defined]
        rank = len(probe["z"].type.shape)  # type: ignore[attr-defined]
        shape = "()" if not rank else f"({'None, ' * rank})"
        lines.append(f"d_z = sf.placeholder(None, {shape})")
        lines.append(f"found = sf.gradients(sf.reduce_sum(d_z * z), [{', '.join(floats)}])")
        for at, name in enumerate(floats):
            lines.append(f"d_{name} = found[{at}]")
            exported.append(f"d_{name}")
    lines.append(f"__all__ = {exported!r}")
    return "\n".join(lines) + "\n"


def _bodies(module: str) -> Iterator[str]:
    """What each public function of a module computes, without its checks."""
    lines = module.splitlines()
    for node in ast.parse(module).body:
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
            continue
        first = next(
            at for at, one in enumerate(node.body) if "_checked_inputs" in ast.unparse(one)
        )
        body = lines[node.body[first].end_lineno : node.body[-1].lineno - 1]
        text = "\n".join(line[4:] for line in body)
        text = re.sub(r"(?m)^(\w+): Array = ", r"\1 = ", text)
        text = re.sub(r"  m\.py:\d+", "", text)
        yield text or f"{node.name} = {ast.unparse(node.body[-1].value)}"


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("elementwise", ElementwiseOperations)
    app.add_directive("arrays", ArrayOperations)
    return {"parallel_read_safe": True}
