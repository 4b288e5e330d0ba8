"""Files that symflow writes: whole or not at all, through links, never over what it reads."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from conftest import ROOT, imported

import symflow.writing as writing
from symflow.cli import main
from symflow.errors import SymflowError
from symflow.writing import check_writable, write

LINE = """\
import symflow as sf
x = sf.placeholder(shape=("n",))
y = sf.placeholder(shape=("n",))
w = sf.Variable(1.0)
prediction = w * x
loss = sf.reduce_mean(sf.square(prediction - y))
sf.train.GradientDescentOptimizer(0.1).minimize(loss)
"""
TABLE = """\
import numpy as np
import symflow as sf
x = sf.placeholder(shape=("n",))
z = sf.reduce_sum(x) * (np.arange({count}) * {factor})
"""
"""With arrays in a file beside the module, if `count` is a few hundred."""


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments], prog_name="symflow")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, its module, data, and parameters."""
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text(LINE)
    Path("table.py").write_text(TABLE.format(count=500, factor=1.0))
    Path("rows.csv").write_text("x,y\n1,2\n2,4\n")
    Path("held.csv").write_text("x,y\n3,6\n")
    np.savez("start.npz", w=2.0)
    assert run("compile", "model.py", "table.py").exit_code == 0
    (archive,) = Path("generated").glob("table.*.npz")
    Path("archive").symlink_to(archive)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder but for bytecode, links by where they lead."""
    return {
        str(path.relative_to(folder)): os.readlink(path).encode()
        if path.is_symlink()
        else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or (path.is_file() and "__pycache__" not in path.parts)
    }


# --- nothing that is read is written over --------------------------------------------------------

TRAIN = ("train", "model.py", "--data", "rows.csv", "--steps", "2")
OVER = {
    "a module over its model": ("compile", "model.py", "-o", "."),
    "a module over its model in another spelling": ("compile", "model.py", "-o", "generated/.."),
    "a module over one of several models": ("compile", "generated/../model.py", "table.py", "-o."),
    "parameters over the data": (*TRAIN, "--save", "rows.csv"),
    "parameters over the data by a link": (*TRAIN, "--save", "link.csv"),
    "parameters over the data by another name": (*TRAIN, "--save", "hard.csv"),
    "parameters over the model": (*TRAIN, "--save", "model.py"),
    "parameters over the rows held out": (*TRAIN, "--validation", "held.csv", "--save", "held.csv"),
    "parameters over those of the start": (*TRAIN, "--start", "start.npz", "--save", "start.npz"),
    "parameters over a module": (
        *("train", "generated/model.py", "--data", "rows.csv", "--steps", "2"),
        *("--save", "generated/model.py"),
    ),
    "a picture over the data": (*TRAIN, "--plot", "rows.png"),
    "a picture over the parameters": (*TRAIN, "--save", "fit.png", "--plot", "fit.png"),
    "predictions over the data": (
        *("predict", "model.py", "--parameters", "start.npz", "--data", "rows.csv"),
        *("-o", "rows.csv"),
    ),
    "predictions over the parameters": (
        *("predict", "model.py", "--parameters", "start.npz", "--data", "rows.csv"),
        *("-o", "./start.npz"),
    ),
    "predictions over a module's arrays": (
        *("predict", "generated/table.py", "--data", "rows.csv", "-o"),
        "archive.npz",
    ),
    "a report over the model": ("explain", "model.py", "--html", "model.py"),
    "a report over the model by a link": ("explain", "model.py", "--html", "link.py"),
}
WRITTEN_TOO = ("a picture over the parameters",)
"""Where what would be lost is no input, but the other thing that the same command writes."""


@pytest.mark.parametrize("case", OVER)
def test_nothing_that_is_read_is_written_over(case: str, here: Path) -> None:
    Path("link.csv").symlink_to("rows.csv")
    Path("link.py").symlink_to(here / "model.py")
    Path("rows.png").symlink_to("rows.csv")
    Path("archive.npz").symlink_to("archive")
    os.link("rows.csv", "hard.csv")
    before = contents(here)
    result = run(*OVER[case])
    assert result.exit_code == 1, result.output
    over = "--save, which is written too" if case in WRITTEN_TOO else r"[^\n]+, which is read"
    assert re.fullmatch(
        rf"symflow: \S+: would be written over {over}\n    hint: [^\n]+\n", result.stderr
    )
    assert contents(here) == before


def test_a_module_is_not_written_over_another_model(here: Path) -> None:
    Path("other").mkdir()
    Path("other/model.py").write_text(f"# mine\n{LINE}")
    before = contents(here)
    result = run("compile", "model.py", "-o", "other")
    assert result.exit_code == 1
    assert "other/model.py: there is a model already" in result.stderr
    assert contents(here) == before


def test_a_run_may_go_on_in_its_own_file(here: Path) -> None:
    assert run(*TRAIN, "--save", "run.npz").exit_code == 0
    again = run("train", "model.py", "--data", "rows.csv", "--steps", 4, "--resume", "run.npz")
    assert again.exit_code == 0, again.output
    assert len(np.load("run.npz")["training/losses"]) == 4


# --- arrays beside a module ----------------------------------------------------------------------


def archives() -> list[str]:
    """All that is called as the arrays of the module."""
    return sorted(path.name for path in Path("generated").glob("table.*.npz*"))


def compiled_again(**values: Any) -> None:
    Path("table.py").write_text(TABLE.format(**{"count": 500, "factor": 1.0, **values}))
    assert run("compile", "table.py").exit_code == 0


def z(path: str = "generated/table.py") -> list[float]:
    found: list[float] = imported(Path(path)).z([1.0])[:3].tolist()
    return found


def test_arrays_of_another_module_are_never_used(here: Path) -> None:
    """Whichever of two files comes from another run of the compiler."""
    first = Path("generated/table.py").read_bytes()
    (archive,) = Path("generated").glob("*.npz")
    old = archive.read_bytes()
    compiled_again(factor=3.0)
    assert z() == [0.0, 3.0, 6.0]
    (now,) = Path("generated").glob("*.npz")
    assert now != archive
    new = now.read_bytes()
    now.write_bytes(old)
    with pytest.raises(ImportError, match=r"table\.\w{16}\.npz is not what it was: compile"):
        z()
    now.write_bytes(new)
    Path("generated/table.py").write_bytes(first)
    with pytest.raises(FileNotFoundError, match=archive.name):
        z()
    archive.write_bytes(old)
    assert z() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    "broken",
    {
        "cut": lambda content: content[:-1],
        "empty": lambda content: b"",
        "a bit": lambda content: content[:900] + bytes([content[900] ^ 1]) + content[901:],
        "a pointer": lambda content: b"version https://git-lfs.github.com/spec/v1\n",
        "line ends": lambda content: content.replace(b"\n", b"\r\n"),
        "longer": lambda content: content + b"\0",
    }.items(),
    ids=lambda case: case[0],
)
def test_arrays_that_were_changed_are_noticed(here: Path, broken: Any) -> None:
    (archive,) = Path("generated").glob("*.npz")
    archive.write_bytes(broken[1](archive.read_bytes()))
    with pytest.raises(ImportError, match="compile the model again"):
        z()
    result = run("predict", "generated/table.py", "--data", "rows.csv")
    assert result.exit_code == 1
    assert "compile the model again" in result.stderr
    assert run("compile", "table.py", "--check").exit_code == 1
    assert run("compile", "table.py").exit_code == 0
    assert z() == [0.0, 1.0, 2.0]


def test_only_what_symflow_wrote_is_removed(here: Path) -> None:
    (first,) = archives()
    strangers = {
        "table.npz": b"mine",
        "table.0123456789abcdef.npz": b"mine too, by its content",
        "other.0123456789abcdef.npz": b"another's",
        "table.0123456789abcdef.npz.bak": b"a copy",
        "table.old.npz": b"old",
    }
    for name, content in strangers.items():
        Path("generated", name).write_bytes(content)
    Path("generated/kept").write_bytes(Path("generated", first).read_bytes())
    compiled_again(factor=2.0)
    assert first not in archives()
    for name, content in strangers.items():
        assert Path("generated", name).read_bytes() == content
    compiled_again(count=5)
    assert set(archives()) == {*strangers} - {"other.0123456789abcdef.npz", "table.npz"}


def test_arrays_that_another_module_names_stay(here: Path) -> None:
    (first,) = archives()
    Path("generated/version_1.py").write_bytes(Path("generated/table.py").read_bytes())
    compiled_again(factor=2.0)
    assert z("generated/version_1.py") == [0.0, 1.0, 2.0]
    assert z() == [0.0, 2.0, 4.0]
    Path("generated/version_1.py").unlink()
    compiled_again(factor=2.0)
    assert first not in archives()
    assert len(archives()) == 1


def test_a_link_to_arrays_stays(here: Path) -> None:
    (first,) = archives()
    Path("generated", first).rename("elsewhere.npz")
    Path("generated", first).symlink_to(here / "elsewhere.npz")
    compiled_again(factor=2.0)
    assert Path("generated", first).is_symlink()
    assert Path("elsewhere.npz").exists()


# --- places --------------------------------------------------------------------------------------


def saved(path: str) -> None:
    module = imported(Path("generated/model.py"))
    module.save_parameters(path, module.Parameters(w=3.0))


WRITERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "train": (lambda path: run(*TRAIN, "--save", path), "fit.npz"),
    "plot": (lambda path: run(*TRAIN, "--plot", path), "fit.svg"),
    "predict": (
        lambda path: run(
            *("predict", "model.py", "--parameters", "start.npz", "--data", "rows.csv"),
            *("-o", path),
        ),
        "said.csv",
    ),
    "explain": (lambda path: run("explain", "model.py", "--html", path), "report.html"),
    "save_parameters": (saved, "fit.npz"),
    "compile": (lambda path: run("compile", "model.py", "-o", Path(path).parent), "model.py"),
}


@pytest.fixture(params=WRITERS)
def writer(request: pytest.FixtureRequest, here: Path) -> tuple[Callable[[str], Any], Path]:
    """What writes a file, and where to, in a folder of its own."""
    Path("out").mkdir()
    function, name = WRITERS[request.param]
    return function, Path("out", name)


def succeeded(result: Any) -> None:
    assert result is None or result.exit_code == 0, result.output


def test_permissions_are_kept(writer: Any) -> None:
    function, path = writer
    for mode in (0o640, 0o600, 0o666, 0o755):
        path.write_bytes(b"old")
        path.chmod(mode)
        succeeded(function(str(path)))
        assert path.read_bytes() != b"old"
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_new_files_have_the_permissions_of_others(writer: Any) -> None:
    function, path = writer
    for mask in (0o022, 0o077, 0o002):
        before = os.umask(mask)
        try:
            succeeded(function(str(path)))
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
        path.unlink()


def test_what_a_link_leads_to_is_replaced(writer: Any) -> None:
    function, path = writer
    for target, link in ((Path("target"), "../target"), (Path("out/none"), "none")):
        if target.parent == Path():
            target.write_bytes(b"old")
        path.symlink_to(link)
        succeeded(function(str(path)))
        assert os.readlink(path) == link
        assert target.is_file()
        assert target.read_bytes() != b"old"
        path.unlink()
    assert [one.name for one in Path("out").iterdir()] == ["none"]


def test_pipes_and_devices_are_written_to(writer: Any) -> None:
    function, path = writer
    os.mkfifo(path)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(path.read_bytes()))
    reader.start()
    succeeded(function(str(path)))
    reader.join(timeout=30)
    assert stat.S_ISFIFO(path.stat().st_mode)
    path.unlink()
    succeeded(function(str(path)))
    if path.suffix == ".npz":
        path.write_bytes(found[0])
        assert "w" in np.load(path)
    else:
        assert path.read_bytes() == found[0]
    path.unlink()
    path.symlink_to(os.devnull)
    succeeded(function(str(path)))
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert path.is_symlink()


def test_a_link_that_is_planted_is_not_followed(
    writer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the name of what is written meanwhile is guessed."""
    function, path = writer
    Path("victim").write_bytes(b"mine")
    monkeypatch.setattr(os, "urandom", bytes)
    for name in (f"{path.name}.partial", f".{'00' * 8}.partial"):
        (path.parent / name).symlink_to("../victim")
    with contextlib.suppress(FileExistsError):  # of a generated module
        assert function(str(path)).exit_code == 1
    assert Path("victim").read_bytes() == b"mine"
    assert not path.exists()


