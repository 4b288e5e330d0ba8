"""The compiler, stage by stage; each is a function from one immutable value to the next.

    lower          Graph → Program       every node becomes a kernel or a view
    stabilise      Program → Program     what overflows is rewritten, before derivatives are taken
    differentiate  Program → Program     breadth-first accumulation from the loss
    simplify       Program → Program     rules, contractions, common subexpressions, dead code
    schedule       Program → statements  which tensors get a line, and their names
    emit           statements → source   Jinja2 lays it out

A program is checked after every stage: everything bound once and before use, all shapes agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from symflow.differentiation import differentiate
from symflow.graph import Graph
from symflow.lowering import Request, lower
from symflow.program import Program, check, without_dead_code
from symflow.recurrence import in_bodies
from symflow.scaling import RATE, rate_read_through, with_rate
from symflow.simplification import fold, simplify, simplify_forward
from symflow.stabilisation import ALL_RULES, Rules


def derivatives_taken(program: Program, rules: Rules = ALL_RULES) -> Program:
    """The program without derivatives, and no body of a loop with them."""
    return differentiate(in_bodies(program, derivatives_taken))


STAGES: dict[str, Callable[[Program, Rules], Program]] = {
    "stabilise": simplify_forward,
    "differentiate": derivatives_taken,
    "simplify": simplify,
}
"""What follows lowering, in order."""


def compile_program(graph: Graph, request: Request, rules: Rules = ALL_RULES) -> Program:
    """The simplified program for what is requested of a graph."""
    *_, (_, program) = compile_stages(graph, request, rules)
    return program


def compile_step(
    program: Program, parameters: Sequence[str], rules: Rules = ALL_RULES
) -> Program | None:
    """The loss and the gradient of rate · loss, where a step of training gains by that.

    program  what the second stage, `stabilise`, gives for the loss and its gradient
    """
    names = ["loss", *(f"d_{one}" for one in parameters)]
    wanted = {name: program.outputs[name] for name in names}
    alone = without_dead_code(replace(program, outputs=wanted))
    taken = in_bodies(alone, derivatives_taken)
    seeded = fold(check(differentiate(taken, {alone.outputs["loss"]: RATE})))
    placed = with_rate(check(simplify(check(rate_read_through(seeded)), rules)), parameters)
    return None if placed is None else check(fold(placed))


def compile_stages(
    graph: Graph, request: Request, rules: Rules = ALL_RULES
) -> Iterator[tuple[str, Program]]:
    """Every stage's name and the program after it."""
    program = check(lower(graph, request))
    yield "lower", program
    for name, stage in STAGES.items():
        program = check(stage(program, rules))
        yield name, program
