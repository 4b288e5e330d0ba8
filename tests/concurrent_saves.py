"""Saves and loads side by side, and processes killed in the middle: old or new, whole.

python tests/concurrent_saves.py --operations 10000 --kills 200
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from hostile_files import imported

from symflow.archives import archived
from symflow.cli import main as command
from symflow.writing import write

ROOT = Path(__file__).parent.parent
DIGITS = ROOT / "generated" / "digits.py"
PROCESSES, THREADS = 4, 8

TABLE = """\
import numpy as np
import symflow as sf
x = sf.placeholder(shape=("n",))
z = sf.reduce_sum(x) * (np.arange(500.0) * {factor})
"""
LINE = """\
import symflow as sf
x = sf.placeholder(shape=("n",))
y = sf.placeholder(shape=("n",))
w = sf.Variable(sf.zeros(400))
loss = sf.reduce_mean(sf.square(x * sf.reduce_sum(w) - y))
sf.train.AdamOptimizer(0.01).minimize(loss)
"""


# --- side by side --------------------------------------------------------------------------------


def filled(module: ModuleType, number: float) -> Any:
    """Parameters that are one number all over: another one among them is of another save."""
    return module.Parameters(*(np.full(shape, number) for shape in module._SHAPES))


def torn(parameters: Any) -> bool:
    return len({float(one) for array in parameters for one in (array.min(), array.max())}) != 1


def worker(path: Path, process: int, operations: int) -> int:
    """What one process does, in threads; returns how much went wrong."""
    module = imported(DIGITS)
    wrong: list[str] = []

    def work(thread: int) -> None:
        order = random.Random(process * 1000 + thread)
        for number in range(operations // THREADS):
            try:
                if order.random() < 0.5:
                    loaded = module.load_parameters(path)
                    if torn(loaded):
                        wrong.append("torn")
                else:
                    p = filled(module, float(process * 10**6 + thread * 10**4 + number))
                    if process % 2:
                        write({path: archived(p._asdict())})
                    else:
                        module.save_parameters(path, p)
            except Exception as error:
                wrong.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=work, args=(one,)) for one in range(THREADS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    print("\n".join(wrong[:5]), end="", flush=True)
    return len(wrong)


def side_by_side(folder: Path, operations: int) -> list[str]:
    """Failures of so many saves and loads of one file, by threads of several processes."""
    path = folder / "parameters.npz"
    module = imported(DIGITS)
    module.save_parameters(path, filled(module, 0.0))
    share = operations // PROCESSES
    started = [
        subprocess.Popen(
            [sys.executable, __file__, "--worker", str(path), str(one), str(share)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for one in range(PROCESSES)
    ]
    said = [one.communicate()[0] for one in started]
    failures = [
        f"{one.returncode}: {text}" for one, text in zip(started, said, strict=True) if text
    ]
    if torn(module.load_parameters(path)) or [one.name for one in folder.iterdir()] != [path.name]:
        failures.append(f"what is left: {[one.name for one in folder.iterdir()]}")
    return failures


# --- killed --------------------------------------------------------------------------------------


def run(*arguments: str) -> None:
    """A command in this process, which says nothing."""
    with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
        command(list(arguments), prog_name="symflow", standalone_mode=False)


def compiled(turn: int) -> None:
    """Two modules, each with arrays beside it."""
    for name in ("one", "two"):
        Path(f"{name}.py").write_text(TABLE.format(factor=1 + turn % 2))
    run("compile", "one.py", "two.py")


def compiled_is_whole() -> str:
    for name in ("one", "two"):
        z = imported(Path("generated", f"{name}.py")).z([1.0])
        if not any(np.array_equal(z, np.arange(500.0) * factor) for factor in (1, 2)):
            return f"{name}: other numbers"
    return ""


def trained(turn: int) -> None:
    """A run of training on one of two tables."""
    if not Path("generated/line.py").exists():  # at first, when nothing is killed
        Path("line.py").write_text(LINE)
        run("compile", "line.py")
        for number in range(2):
            Path(f"data{number}.csv").write_text(f"x,y\n1,{number}\n2,3\n")
    how = ("--data", f"data{turn % 2}.csv", "--steps", "3", "--save", "run.npz")
    run("train", "generated/line.py", *how)


def trained_is_whole() -> str:
    """Parameters and state are of one run: both tables give other ones."""
    module = imported(Path("generated/line.py"))
    p = module.load_parameters("run.npz")
    with np.load("run.npz") as archive:
        held = dict(archive)
    for turn in range(2):
        x, y = np.loadtxt(f"data{turn}.csv", delimiter=",", skiprows=1).T
        right = module.train(module.initial_parameters(), x, y, steps=3)
        if np.array_equal(right.parameters.w, p.w):
            same = np.array_equal(right.state.m.w, held["training/m/w"])
            return "" if same and held["training/losses"].tolist() == right.losses else "mixed"
    return "other numbers"


def saved(turn: int) -> None:
    module = imported(DIGITS)
    for number in range(3):
        module.save_parameters("saved.npz", filled(module, float(turn * 3 + number)))


def saved_is_whole() -> str:
    return "torn" if torn(imported(DIGITS).load_parameters("saved.npz")) else ""


ACTIONS: dict[str, tuple[Callable[[int], None], Callable[[], str]]] = {
    "compile": (compiled, compiled_is_whole),
    "train --save": (trained, trained_is_whole),
    "save_parameters": (saved, saved_is_whole),
}


def child(work: Callable[[], None]) -> int:
    """A process of its own that does something."""
    number = os.fork()
    if number == 0:
        try:
            work()
        finally:
            os._exit(3)
    return number


def again_and_again(action: Callable[[int], None]) -> None:
    turn = 0
    while True:
        turn += 1
        action(turn)


def killed(count: int) -> list[str]:
    """Failures after so many kills at random moments, in the current folder."""
    failures: list[str] = []
    order = random.Random(0)
    for number in range(count):
        name = [*ACTIONS][number % len(ACTIONS)]
        action, is_whole = ACTIONS[name]
        process = child(lambda action=action: again_and_again(action))  # type: ignore[misc]
        time.sleep(order.uniform(0.01, 0.4))
        os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        if os.WTERMSIG(status) != signal.SIGKILL:
            failures.append(f"{name} {number}: ended by itself: {status}")
        failures += told(f"{name} {number}", is_whole)
    return failures


def told(where: str, is_whole: Callable[[], str]) -> list[str]:
    try:
        wrong = is_whole()
    except Exception as error:
        wrong = f"{type(error).__name__}: {error}"
    return [f"{where}: {wrong}"] if wrong else []


def killed_between(action: Callable[[int], None], turn: int, at: int) -> bool:
    """Whether it was killed: before the move or removal of that number."""

    def work() -> None:
        replace, unlink, count = os.replace, Path.unlink, 0

        def reached() -> None:
            nonlocal count
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

        def replaced(*paths: Any) -> None:
            reached()
            replace(*paths)

        def unlinked(path: Path, missing_ok: bool = False) -> None:
            if path.exists():
                reached()
            unlink(path, missing_ok)

        os.replace = replaced  # type: ignore[assignment]
        Path.unlink = unlinked  # type: ignore[method-assign, assignment]
        action(turn)
        os._exit(0)

    _, status = os.waitpid(child(work), 0)
    return os.WIFSIGNALED(status)


def between_all_moves() -> tuple[int, list[str]]:
    """How often it was killed before a move or a removal, and the failures."""
    count, failures = 0, []
    for name, (action, is_whole) in ACTIONS.items():
        action(0)
        for at in range(100):
            if not killed_between(action, 1, at):
                break
            count += 1
            failures += told(f"{name} before move {at}", is_whole)
            action(0)
    return count, failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--operations", type=int, default=10000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        path, process, operations = given.worker
        return min(1, worker(Path(path), int(process), int(operations)))
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        began = time.monotonic()
        Path("side").mkdir()
        failures += side_by_side(Path(folder, "side"), given.operations)
        print(
            f"{given.operations} saves and loads, {PROCESSES} processes of {THREADS} threads:",
            end="",
        )
        print(f" {len(failures)} failures, {time.monotonic() - began:.0f} s", flush=True)
        count, wrong = between_all_moves()
        print(f"killed before {count} moves or removals: {len(wrong)} failures", flush=True)
        failures += wrong
        wrong = killed(given.kills)
        print(f"killed {given.kills} times at random: {len(wrong)} failures", flush=True)
        failures += wrong
        os.chdir("/")
    print("\n".join(failures), end="")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