def test_what_fails_leaves_all_as_it_was(writer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    function, path = writer
    path.write_bytes(b"old")

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with contextlib.suppress(OSError):  # of a generated module
        assert function(str(path)).exit_code == 1
    assert contents(Path("out")) == {path.name: b"old"}


@pytest.mark.parametrize("kind", ["a folder", "a loop", "below a file", "a null byte"])
def test_places_where_nothing_can_stand(kind: str, here: Path) -> None:
    Path("folder.csv").mkdir()
    Path("loop.csv").symlink_to("loop.csv")
    path = {
        "a folder": "folder.csv",
        "a loop": "loop.csv",
        "below a file": "model.py/said.csv",
        "a null byte": "said\0.csv",
    }[kind]
    before = contents(here)
    for function in (lambda one: write({one: b"new"}), lambda one: check_writable(one, {})):
        with pytest.raises(SymflowError):
            function(Path(path))
    assert contents(here) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="all files are writable for root")
def test_a_file_that_is_read_only_stays(here: Path) -> None:
    Path("said.csv").write_bytes(b"old")
    Path("said.csv").chmod(0o444)
    with pytest.raises(SymflowError, match="Permission denied"):
        write({Path("said.csv"): b"new"})
    assert Path("said.csv").read_bytes() == b"old"


