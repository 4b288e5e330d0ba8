"""`model.py` → `report.html`: one file that explains a model, without scripts or network.

What the templates lay out is the frozen dataclasses of this package; every text in them is escaped
when it is laid out, whatever a model calls its tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import symflow
from symflow.arithmetic import undistributed
from symflow.compilation import Compilation
from symflow.emission import digest, emit
from symflow.files import compilation
from symflow.layout import environment
from symflow.report.buffers import workspace
from symflow.report.computed import computed, names_in_module
from symflow.report.entries import entries, named
from symflow.report.listing import SourceLine, listing
from symflow.report.picture import Link, Picture, picture
from symflow.report.relabelling import relabelled
from symflow.report.tables import Budget, Check, Fact, Rule, budget, check_table, facts, rules
from symflow.report.tensors import Tensors, TensorView, of_kind
from symflow.shapes import Shape
from symflow.writing import check_writable, write

MANY = 12
"""Tensors of a chapter beyond which it begins with a list of them."""


@dataclass(frozen=True)
class Group:
    """A chapter of tensors."""

    anchor: str
    title: str
    tensors: tuple[TensorView, ...]
    index: tuple[Link, ...]  # where there are many


@dataclass(frozen=True)
class Page:
    """All that is on the page, in its order."""

    title: str
    summary: str
    source: str
    module: str
    command: str
    digest: str
    version: str
    facts: tuple[Fact, ...]
    inputs: tuple[TensorView, ...]
    parameters: tuple[TensorView, ...]
    has_rate: bool  # the module multiplies gradients by the learning rate as it computes them
    picture: Picture
    groups: tuple[Group, ...]
    rules: tuple[Rule, ...]
    budget: Budget
    check: Check
    model_lines: tuple[SourceLine, ...]
    module_lines: tuple[SourceLine, ...]


@undistributed
def write_report(
    model: Path, html: Path, shapes: Mapping[str, Shape], without: Sequence[str] = ()
) -> None:
    """Compile a model, check its gradients, and write the report on it, whole or not at all.

    shapes   for placeholders, by name, in place of the ones in the file
    without  names of rules that are left out
    """
    check_writable(html, {"the model": model})
    write({html: report(compilation(model, shapes, None, without), model.read_text("utf-8"))})


@undistributed
def report(run: Compilation, model: str) -> bytes:
    """The page on one run of the compiler; `model` is the text of the model file."""
    page = _page(run, model)
    text = environment(autoescape=True).get_template("report/page.html.j2").render(page=page)
    return text.encode()


def _page(run: Compilation, model: str) -> Page:
    program, module = run.program(), emit(run).text
    twin = relabelled(run)
    labelled = entries(program, twin["simplify"], run.request.derivatives)
    where = computed(module, labelled)
    found = named(labelled, names_in_module(where, labelled))
    tensors = Tensors(run, found, twin["differentiate"], where, model, module)
    views = tensors.views()
    check = check_table(run)
    costs = budget(found, workspace(module), run.dtype)
    return Page(
        title=run.model.stem,
        summary=run.model.summary,
        source=run.model.source,
        module=f"generated/{run.model.source}",
        command=str(run.invocation),
        digest=digest(program),
        version=symflow.__version__,
        facts=facts(found, costs, check),
        inputs=of_kind(views, "input"),
        parameters=of_kind(views, "parameter"),
        has_rate=" rate: float | None" in module,
        picture=picture(program, found, tensors.tooltip),
        groups=_groups(views),
        rules=rules(run, found),
        budget=costs,
        check=check,
        model_lines=listing(model, "m", tensors.links_of_model()),
        module_lines=listing(module, "g", tensors.links_of_module()),
    )


def _groups(views: Sequence[TensorView]) -> tuple[Group, ...]:
    """The chapters; those without tensors are left out."""
    groups = (
        _group("forward", "Forward", of_kind(views, "forward", "constant")),
        _group("backward", "Backward", of_kind(views, "backward")),
    )
    return tuple(one for one in groups if one.tensors)


def _group(anchor: str, title: str, tensors: tuple[TensorView, ...]) -> Group:
    index = [Link(one.name, one.anchor, one.kind) for one in tensors]
    return Group(anchor, title, tensors, tuple(index) if len(index) > MANY else ())
