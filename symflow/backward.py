"""The functions of a module for the loss and its gradient: public, and on checked arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from symflow.arguments import Arguments
from symflow.cores import Core
from symflow.forward import required, tracing
from symflow.layout import Function, signature
from symflow.ownership import owns_memory
from symflow.statements import call
from symflow.views import Reshape


class Gradients:
    """Loss and gradients of a program, as one would write them, or around a core.

    given  what the functions are given
    """

    def __init__(self, given: Arguments) -> None:
        self.given = given
        self.program = given.program

    @property
    def roots(self) -> dict[str, int]:
        """The loss and its derivatives, by name."""
        wanted = ["loss", *(f"d_{one}" for one in self.given.parameters)]
        return {name: self.program.outputs[name] for name in wanted}

    @property
    def used(self) -> list[str]:
        """The inputs that they read."""
        return self.given.used(self.roots.values())

    def around(self, fast: Core) -> tuple[Function, ...]:
        """The public functions around a core with a workspace."""
        used = self.used
        threads = ["*", "threads: int = 1"] if fast.rows else []
        passed = ", ".join(["p", *used])
        entry = [*self.given.entry(used)]
        count = "threads" if fast.rows else "1"
        note = (
            ("threads  that work on blocks of rows side by side; their sums are added in order",)
            if fast.rows
            else ()
        )

        def public(name: str, doc: str, returns: str, result: str) -> Function:
            arguments = [*self.given.declared(used), *threads]
            return Function(signature(name, arguments, returns), (doc, *note), (*entry, result))

        if fast.keeps:
            borrowed = call("works = _borrowed", [count, *fast.lengths, "p[0].dtype"], "")
            give_back = ["_give_back(works)"]
        else:
            borrowed = call("works = [_Workspace", [*fast.lengths, "p[0].dtype"], "]")
            give_back = []
        arguments = ["threads: int"] if fast.rows else []
        arguments += ["p: Parameters", *(f"{one}: Array" for one in used)]
        evaluated = Function(
            signature("_loss_and_gradients", arguments, "tuple[float, Parameters]"),
            ("The loss and its gradient, in arrays of their own.",),
            (
                *borrowed,
                f"value, d = _evaluate(works, {passed}, {fast.choice.whole})",
                *_owned(self.given.parameters, fast.fresh),
                *give_back,
                "return value, d",
            ),
        )
        own = f"{'threads, ' if fast.rows else ''}{passed}"
        loss = public("loss", "The loss, a scalar: what training makes small.", "float", "")
        return (
            Function(
                loss.signature,
                loss.doc,
                (
                    *entry,
                    *borrowed,
                    f"value, _ = _evaluate(works, {passed}, {fast.choice.alone})",
                    *give_back,
                    "return value",
                ),
            ),
            public(
                "gradients",
                "The exact derivative of the loss by every parameter.",
                "Parameters",
                f"return _loss_and_gradients({own})[1]",
            ),
            public(
                "loss_and_gradients",
                "The loss, and its exact derivative by every parameter.",
                "tuple[float, Parameters]",
                f"return _loss_and_gradients({own})",
            ),
            evaluated,
        )

    def plain(self) -> tuple[Function, ...]:
        """The functions of the plain style."""
        loss = self.program.outputs["loss"]
        used_loss = self.given.used([loss])
        arguments = ["p", *used_loss] if self.given.parameters else list(used_loss)
        public = Function(
            signature("loss", self.given.declared(used_loss), "float"),
            ("The loss, a scalar: what training makes small.",),
            (*self.given.entry(used_loss), f"return float(_loss({', '.join(arguments)}))"),
        )
        cores = [self._core("_loss", {"loss": loss}, used_loss, "Any")]
        if not self.given.parameters:
            return (public, *cores)
        used = self.used
        passed = ", ".join(["p", *used])
        gradients = Function(
            signature("gradients", self.given.declared(used), "Parameters"),
            ("The exact derivative of the loss by every parameter.",),
            (*self.given.entry(used), f"return _loss_and_gradients({passed})[1]"),
        )
        both = Function(
            signature("loss_and_gradients", self.given.declared(used), "tuple[float, Parameters]"),
            ("The loss, and its exact derivative by every parameter.",),
            (*self.given.entry(used), f"return _loss_and_gradients({passed})"),
        )
        cores.append(
            self._core("_loss_and_gradients", self._ordered, used, "tuple[float, Parameters]")
        )
        return (public, gradients, both, *cores)

    @property
    def _ordered(self) -> dict[str, int]:
        """`roots` in the order of the program's outputs."""
        wanted = self.roots
        return {name: one for name, one in self.program.outputs.items() if name in wanted}

    def traced(self, functions: tuple[Function, ...], loss_alone: bool) -> tuple[Function, ...]:
        """Functions that say where what is not finite began, and what they ask.

        loss_alone  whether `loss` takes only the inputs that it needs
        """
        loss = {"loss": self.program.outputs["loss"]}
        used_loss, used = self.given.used(loss.values()), self.used
        alone = loss_alone and used_loss != used
        found: list[Function] = []
        for one in functions:
            name = one.signature[0].removeprefix("def ").partition("(")[0]
            if name.startswith("_"):
                found.append(one)
            elif name == "loss" and alone:
                found.append(required(self.given, one, "_trace_loss", used_loss))
            else:
                found.append(required(self.given, one, "_trace_gradients", used))
        if alone:
            found.append(tracing(self.given, "_trace_loss", loss, used_loss))
        return (*found, tracing(self.given, "_trace_gradients", self.roots, used))

    def _core(
        self, name: str, roots: Mapping[str, int], used: Sequence[str], returns: str
    ) -> Function:
        """A function on arguments that are checked already."""
        code = self.given.block(roots)
        lines = self.given.prelude(code, used)
        for statement in code.statements:
            lines += statement.lines
        if len(roots) == 1:
            last = f"{code.results['loss']} = "
            if lines and lines[-1].startswith(last):
                lines[-1] = f"return {lines[-1].removeprefix(last)}"
            else:
                lines.append(f"return {code.results['loss']}")
            doc = "The loss, for arguments that are checked already."
        else:
            fields = [
                f"{one}={self.array(one, code.results[f'd_{one}'])}"
                for one in self.given.parameters
            ]
            lines += call("d = Parameters", fields, "")
            lines.append(f"return float({code.results['loss']}), d")
            doc = "The loss and its gradient, for arguments that are checked already."
        arguments = self.given.checked(used)
        return Function(signature(name, arguments, returns), (doc,), tuple(lines))

    def _is_read_once(self, tensor: int) -> bool:
        read = [*self.program.outputs.values()]
        read += [operand for one in self.program.definitions for operand in one.value.operands]
        return read.count(tensor) == 1

    def array(self, parameter: str, source: str) -> str:
        """A gradient as an array of its own, in the parameter's precision."""
        tensor = self._of(parameter)
        first = next(one for one in self.given.parameters if self._of(one) == tensor)
        behind = tensor
        value = self.program[tensor].value
        if isinstance(value, Reshape) and self._is_read_once(value.source):
            behind = value.source
        owned = owns_memory(self.program, behind) and first == parameter
        if self.program[tensor].type.shape == () or not owned:
            return f"np.array({source}, p.{parameter}.dtype)"
        return source

    def _of(self, parameter: str) -> int:
        return self.program.outputs[f"d_{parameter}"]


def _owned(parameters: Sequence[str], fresh: frozenset[str]) -> tuple[str, ...]:
    """Copies of the gradients that are kept in the workspace; those in `fresh` are not."""
    if fresh.issuperset(parameters):
        return ()
    if not fresh:
        return ("d = Parameters(*(np.array(one, p[0].dtype) for one in d))",)
    copied = [
        f"{one}=d.{one}" if one in fresh else f"{one}=np.array(d.{one}, p[0].dtype)"
        for one in parameters
    ]
    return tuple(call("d = Parameters", copied, ""))
