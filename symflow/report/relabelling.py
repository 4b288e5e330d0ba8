"""The same program, in which no two nodes have one name.

A model that builds its layers in a loop has many tensors of one name, and their gradients have one
name too. To know which is whose, the graph is compiled once more with names that differ; names
decide nothing but names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from symflow.compilation import Compilation
from symflow.compiler import compile_stages
from symflow.graph import Placeholder, Variable
from symflow.program import Label, Program
from symflow.stabilisation import Rules
from symflow.statements import Names


def relabelled(run: Compilation) -> Mapping[str, Program]:
    """Every stage of a run of the compiler, with a label of its own for every node."""
    names = [label.name for label in run.labels.values()]
    if len(set(names)) == len(names):
        return run.stages
    given = [node for node in run.nodes if isinstance(node, (Placeholder, Variable))]
    labels: dict[int, Label] = {id(node): run.labels[id(node)] for node in given}
    pool = Names(one.name for one in labels.values())
    rest = [node for node in run.nodes if id(node) not in labels]
    for node in sorted(rest, key=lambda node: -run.labels[id(node)].rank):
        label = run.labels[id(node)]
        labels[id(node)] = Label(pool.give(label.name), label.rank)
    request = replace(run.request, labels=labels)
    stages = dict(compile_stages(run.model.graph, request, Rules(frozenset(run.without))))
    before = run.program()
    assert stages["simplify"] == before, "names decide nothing but names"
    return stages
