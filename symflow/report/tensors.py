"""What a report says of each tensor: formula, gradient, lines, neighbours and cost, with links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from symflow.compilation import Compilation
from symflow.primitives import Part
from symflow.program import Bundle, Input, Program
from symflow.recurrence import Scan
from symflow.report.computed import Computed
from symflow.report.costs import cost, count_text
from symflow.report.entries import Entry, gradients_of, shape_text
from symflow.report.equations import Before, Equations, Formula
from symflow.report.listing import SourceLine, excerpt, listing
from symflow.report.picture import Link
from symflow.shapes import Shape
from symflow.statements import Names


@dataclass(frozen=True)
class TensorView:
    """One tensor, ready to be laid out.

    inner     whether it is in the body of a loop
    given     of an input of a loop's body, or a result of a loop, in place of a formula: what it
              is of the tensor `from_`
    line      the model line that it comes from; `said` is its text
    gradient  its derivative: the link to the tensor that it is, and its formula
    folded    its derivative before simplification, where the program has no tensor for it
    code      the generated lines that compute it, `within` if they compute another one with it
    elsewhere the other places in the module that do
    """

    anchor: str
    name: str
    kind: str
    inner: bool
    shape: str
    dtype: str
    formula: Formula
    given: str
    from_: Link | None
    line: Link | None
    said: str
    gradient: Link | None
    gradient_formula: Formula | None
    folded: Formula | None
    code: tuple[SourceLine, ...]
    within: bool
    function: str
    elsewhere: tuple[Link, ...]
    reads: tuple[Link, ...]
    read_by: tuple[Link, ...]
    elements: str
    operations: str
    bytes: str


class Tensors:
    """The entries of a program, with the texts of the model and of the module in which they are."""

    def __init__(
        self,
        run: Compilation,
        entries: Sequence[Entry],
        differentiated: Program,
        where: Mapping[tuple[int, ...], Computed],
        model: str,
        module: str,
    ) -> None:
        """differentiated  the program before it is simplified, with labels that differ
        where           the lines of the module that compute each entry
        """
        self.run = run
        self.differentiated = differentiated
        self.entries = entries
        self.by_path = {one.path: one for one in entries}
        self.model = model.split("\n")
        self.module_lines = listing(module, "g", {})
        self.computed = where
        self.gradient_of = gradients_of(entries)
        trained = {run.name(node) for node in run.trainable}
        self.equations = Equations(
            entries,
            {
                self.gradient_of[one.path].path: one.name
                for one in entries
                if one.name in trained and one.kind == "parameter" and one.path in self.gradient_of
            },
        )
        self.precision = np.dtype(run.dtype).itemsize
        self.readers: dict[tuple[int, ...], list[Entry]] = {one.path: [] for one in entries}
        for one in entries:
            for operand in self._operands(one):
                self.readers[operand.path].append(one)

    def _operands(self, one: Entry) -> list[Entry]:
        operands = dict.fromkeys(one.definition.value.operands)
        return [self.by_path[(*one.path[:-1], operand)] for operand in operands]

    def views(self) -> list[TensorView]:
        """Every tensor, in the order of the program."""
        return [self._view(one) for one in self.entries]

    def tooltip(self, one: Entry) -> str:
        """What a tensor is, in a few lines."""
        line = self._line(one)
        parts = [self.equations.of(one).text]
        if line is not None:
            parts.append(f"{line.text}: {self._said(one).strip()}")
        return "\n".join(parts)

    def links_of_model(self) -> dict[int, list[Link]]:
        """For lines of the model, the tensors that come from them."""
        found: dict[int, list[Link]] = {}
        for one in self.entries:
            line = self._line_number(one)
            if line is not None:
                found.setdefault(line, []).append(Link(one.name, one.anchor, one.kind))
        return found

    def links_of_module(self) -> dict[int, list[Link]]:
        """For lines of the module, the tensors that they compute."""
        found: dict[int, list[Link]] = {}
        for one in self.entries:
            where = self.computed.get(one.path)
            if where is None or where.within:
                continue
            for lines in where.lines:
                found.setdefault(lines.first, []).append(Link(one.name, one.anchor, one.kind))
        return found

    # --- one tensor ---

    def _view(self, one: Entry) -> TensorView:
        given, outer = self._given(one)
        spent = cost(one, self.precision)
        where = self.computed.get(one.path, Computed(()))
        gradient = self.gradient_of.get(one.path)
        first = where.lines[0] if where.lines else None
        return TensorView(
            anchor=one.anchor,
            name=one.name,
            kind=one.kind,
            inner=len(one.path) > 1,
            shape=shape_text(one),
            dtype="" if one.definition.type.dtype == "float" else one.definition.type.dtype,
            formula=self.equations.of(one),
            given=given,
            from_=outer,
            line=self._line(one),
            said=self._said(one),
            gradient=None if gradient is None else _link(gradient),
            gradient_formula=None if gradient is None else self.equations.of(gradient),
            folded=self._folded(one) if gradient is None else None,
            code=excerpt(self.module_lines, first.first, first.last) if first else (),
            within=where.within,
            function=first.function if first else "",
            elsewhere=tuple(
                Link(f"{lines.function}, line {lines.first}", f"g{lines.first}")
                for lines in where.lines[1:]
            ),
            reads=tuple(map(_link, self._operands(one))),
            read_by=tuple(map(_link, self.readers[one.path])),
            elements=count_text(spent.elements),
            operations=count_text(spent.operations),
            bytes=count_text(spent.bytes),
        )

    def _given(self, one: Entry) -> tuple[str, Link | None]:
        """What an input of a loop's body is, or a result of a loop; and the tensor that it is."""
        value, within = one.definition.value, one.path[:-1]
        if isinstance(value, Part):
            loop = self.by_path[(*within, value.source)]
            scan = loop.definition.value
            if not isinstance(scan, Scan):
                return "", None
            result = list(scan.body.outputs.values())[value.index]
            last = value.index < len(scan.initial)
            said = f"{'after the last step' if last else 'of every step'} of {loop.name}:"
            return said, _link(self.by_path[(*loop.path, result)])
        if not within or not isinstance(value, Input):
            return "", None
        scan = self.by_path[within].definition.value
        assert isinstance(scan, Scan)
        at = one.program.inputs.index(one.tensor)
        outer = _link(self.by_path[(*within[:-1], scan.operands[at])])
        if at < len(scan.initial):
            return "carried from step to step, at first", outer
        if at < len(scan.initial) + len(scan.sequences):
            return "at each step an entry of", outer
        return "the same at each step:", outer

    def _folded(self, one: Entry) -> Formula | None:
        """The gradient of a tensor as it was before simplification."""
        if one.backward or len(one.path) > 1 or isinstance(one.definition.type, Bundle):
            return None
        key = f"d_{one.label}", one.definition.type.shape
        found = self._derivatives.get(key)
        if found is None or isinstance(self.differentiated[found].value, Part):
            return None  # one of several results of a loop
        return self._before.of(found)

    @cached_property
    def _derivatives(self) -> Mapping[tuple[str, Shape], int]:
        definitions = self.differentiated.definitions
        return {(one.label.name, one.type.shape): at for at, one in enumerate(definitions)}

    @cached_property
    def _before(self) -> Before:
        return Before(self.differentiated, self._names_before())

    def _names_before(self) -> Sequence[str]:
        """What tensors are called before simplification: as after it, those that stay."""
        known = {(one.label, one.definition.type.shape): one.name for one in self.entries}
        pool = Names(one.name for one in self.entries)
        given: dict[tuple[str, Shape], str] = {}
        for one in self.differentiated.definitions:
            key = one.label.name, one.type.shape
            if key not in given:
                given[key] = known.get(key) or pool.give(one.label.name)
        return [given[(one.label.name, one.type.shape)] for one in self.differentiated.definitions]

    # --- the model ---

    def _line_number(self, one: Entry) -> int | None:
        origin = one.definition.origin
        here = origin is not None and origin.file == self.run.model.source
        return origin.line if origin is not None and here else None

    def _line(self, one: Entry) -> Link | None:
        origin, line = one.definition.origin, self._line_number(one)
        return None if origin is None else Link(str(origin), "" if line is None else f"m{line}")

    def _said(self, one: Entry) -> str:
        line = self._line_number(one)
        return "" if line is None or line > len(self.model) else self.model[line - 1].strip()


def _link(one: Entry) -> Link:
    return Link(one.name, one.anchor, one.kind)


def of_kind(views: Sequence[TensorView], *kinds: str) -> tuple[TensorView, ...]:
    """Those of some kinds, outside of loops; bodies of loops stand behind their loops."""
    found: list[TensorView] = []
    taken = False
    for one in views:
        taken = one.kind in kinds if not one.inner else taken
        if taken:
            found.append(one)
    return tuple(found)
