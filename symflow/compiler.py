"""The compiler, stage by stage; each is a function from one immutable value to the next.

    lower          Graph → Program       every node becomes a kernel or a view
    stabilise      Program → Program     what overflows is rewritten, before derivatives are taken
    differentiate  Program → Program     breadth-first accumulation from the loss
    simplify       Program → Program     rules, contractions, common subexpressions, dead code
    schedule       Program → statements  which tensors get a line, and their names
    emit           statements → source   Jinja2 lays it out

Where parameters are constants, what depends on constants alone is computed after the last two
stages (`folding.py`).

A program is checked after every stage: everything bound once and before use, all shapes agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from symflow.folding import computed
from symflow.graph import Graph
from symflow.lowering import Request, lower
from symflow.program import Program, check
from symflow.recurrence import derivatives_taken
from symflow.simplification import simplify, simplify_forward
from symflow.stabilisation import ALL_RULES, Rules

STAGES: dict[str, Callable[[Program, Rules], Program]] = {
    "stabilise": simplify_forward,
    "differentiate": lambda program, rules: derivatives_taken(program),
    "simplify": simplify,
}
"""What follows lowering, in order."""


def compile_program(graph: Graph, request: Request, rules: Rules = ALL_RULES) -> Program:
    """The simplified program for what is requested of a graph."""
    *_, (_, program) = compile_stages(graph, request, rules)
    return program


def compile_stages(
    graph: Graph, request: Request, rules: Rules = ALL_RULES, constants: str = ""
) -> Iterator[tuple[str, Program]]:
    """Every stage's name and the program after it.

    constants  the precision in which what depends on constants alone is computed; "" for not now
    """
    program = check(lower(graph, request))
    yield "lower", program
    for name, stage in STAGES.items():
        program = check(stage(program, rules))
        if constants and name != "stabilise":  # derivatives may yet be taken by a constant
            program = check(computed(program, constants))
        yield name, program
