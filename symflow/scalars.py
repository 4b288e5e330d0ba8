"""Programs whose values are all single numbers, and how they are written in Python's floats.

A straight line of operations on floats with the functions of `math` takes a tenth of the time of
the same line on arrays. The statements, their names and their order are those of any other
program (`schedule.py`); only how a value is written differs.

`math` raises an exception where NumPy gives infinity or NaN, so that a function is written by a
name of its own, such as `log`, which stands for `math.log`, or for `np.log` when the line is run
again on NumPy's numbers. So that division gives infinity there, every operation on an operand
gives a number of NumPy's there: a comparison as a number is `number(x > y)`, not `float(x > y)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from symflow.bodies import CALL, Body, Kinds, function_name
from symflow.elementwise import ROWS, Opaque, canonical
from symflow.pieces import part_name
from symflow.program import (
    ONE,
    Access,
    Builder,
    Bundle,
    Constant,
    Input,
    Kernel,
    Label,
    Program,
    Type,
    Value,
    check,
    kernel,
    slot,
    slots_of,
    without_dead_code,
)
from symflow.schedule import Printer
from symflow.source import literal
from symflow.statements import assignment, chained
from symflow.text import ATOM, COMPARISON, PRODUCT, SUM, UNARY, Text
from symflow.views import Reshape

CHOICE = COMPARISON - 1
"""How tightly `x if condition else y` binds: less than all else."""


@dataclass(frozen=True)
class Twin:
    """A function of floats that NumPy has too.

    name    what it is called in statements
    floats  the function of floats, as a module writes it
    numpy   NumPy's function, which never raises an exception
    """

    name: str
    floats: str
    numpy: str


def _of_math(names: str) -> list[Twin]:
    return [Twin(name, f"math.{name}", f"np.{name}") for name in names.split()]


TWINS: Mapping[str, Twin] = {
    twin.numpy: twin
    for twin in (
        *_of_math("cos cosh exp expm1 hypot log log10 log1p log2 sin sinh sqrt tan tanh"),
        Twin("acos", "math.acos", "np.arccos"),
        Twin("acosh", "math.acosh", "np.arccosh"),
        Twin("asin", "math.asin", "np.arcsin"),
        Twin("asinh", "math.asinh", "np.arcsinh"),
        Twin("atan", "math.atan", "np.arctan"),
        Twin("atan2", "math.atan2", "np.arctan2"),
        Twin("atanh", "math.atanh", "np.arctanh"),
        Twin("pow", "math.pow", "np.power"),
        Twin("number", "float", "np.float64"),
        Twin("sign", "_sign_of_float", "np.sign"),
        Twin("larger", "_larger_float", "np.maximum"),
        Twin("smaller", "_smaller_float", "np.minimum"),
        Twin("sigmoid", "_sigmoid_of_float", "_sigmoid"),
        Twin("softplus", "_softplus_of_float", "_softplus"),
        Twin("xlogx", "_xlogx_of_float", "_xlogx"),
        Twin("xlogy", "_xlogy_of_floats", "_xlogy"),
        Twin("log1mexp", "_log1mexp_of_float", "_log1mexp"),
    )
} | {
    f"special.{name}": Twin(name, f"math.{name}", f"np.vectorize(math.{name}, otypes=[float])")
    for name in ("erf", "erfc")  # a module with these alone needs no SciPy
}
"""By the name that NumPy or SciPy has. Of any other function, theirs takes floats, slowly."""


def is_scalar(program: Program, roots: Iterable[int]) -> bool:
    """Whether all that `roots` are computed from are single numbers, and floats or comparisons.

    With whole numbers nothing may be computed: Python's have no end, and NumPy's wrap around.
    """
    live = program.live(roots)
    return all(
        _is_number(definition.type, definition.value, program)
        for definition, alive in zip(program.definitions, live, strict=True)
        if alive
    )


def _is_number(type_: Type, value: Value, program: Program) -> bool:
    if isinstance(type_, Bundle) or any(size != ONE for size in type_.shape):
        return False
    if isinstance(value, Constant):
        return value.data.ndim == 0
    if not isinstance(value, Kernel):
        return isinstance(value, (Input, Reshape))
    whole = type_.dtype == "int" and any(
        program[operand].type.dtype == "int" for operand in value.operands
    )
    sizes = len(slots_of(value.body)) < len(value.body.free_symbols)
    methods = any(
        (type(part).row.numpy or "").startswith("{0}.") and type(part).row.name != "to_float"
        for part in value.body.atoms(Opaque)
    )
    return not (value.sizes or sizes or whole or methods)


class ScalarPrinter(Printer):
    """Values as expressions of floats.

    names  what each function is called, by the name of its twin
    """

    typed = False

    def __init__(self, taken: Iterable[str]) -> None:
        """`taken` are names that functions must not have."""
        known = set(taken)
        self.names: dict[str, str] = {}
        for twin in TWINS.values():
            name = twin.name
            while name in known:
                name += "_"
            self.names[twin.name] = name

    def text(
        self, value: Value, type_: Type, types: Sequence[Type], operand: Callable[[int], Text]
    ) -> Text:
        if isinstance(value, Constant):
            text = literal(value.data.item())
            return Text(text, UNARY if text.startswith("-") else ATOM)
        if isinstance(value, Reshape):
            return operand(value.source)
        assert isinstance(value, Kernel), type(value)
        operands = [operand(access.tensor) for access in value.accesses]
        return _ScalarBody(value, operands, self.names).text(value.body)

    def times(self, value: Value) -> Sequence[int]:
        """Squares and cubes are products, which have their factor several times."""
        if not isinstance(value, Kernel):
            return [1] * len(value.operands)
        positions = range(len(value.accesses))
        return [max(1, sum(_times(value.body, slot(position)))) for position in positions]

    def shape(self, type_: Type) -> str:
        return ""

    def width(self, target: str, expression: str) -> int:
        """The widest line; all of two operands that a formatter would not break between."""
        lines = assignment(target, expression)
        brackets = expression.startswith("(") or expression.endswith(")")
        if len(lines) > 1 and brackets and len(chained(expression)) == 2:
            return len(f"{target} = {expression}")
        return max(map(len, lines))


def _times(body: sp.Expr, part: sp.Symbol) -> Iterable[int]:
    if body == part:
        yield 1
    elif isinstance(body, sp.Pow) and body.exp in _PRODUCTS and body.base == part:
        yield int(abs(body.exp))
    else:
        for argument in body.args:
            yield from _times(argument, part)


_PRODUCTS = (2, 3, -2, -3)
"""Powers of names that are written as products."""


class _ScalarBody(Body):
    """Prints one body as an expression of floats."""

    def __init__(self, value: Kernel, operands: Sequence[Text], names: Mapping[str, str]) -> None:
        super().__init__(value, operands, (), Kinds.of_floats(value))
        self.names = names

    def _called(self, function: str, arguments: Sequence[str]) -> Text:
        twin = TWINS.get(function)
        name = function if twin is None else self.names[twin.name]
        return Text(f"{name}({', '.join(arguments)})")

    def _power(self, body: sp.Pow) -> Text:
        base, exponent = body.base, body.exp
        if exponent.is_Number and exponent < 0:
            return Text(f"1.0 / {self.text(sp.Pow(base, -exponent)).within(UNARY)}", PRODUCT)
        text = self.text(base)
        if exponent in _PRODUCTS and text.is_name:
            return Text(" * ".join([text.source] * int(exponent)), PRODUCT)
        if exponent.is_Integer:
            space = "" if text.is_name else " "
            return Text(f"{text.within(ATOM)}{space}**{space}{int(exponent)}", UNARY)
        if exponent == sp.Rational(1, 2):
            return self._called("np.sqrt", [text.source])
        if exponent == sp.Rational(3, 2) and text.is_name:
            root = self._called("np.sqrt", [text.source])
            return Text(f"{text.source} * {root.source}", PRODUCT)
        return self._called("np.power", [text.source, self.text(exponent).source])

    def _opaque(self, body: Opaque) -> Text:
        row = type(body).row
        if row.numpy is None:
            return self.text(canonical(row.maths(*body.args)))
        texts = [self.text(argument) for argument in body.args]
        if row.name == "where":
            return self._choice(body, texts)
        if row.name == "to_float":
            return self._called("np.float64", [texts[0].source])
        if row.name == "abs":
            return Text(f"abs({texts[0].source})")
        simpler = _simpler(body)
        if simpler is not None:
            return self.text(simpler)
        if row.name in _CONNECTIVES:
            inside = [text.within(SUM) for text in texts]
            return Text(_CONNECTIVES[row.name].format(*inside), CHOICE)
        called = CALL.fullmatch(row.numpy)
        if len(CALL.findall(row.numpy)) > 1:  # a product of functions
            template = CALL.sub(lambda one: self._called(one[1], [one[2]]).source, row.numpy)
            return Text(template.format(*(text.within(UNARY) for text in texts)), PRODUCT)
        if called is None:
            return super()._opaque(body)
        arguments = called[2].format(*(text.source for text in texts))
        return self._called(called[1], [arguments])

    def _choice(self, body: Opaque, texts: Sequence[Text]) -> Text:
        """Only the branch that is taken is computed, where NumPy computes both."""
        condition, yes, no = texts
        text = Text(
            f"{yes.within(COMPARISON)} if {condition.within(COMPARISON)} else {no.source}", CHOICE
        )
        if all(slots_of(branch) for branch in body.args[1:]):
            return text
        return self._called("np.float64", [text.source])

    def _function(self, body: sp.Expr) -> Text:
        arguments = [self.text(argument).source for argument in body.args]
        return self._called(function_name(body), arguments)


def _simpler(body: Opaque) -> sp.Expr | None:
    """A comparison as a person writes it: `x != y` for `not x == y`, and `x < 0` for `0 > x`."""
    name, first = type(body).row.name, body.args[0]
    if name == "logical_not" and isinstance(first, Opaque):
        other = {"equal": "not_equal", "not_equal": "equal"}.get(type(first).row.name)
        return None if other is None else ROWS[other](*first.args)
    if name in _MIRRORED and not slots_of(first):
        return ROWS[_MIRRORED[name]](body.args[1], first)
    return None


_MIRRORED: Mapping[str, str] = {
    "greater": "less",
    "greater_equal": "less_equal",
    "less": "greater",
    "less_equal": "greater_equal",
    "equal": "equal",
    "not_equal": "not_equal",
}

_CONNECTIVES: Mapping[str, str] = {
    "logical_and": "{0} and {1}",
    "logical_or": "{0} or {1}",
    "logical_xor": "{0} != {1}",
    "logical_not": "not {0}",
}


# --- shared parts --------------------------------------------------------------------------------


def with_shared_parts(program: Program, roots: Mapping[str, int]) -> Program:
    """The program with what several bodies have in common as values of their own.

    Kernels of arrays are left alone: what is shared there would have to be stored. The outputs
    are `roots`; all that they are computed from must be numbers.
    """
    return _Sharing(program, roots).program()


class _Sharing:
    """Bodies are rewritten so that slot n stands for tensor n; then equal parts are equal."""

    def __init__(self, program: Program, roots: Mapping[str, int]) -> None:
        self.old = program
        self.roots = roots
        self.live = program.live(roots.values())
        self.bodies: dict[int, sp.Expr] = {}
        self.uses: dict[sp.Expr, int] = {}
        self.builder = Builder()
        self.moved: dict[int, int] = {}
        self.known: dict[sp.Expr, sp.Expr] = {}
        signs: dict[sp.Symbol, sp.Expr] = {}
        for tensor, definition in enumerate(program.definitions):
            value = definition.value
            if self.live[tensor] and isinstance(value, Kernel):
                slots = {slot(at): slot(one.tensor) for at, one in enumerate(value.accesses)}
                body = self.bodies[tensor] = value.body.xreplace(slots).xreplace(signs)
                if (-body).is_Symbol and not definition.label.exact:
                    signs[slot(tensor)] = body  # a sign costs nothing in a sum
        for body in self.bodies.values():
            self._count(body, 1)

    def _count(self, part: sp.Expr, times: int) -> None:
        if not slots_of(part) or part.is_Symbol:
            return
        known = part in self.uses
        self.uses[part] = self.uses.get(part, 0) + times
        if not known:
            for inner, often in _parts(part):
                self._count(inner, often)

    def program(self) -> Program:
        for tensor, definition in enumerate(self.old.definitions):
            if not self.live[tensor]:
                continue
            body = self.bodies.get(tensor)
            rank = len(definition.type.shape)
            if body is None:
                value = definition.value.rebind(self.moved.__getitem__)
            else:
                value = self._kernel(self._inside(body, tensor), rank)
            new = self.moved[tensor] = self.builder.add(value, definition.label, definition.origin)
            if body is not None and rank == 0 and _is_worth_a_name(body):
                self.known.setdefault(body, slot(new))
        roots = {name: self.moved[one] for name, one in self.roots.items()}
        return check(without_dead_code(self.builder.program(roots)))

    def _kernel(self, body: sp.Expr, rank: int) -> Kernel:
        """A kernel whose body has the numbers of the new tensors for its slots."""
        numbers = slots_of(body)
        body = body.xreplace({slot(tensor): slot(at) for at, tensor in enumerate(numbers)})
        ranks = [len(self.builder[tensor].type.shape) for tensor in numbers]
        accesses = [
            Access(tensor, (None,) * axes) for tensor, axes in zip(numbers, ranks, strict=True)
        ]
        return kernel((None,) * rank, (), body, accesses)

    def _moved(self, part: sp.Expr, tensor: int) -> sp.Expr:
        """A part of the body of a tensor in terms of the new tensors."""
        if part.is_Symbol and slots_of(part):
            return slot(self.moved[slots_of(part)[0]])
        if not slots_of(part):
            return part
        known = self.known.get(part)
        if known is not None:
            return known
        if self.uses.get(part, 0) > 1 and _is_worth_a_name(part):
            return self._named(part, tensor)
        return self._inside(part, tensor)

    def _named(self, part: sp.Expr, tensor: int) -> sp.Expr:
        """The same as a tensor of its own."""
        definition = self.old[tensor]
        owner = definition.value
        assert isinstance(owner, Kernel)
        label = Label(part_name(definition.label.name, owner, part), 0)
        value = self._kernel(self._inside(part, tensor), 0)
        named = self.known[part] = slot(self.builder.add(value, label, definition.origin))
        return named

    def _inside(self, part: sp.Expr, tensor: int) -> sp.Expr:
        if not part.args:
            return self._moved(part, tensor)
        return part.func(*(self._moved(one, tensor) for one in part.args))


def _parts(body: sp.Expr) -> Iterable[tuple[sp.Expr, int]]:
    """What a body computes first, and how often it stands there; not what it may not compute."""
    if isinstance(body, Opaque) and type(body).row.name == "where":
        return [(body.args[0], 1)]
    if isinstance(body, sp.Pow) and body.exp in _PRODUCTS:
        return [(body.base, int(abs(body.exp)))]
    return [(one, 1) for one in body.args]


def _is_worth_a_name(part: sp.Expr) -> bool:
    """Whether computing it once saves an operation: signs and divisors cost none where they are."""
    if isinstance(part, sp.Mul):
        number, rest = part.as_coeff_Mul()
        return number != -1 or isinstance(rest, sp.Mul)
    return not (isinstance(part, sp.Pow) and part.exp == -1)
