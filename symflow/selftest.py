"""The self-test of a module: `python model.py --selftest` on the machine where it is to run.

It makes the inputs of `vectors.py` anew, and compares what the module computes with what is right.
What numbers cannot show, such as a weight behind a unit that is off, a hash of the module shows.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.alphabets import plain
from symflow.arguments import Arguments
from symflow.embedding import LARGEST_LITERAL
from symflow.errors import SymflowError
from symflow.layout import array_lines
from symflow.source import literal
from symflow.statements import INDENT, WIDTH, Names, call
from symflow.vectors import NEAR, Vectors

TOLERANCES = {"float64": 1e-10, "float32": 1e-4}
"""Largest error of a module's numbers, relative to the largest of those that belong together."""

WORST = {"float64": 1e-3, "float32": 0.1}
"""The same where a model loses digits: beyond that a test says nothing."""

DIGEST = "_DIGEST = "
"""How the line begins that holds the hash, and is left out of it."""


@dataclass(frozen=True)
class SelfTest:
    """What the template of the self-test wants to know.

    expected    statements that define what is right
    point       statements that make parameters and inputs
    tested      statements that give what is tested
    precisions  each with its tolerance
    untested    those that do not hold the numbers of the model
    beside      whether what is right stands in the file beside the module
    in_blocks   whether rows are tested in blocks
    usage       what the module says of itself when it is run
    """

    expected: tuple[str, ...]
    point: tuple[str, ...]
    tested: tuple[str, ...]
    precisions: tuple[str, ...]
    untested: tuple[str, ...]
    beside: bool
    in_blocks: bool
    usage: str


class Writer:
    """Writes the self-test of a module.

    given    what its functions are given
    arrays   what stands in the file beside it; what is right is added where it is much
    right    what is right
    """

    def __init__(self, given: Arguments, arrays: dict[str, NDArray[Any]], right: Vectors) -> None:
        self.given = given
        self.arrays = arrays
        self.right = right
        self.expected: list[str] = []
        self.tested: list[str] = []
        self.beside = False
        self.names = Names(())  # of what is right
        self.loss = ""

    def written(
        self,
        functions: Mapping[str, Sequence[str]],
        loss_inputs: Sequence[str],
        gradient_inputs: Sequence[str],
        in_blocks: bool,
        step_by_step: bool,
        tolerances: Mapping[str, float],
        stem: str,
    ) -> SelfTest:
        """The self-test.

        functions        the inputs of each exported function
        loss_inputs      those of `loss`; `gradient_inputs` those of its gradient and of `train`
        in_blocks        whether rows are added up in blocks
        step_by_step     whether `train` has a way that skips steps
        tolerances       by precision
        """
        for name, inputs in functions.items():
            self._compared(name, self._called(name, inputs), self.right.exports[plain(name)])
        if self.right.loss is not None:
            self.loss = self._compared("loss", self._called("loss", loss_inputs), self.right.loss)
        if self.right.gradients:
            self._gradients(gradient_inputs, in_blocks)
        if self.right.losses:
            self._training(gradient_inputs, step_by_step)
        point = self._point(
            {*gradient_inputs, *loss_inputs, *(n for f in functions.values() for n in f)}
        )
        fixed = self.given.fixed or not self.given.has_precision
        precisions = [self.given.dtype] if fixed else list(tolerances)
        return SelfTest(
            tuple(self.expected),
            tuple(point),
            tuple(self.tested),
            tuple(
                f'"{one}": {literal(tolerances[one])}' for one in precisions if one in tolerances
            ),
            () if fixed else tuple(one for one in TOLERANCES if one not in tolerances),
            self.beside,
            in_blocks and bool(self.right.gradients),
            f"usage: python {stem}.py --selftest",
        )

    def _point(self, used: Iterable[str]) -> list[str]:
        """Parameters and inputs, made of the pattern."""
        lines: list[str] = []
        types = self.given.types
        if self.given.parameters:
            fields = []
            if self.right.loss is not None:
                lines.append("given = initial_parameters(dtype=dtype)")
            for number, name in enumerate(self.given.parameters):
                spread = f"{NEAR.scale} * {self._pattern(number + 1, name)} - {-NEAR.shift}"
                start = f"given.{name} + " if self.right.loss is not None else ""
                fields.append(f"{name}=np.asarray({start}{spread}, dtype)")
            lines += call("p = Parameters", fields, "")
        for number, name in enumerate(self.given.names):
            if name in set(used):
                pattern = self._pattern(1 + len(self.given.parameters) + number, name)
                text = self.right.draw.text(name, types[name], pattern)
                whole = types[name].dtype != "float"
                lines.append(f"{name} = {text}" if whole else f"{name} = np.asarray({text}, dtype)")
        return lines

    def _pattern(self, seed: int, name: str) -> str:
        sizes = [
            str(int(one)) if one.is_Integer else str(self.right.lengths[str(one)])
            for one in self.given.types[name].shape
        ]
        return f"_pattern({', '.join([str(seed), *sizes])})"

    def _called(self, name: str, inputs: Sequence[str], *more: str) -> str:
        first = ["p"] if self.given.parameters else []
        return f"{name}({', '.join([*first, *inputs, *more])})"

    def _compared(
        self, what: str, computed: str, right: NDArray[Any] | None, known: str = ""
    ) -> str:
        """Compare something with what is right; returns what that is called."""
        name = known or self._constant(what, right)
        line = f'yield "{what}", {computed}, {name}'
        fits = INDENT + len(line) <= WIDTH
        self.tested += [line] if fits else call("yield ", [f'"{what}"', computed, name], "")
        return name

    def _constant(self, what: str, right: NDArray[Any] | None) -> str:
        assert right is not None
        spelled = self.names.give(re.sub(r"\W+", "_", plain(what)).upper())
        name = f"_RIGHT_{spelled}"
        array = np.asarray(right)
        if array.size > LARGEST_LITERAL:
            self.beside = True
            self.arrays[f"selftest_{spelled.lower()}"] = array
            self.expected.append(f'{name} = "selftest_{spelled.lower()}"')
        elif array.ndim == 0:
            self.expected.append(f"{name} = {literal(array.item())}")
        else:
            self.expected += array_lines(name, array, [], 0)
        return name

    def _gradients(self, inputs: Sequence[str], in_blocks: bool) -> None:
        self.tested.append(f"d = {self._called('gradients', inputs)}")
        names = {
            name: self._compared(f"gradient by {name}", f"d.{name}", right)
            for name, right in self.right.gradients.items()
        }
        if not in_blocks:
            return
        self.tested += [
            "block, BLOCK = BLOCK, 2",
            f"value, d = {self._called('loss_and_gradients', inputs, 'threads=2')}",
            "BLOCK = block",
        ]
        self._compared("loss in blocks", "value", None, self.loss)
        for name, known in names.items():
            self._compared(f"gradient by {name} in blocks", f"d.{name}", None, known)

    def _training(self, inputs: Sequence[str], step_by_step: bool) -> None:
        count = len(self.right.losses)
        steps = f"{count} step" if count == 1 else f"{count} steps"
        self.tested.append(f"found = {self._called('train', inputs, f'steps={count}')}")
        losses = self._compared("losses", "found.losses", np.array(self.right.losses))
        names = {
            name: self._compared(f"{name} after {steps}", f"found.parameters.{name}", right)
            for name, right in self.right.trained.items()
        }
        if step_by_step:
            given = ["p", *inputs, f"steps={count}", "on_step=lambda *_: False"]
            self.tested += call("found = train", given, "")
            self._compared("losses one by one", "found.losses", None, losses)
            for name, known in names.items():
                what = f"{name} after {steps} one by one"
                self._compared(what, f"found.parameters.{name}", None, known)


