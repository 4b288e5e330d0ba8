"""symflow's modules of the models, through its command line, in the variants it knows of."""

from __future__ import annotations

import ast
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MODELS = Path(__file__).parent / "models"

PLAIN, FAST, NOT_HOISTED = "symflow, plain", "symflow", "symflow, not hoisted"
HOISTING = ("quadratic-loss", "loop-invariant")


@dataclass(frozen=True)
class Features:
    """What the compiler at hand offers beyond a module of one kind."""

    styles: bool
    threads: bool
    hoisting: tuple[str, ...]  # the rules of HOISTING that it has

    def variants(self) -> dict[str, tuple[str, ...]]:
        """The options of each variant; FAST is what a user gets who gives none."""
        found: dict[str, tuple[str, ...]] = {FAST: ()}
        if self.hoisting:
            found[NOT_HOISTED] = tuple(x for rule in self.hoisting for x in ("--without", rule))
        if self.styles:
            found[PLAIN] = ("--style", "plain")
        return found

    def missing(self) -> list[str]:
        """What the tables cannot tell apart, in sentences."""
        found = []
        if not self.styles:
            found.append(
                "The compiler has no --style: there is one module, no plain one beside it."
            )
        if not self.threads:
            found.append("Generated functions take no threads=: symflow computes in one thread.")
        for rule in HOISTING:
            if rule not in self.hoisting:
                found.append(f"The compiler has no rule {rule}: nothing is hoisted by it.")
        return found


def features() -> Features:
    usage, rules = symflow("compile", "--help"), symflow("rules")
    with tempfile.TemporaryDirectory() as folder:
        symflow("compile", str(MODELS / "logistic.py"), "-o", folder)
        source = (Path(folder) / "logistic.py").read_text(encoding="utf-8")
    hoisting = tuple(rule for rule in HOISTING if rule in rules)
    return Features("--style" in usage, takes_threads(source), hoisting)


def takes_threads(source: str) -> bool:
    """Whether the function of a module that computes gradients has a parameter `threads`."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == "loss_and_gradients":
            arguments = node.args
            return "threads" in {one.arg for one in (*arguments.args, *arguments.kwonlyargs)}
    return False


def symflow(*arguments: str) -> str:
    """What a command of symflow prints."""
    command = [sys.executable, "-m", "symflow", *arguments]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(run.stderr.strip() or f"{' '.join(arguments)} failed")
    return run.stdout


def compile_variants(models: Iterable[str], folder: Path, available: Features) -> dict[str, str]:
    """Modules as folder/MODEL/VARIANT/MODEL.py; a variant that changes nothing is left out.

    Returns what failed, by model.
    """
    failures: dict[str, str] = {}
    for model in dict.fromkeys(models):
        written: list[str] = []
        for variant, options in available.variants().items():
            output = folder / model / variant
            try:
                symflow("compile", str(MODELS / f"{model}.py"), "-o", str(output), *options)
            except RuntimeError as error:
                failures[f"{model}: {variant}"] = str(error)
                continue
            path = output / f"{model}.py"
            code = statements(path.read_text(encoding="utf-8"))
            if code in written:
                path.unlink()
            written.append(code)
    return failures


def statements(source: str) -> str:
    """A module without its comments and its docstring, which names the command it came from."""
    tree = ast.parse(source)
    return ast.dump(ast.Module(tree.body[1:], []))
