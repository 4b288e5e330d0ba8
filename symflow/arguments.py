"""What functions of a module are given: arguments and the checks of them, sizes, precision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from symflow.alphabets import plain, size_name
from symflow.layout import sizes_of
from symflow.program import Input, Kernel, Program, dimension
from symflow.recurrence import Scan
from symflow.schedule import block
from symflow.shapes import Shape
from symflow.statements import WIDTH, Block, call


class Arguments:
    """Parameters and inputs of a program, as the functions of its module take them.

    parameters  the names of the fields of `Parameters`, in order
    names       the inputs that the program reads, in the model's order
    constants   how each array constant is written, by its digest
    dtype       of what has no precision of its own
    fixed       whether that is the precision of everything
    """

    def __init__(
        self,
        program: Program,
        parameters: Sequence[str],
        inputs: Iterable[str],
        constants: Mapping[str, str],
        dtype: str,
        fixed: bool = False,
    ) -> None:
        self.program = program
        self.parameters = parameters
        self.constants = constants
        self.dtype = dtype
        self.fixed = fixed
        self.types = {
            definition.value.name: definition.type
            for definition in program.definitions
            if isinstance(definition.value, Input)
        }
        self.names = [name for name in inputs if name in self.types]
        self.sizes = sizes_of({name: self.types[name].shape for name in self.names})
        self.written = {name: f"p.{name}" for name in parameters}
        self.written |= {name: name for name in self.names}

    @property
    def taken(self) -> list[str]:
        """Names that no statement may use."""
        return [*self.sizes, *self.names]

    @property
    def has_precision(self) -> bool:
        """Whether what a function is given says in which precision it computes."""
        return not self.fixed and bool(self.parameters or self._floats(self.names))

    def used(self, tensors: Iterable[int]) -> list[str]:
        """The inputs that tensors depend on, or read sizes off, in the model's order."""
        live = self.program.live(tensors)
        needed = [one for one, alive in zip(self.program.definitions, live, strict=True) if alive]
        names = {one.value.name for one in needed if isinstance(one.value, Input)}
        used = [name for name in self.names if name in names]
        given = sizes_of({name: self.types[name].shape for name in used})
        read: dict[Shape, None] = {}
        for definition in needed:  # sizes may be all that is needed of an input
            value = definition.value
            steps = [value.steps] if isinstance(value, Scan) else []
            numbers = [*value.sizes, value.body] if isinstance(value, Kernel) else []
            read[(*definition.type.shape, *steps, *numbers)] = None
        sizes = {dimension(plain(size)) for size in self.sizes}
        for expressions in read:
            symbols = {one for expression in expressions for one in expression.free_symbols}
            for symbol in sorted(map(size_name, symbols & sizes)):
                if symbol not in given:
                    used.append(self.sizes[symbol].partition(".")[0])
                    given = sizes_of({name: self.types[name].shape for name in used})
        return [name for name in self.names if name in used]

    def block(self, roots: Mapping[str, int], width: int = WIDTH) -> Block:
        """The statements that compute some tensors."""
        return block(self.program, roots, self.written, self.constants, self.taken, width)

    def prelude(self, code: Block, used: Sequence[str]) -> list[str]:
        """Sizes and precision, where the statements mention them."""
        sizes = sizes_of({name: self.types[name].shape for name in used})
        lines = [f"{size} = {source}" for size, source in sizes.items() if code.mentions(size)]
        if code.mentions("dtype"):
            lines.append(f"dtype = {self.precision(used)}")
        return lines

    def precision(self, used: Sequence[str]) -> str:
        """Of what is computed from arguments that are checked."""
        floats = [] if self.fixed else self._floats(used)
        if self.parameters:
            return "p[0].dtype"
        return f"{floats[0]}.dtype" if floats else f"np.dtype(np.{self.dtype})"

    def entry(self, used: Sequence[str]) -> list[str]:
        """Checks of the arguments of a public function."""
        lines = ["p = _checked_parameters(parameters)"] if self.parameters else []
        if used:
            targets = ", ".join(used) if len(used) > 1 else f"({used[0]},)"
            precision = "p[0].dtype" if self.parameters else self._precision(used)
            given = [precision, *(f"{name}={name}" for name in used)]
            lines += call(f"{targets} = _checked_inputs", given, "")
        return lines

    def _precision(self, used: Sequence[str]) -> str:
        floats = self._floats(used)
        if self.fixed or not floats:
            return f"np.{self.dtype}"
        dtypes = ", ".join(f"np.asarray({name}).dtype" for name in floats)
        return f"np.result_type(np.float32, {dtypes})"

    def _floats(self, used: Sequence[str]) -> list[str]:
        return [name for name in used if self.types[name].dtype == "float"]

    def declared(self, used: Sequence[str], annotation: str = "ArrayLike") -> list[str]:
        """The arguments as they stand in a signature."""
        first = ["parameters: Parameters"] if self.parameters else []
        return first + [f"{name}: {annotation}" for name in used]

    def checked(self, used: Sequence[str]) -> list[str]:
        """The same of a function on arguments that are checked already."""
        first = ["p: Parameters"] if self.parameters else []
        return first + [f"{name}: Array" for name in used]