# --- the module itself ---------------------------------------------------------------------------


def with_digest(text: str) -> str:
    """A module's text with its hash in the line that is left out of it.

    It covers the arrays beside the module, for the text names their file by a hash.
    """
    found = hashlib.sha256()
    for line in text.splitlines():
        if not line.startswith(DIGEST):
            found.update(f"{line}\n".encode())
    return text.replace(f'{DIGEST}""', f'{DIGEST}"{found.hexdigest()[:16]}"')


def tolerances(text: str, beside: Mapping[str, bytes], stem: str) -> dict[str, float] | None:
    """What a module needs on this machine, with room for others; None if it is what it has.

    Raises SymflowError if it is too much.
    """
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{stem}.py"
        path.write_text(text, encoding="utf-8")
        for name, content in beside.items():
            (Path(folder) / name).write_bytes(content)
        spec = importlib.util.spec_from_file_location(stem, path)
        assert spec is not None
        assert spec.loader is not None
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        worst: tuple[float, str] = (0.0, "")
        for name, least in module._TOLERANCES.items():
            worst = _worst(module, name)
            if worst[0] <= WORST[name]:
                found[name] = max(least, 10.0 ** math.ceil(math.log10(30 * worst[0] + 1e-300)))
            elif name == "float64":
                break
    if ("float64" in module._TOLERANCES and "float64" not in found) or not found:
        told = f"--with-selftest: {worst[1]} is off by {worst[0]:.1e} on this machine"
        raise SymflowError(told, hint="symflow check says where digits are lost")
    return None if found == module._TOLERANCES else found


def _worst(module: Any, precision: str) -> tuple[float, str]:
    """The largest error in a precision, and of what; infinite where numbers are not held."""
    worst: tuple[float, str] = (0.0, "")
    try:
        with np.errstate(all="ignore"):
            for what, computed, right in module._tested(np.dtype(precision)):
                worst = max(worst, (module._error(computed, right, precision), what))
    except (ArithmeticError, np.linalg.LinAlgError) as error:
        return math.inf, str(error)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        told = f"--with-selftest: in {precision}, {type(error).__name__}: {error}"
        raise SymflowError(told) from None
    return worst