def test_two_files_are_not_written_to_one_place(here: Path) -> None:
    Path("link").symlink_to("one")
    with pytest.raises(SymflowError, match="two files would be written there"):
        write({Path("one"): b"1", Path("link"): b"2"})
    assert not Path("one").exists()


def test_none_is_replaced_where_one_cannot_be(here: Path) -> None:
    Path("one").write_bytes(b"old")
    Path("two").mkdir()
    before = contents(here)
    with pytest.raises(SymflowError, match="two: is a folder"):
        write({Path("one"): b"new", Path("two"): b"new"})
    assert contents(here) == before


# --- signals -------------------------------------------------------------------------------------

SIGNALLED = """
import os, signal, sys
sys.path.insert(0, {root!r})
from symflow.cli import main
replace = os.replace
def replaced(*paths):
    os.kill(os.getpid(), signal.{signal})
    for _ in range(1000):
        pass
    replace(*paths)
os.replace = replaced
main(prog_name="symflow")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", ["compile", "explain", "predict"])
def test_a_signal_leaves_nothing_half_written(
    here: Path, command: str, number: signal.Signals
) -> None:
    """Within the write: the process ends by the signal, and all is as before."""
    arguments = {
        "compile": ["compile", "table.py", "-o", "out"],
        "explain": ["explain", "model.py", "--html", "out/report.html"],
        "predict": [
            *("predict", "model.py", "--parameters", "start.npz", "--data", "rows.csv"),
            *("-o", "out/said.csv"),
        ],
    }[command]
    Path("out").mkdir()
    before = contents(here)
    program = SIGNALLED.format(root=str(ROOT), signal=number.name)
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True)
    assert ended.returncode == -number, ended.stderr
    assert contents(here) == before


def test_signals_are_as_before_when_a_command_has_ended(here: Path) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(one) for one in numbers]
    run("rules")
    assert [signal.getsignal(one) for one in numbers] == before


def test_nothing_else_opens_files_to_write() -> None:
    """In the package, files come to be in `writing.py`, but for temporary folders."""
    allowed = {"writing.py", "modules.py", "selftest.py", "contract.py"}
    pattern = re.compile(r"write_(bytes|text)\(|\bopen\([^)]*[\"'][rwxab+]*[wxa+]|mkstemp|savez\(")
    for path in Path(writing.__file__).parent.rglob("*.py"):
        if path.name not in allowed:
            assert not pattern.search(path.read_text()), path.name


def test_save_parameters_needs_numpy_alone(here: Path) -> None:
    text = Path("generated/model.py").read_text()
    assert isinstance(imported(Path("generated/model.py")), ModuleType)
    for line in re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE):
        assert line in {"numpy", "__future__", *sys.stdlib_module_names}
