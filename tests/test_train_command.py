"""`symflow train` and `symflow predict`: what they print, write and refuse; nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from conftest import DATA, ROOT, imported
from numpy.testing import assert_array_equal

from symflow.cli import main
from symflow.fitting import run as fitting_run
from symflow.fitting.progress import Progress, Seen, spoken

LINE = ROOT / "examples" / "linear_regression.py"
LINE_DATA = DATA / "linear_regression.csv"
DIGITS = ROOT / "generated" / "digits.py"
ADAM = """\
import symflow as sf
x = sf.placeholder(shape=("n", 2))
y = sf.placeholder(shape=("n",))
w = sf.Variable(sf.glorot_uniform((2, 8)))
v = sf.Variable(sf.ones(8))
prediction = sf.tanh(x @ w) @ v
loss = sf.reduce_mean(sf.square(prediction - y))
sf.train.AdamOptimizer(sf.train.exponential_decay(0.05, 10, 0.9)).minimize(loss)
"""


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments], prog_name="symflow")


def failed(*arguments: Any) -> str:
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    line = result.stderr
    assert line.count("\n") == 1
    return line.removeprefix("symflow: ").rstrip()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the digits, and with a model that keeps state and its data."""
    monkeypatch.chdir(tmp_path)
    rows = np.loadtxt(DATA / "digits.csv.gz", delimiter=",")
    pixels = (rows[:, :-1] / 16).astype(np.float32)
    np.savez("digits.npz", pixels=pixels, digit=rows[:, -1].astype(int))
    Path("adam.py").write_text(ADAM)
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 2))
    np.savez("adam.npz", x=x, y=np.sin(x[:, 0]) + x[:, 1])
    return tmp_path


def parameters_in(path: str | Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files if not name.startswith("training/")}


def assert_same_run(one: str | Path, other: str | Path) -> None:
    """Parameters, state and history, bit for bit."""
    with np.load(one) as first, np.load(other) as second:
        assert first.files == second.files
        for name in first.files:
            assert_array_equal(first[name], second[name], strict=True)


# --- training ------------------------------------------------------------------------------------


def test_the_article(here: Path) -> None:
    result = run("train", LINE, "--data", LINE_DATA, "--steps", 20, "--save", "line.npz")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[1:3] == [
        "  x  (n,) is column x",
        "  y_ (n,) is column y, nearly its name",
    ]
    assert lines[3] == "   0/20  loss 147.312      rate 0.005"
    assert lines[-4].startswith("20 updates, 0.")
    assert lines[-4].endswith(": loss 19.8783, 147.312 at first")
    assert lines[-3:-1] == ["  w = [[2.93373825]]", "  b = 0.04568701"]
    assert lines[-1] == "wrote line.npz"
    module = imported(ROOT / "generated" / "linear_regression.py")
    x, y = np.loadtxt(LINE_DATA, delimiter=",", skiprows=1).T
    wanted = module.train(
        module.initial_parameters(), x, y, steps=20, on_step=lambda *_: None
    ).parameters
    for one, other in zip(module.load_parameters("line.npz"), wanted, strict=True):
        assert_array_equal(one, other, strict=True)


def test_a_model_is_its_module(here: Path) -> None:
    how = ["--data", LINE_DATA, "--steps", 9]
    run("train", LINE, *how, "--save", "model.npz")
    run("train", ROOT / "generated" / LINE.name, *how, "--save", "module.npz")
    assert_same_run("model.npz", "module.npz")


def test_digits_with_validation(here: Path) -> None:
    how = ["--data", "digits.npz", "--batch-size", 50, "--validation", 0.2, "--steps", 1500]
    result = run("train", DIGITS, *how, "--save", "digits-trained.npz")
    lines = result.output.splitlines()
    assert sum("held out" in line for line in lines) == 11
    last = lines[-2]
    assert 0.0 < float(last.rpartition("held out ")[2]) < 0.2
    data = dict(np.load("digits.npz"))
    made = run(
        "predict",
        DIGITS,
        "--parameters",
        "digits-trained.npz",
        "--data",
        "digits.npz",
        "-o",
        "p.npz",
    )
    assert made.output == "wrote p.npz\n"
    probability = np.load("p.npz")["probability"]
    assert probability.dtype == np.float32
    assert np.mean(probability.argmax(axis=1) == data["digit"]) > 0.97


def test_rows_held_out_are_not_trained_on(here: Path) -> None:
    module = imported(DIGITS)
    data = dict(np.load("digits.npz"))
    inputs = {"pixels": ("n", 64), "digit": ("n",)}
    kept, held = fitting_run.split(inputs, data, 0.2, 3)
    assert len(kept["digit"]) + len(held["digit"]) == len(data["digit"])
    assert len(held["digit"]) == 359
    both = np.vstack([kept["pixels"], held["pixels"]])
    assert_array_equal(np.unique(both, axis=0), np.unique(data["pixels"], axis=0))
    again = fitting_run.split(inputs, data, 0.2, 3)[1]
    assert_array_equal(held["pixels"], again["pixels"])
    assert np.any(held["digit"] != fitting_run.split(inputs, data, 0.2, 4)[1]["digit"])
    result = run(
        "train",
        DIGITS,
        "--data",
        "digits.npz",
        "--validation",
        0.2,
        "--seed",
        3,
        "--steps",
        2,
        "--save",
        "s.npz",
    )
    loss = module.loss(module.load_parameters("s.npz"), **held)
    assert f"held out {loss:.6g}" in result.output.splitlines()[-2]


def test_validation_from_a_file(here: Path) -> None:
    how = ["--data", "adam.npz", "--steps", 3]
    result = run("train", "adam.py", *how, "--validation", "adam.npz")
    first = result.output.splitlines()[3]
    loss, held = first.split("loss ")[1].split()[0], first.split("held out ")[1].split()[0]
    assert loss == held


def test_tolerance(here: Path) -> None:
    result = run("train", LINE, "--data", LINE_DATA, "--tolerance", 0.001)
    assert "the gradient is below 0.001: loss 19.8782" in result.output


def test_start_is_a_new_run(here: Path) -> None:
    run("train", "adam.py", "--data", "adam.npz", "--steps", 5, "--save", "a.npz")
    result = run(
        "train",
        "adam.py",
        "--data",
        "adam.npz",
        "--steps",
        0,
        "--start",
        "a.npz",
        "--dtype",
        "float32",
        "--save",
        "b.npz",
    )
    assert result.output.splitlines()[-2].startswith("0 updates")
    for name, value in parameters_in("b.npz").items():
        assert_array_equal(value, parameters_in("a.npz")[name].astype(np.float32), strict=True)


def test_a_model_without_data(here: Path) -> None:
    result = run("train", ROOT / "examples" / "rosenbrock.py", "--steps", 50)
    assert result.output.splitlines()[-3].startswith("50 updates")


# --- going on ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["adam.py", DIGITS])
@pytest.mark.parametrize("batches", [(), ("--batch-size", 7)])
def test_a_run_in_parts_is_one_run(here: Path, model: Any, batches: Any) -> None:
    data = "adam.npz" if model == "adam.py" else "digits.npz"
    how = ["train", model, "--data", data, *batches, "--validation", 0.25]
    assert run(*how, "--steps", 30, "--save", "whole.npz").exit_code == 0
    for steps in (4, 13, 30):
        more = ["--resume", "part.npz"] if steps > 4 else []
        assert run(*how, *more, "--steps", steps, "--save", "part.npz").exit_code == 0
    assert parameters_in("part.npz").keys() == parameters_in("whole.npz").keys()
    with np.load("part.npz") as part, np.load("whole.npz") as whole:
        for name in whole.files:
            if name != "training/validation":  # computed at other steps, as --steps are others
                assert_array_equal(part[name], whole[name], strict=True)


def test_what_was_said_before_need_not_be_said_again(here: Path) -> None:
    how = ["train", "adam.py", "--data", "adam.npz"]
    own = ["--batch-size", 8, "--seed", 5, "--learning-rate", 0.01, "--dtype", "float32"]
    run(*how, *own, "--steps", 20, "--save", "whole.npz")
    run(*how, *own, "--steps", 5, "--save", "part.npz")
    result = run(*how, "--resume", "part.npz", "--steps", 20)
    assert result.output.splitlines()[-2].startswith("15 updates, 20 in all, ")
    assert_same_run("part.npz", "whole.npz")


INTERRUPTED = """
import os, signal, sys
from symflow.cli import main
from symflow.fitting import run

step_of = run.Progress.due
def due(self, step):
    if step == {at}:
        os.kill(os.getpid(), signal.{signal})
    return step_of(self, step)
run.Progress.due = due
main(prog_name="symflow")
"""


@pytest.mark.parametrize(
    ("model", "data", "batches"),
    [
        (str(DIGITS), "digits.npz", ["--batch-size", "50"]),
        ("adam.py", "adam.npz", ["--batch-size", "9"]),
        ("adam.py", "adam.npz", []),
    ],
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_loses_nothing(
    here: Path, model: str, data: str, batches: list[str], number: signal.Signals
) -> None:
    how = ["train", model, "--data", data, *batches, "--validation", "0.2", "--steps", "60"]
    assert run(*how, "--save", "whole.npz").exit_code == 0
    program = INTERRUPTED.format(at=23, signal=number.name)
    save = ["--save", "part.npz"] if number == signal.SIGINT else []
    command = [sys.executable, "-c", program, *how, *save]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=here, check=False)
    assert ended.returncode == 128 + number, ended.stderr
    assert "23 updates" in ended.stdout
    assert "interrupted: loss" in ended.stdout
    assert "once more quits at once" in ended.stderr
    saved = "part.npz" if save else f"{Path(model).stem}.interrupted.npz"
    assert f"wrote {saved}" in ended.stdout
    again = ended.stderr.splitlines()[-1].split()
    assert again[:2] == ["symflow", "train"]
    assert again[-2:] == ["--resume", saved]
    assert run(*again[1:], "--save", "part.npz").exit_code == 0
    assert_same_run("part.npz", "whole.npz")


def started(*arguments: str) -> subprocess.Popen[str]:
    """A long training in a process of its own, that has taken its first steps."""
    command = [sys.executable, "-m", "symflow", *arguments, "--steps", "100000000"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "/100000000  loss" in line:
            return process
    raise AssertionError(process.communicate()[1])


def test_ctrl_c(here: Path) -> None:
    process = started("train", "adam.py", "--data", "adam.npz", "--save", "part.npz")
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in out
    assert "--resume part.npz" in err
    with np.load("part.npz") as archive:
        steps = len(archive["training/losses"])
    assert steps > 0
    how = ["train", "adam.py", "--data", "adam.npz"]
    run(*how, "--steps", steps + 10, "--save", "whole.npz")
    run(*how, "--steps", steps + 10, "--resume", "part.npz")
    assert_same_run("part.npz", "whole.npz")


def test_output_that_nobody_reads_any_more(here: Path) -> None:
    """`symflow train ... | head -4`: a run that has begun goes on, and is saved."""
    command = [sys.executable, "-m", "symflow", "train", "adam.py", "--data", "adam.npz"]
    process = subprocess.Popen(
        [*command, "--steps", "40", "--save", "a.npz"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert any(b"0/40  loss" in process.stdout.readline() for _ in range(4))
    process.stdout.close()
    process.wait(timeout=60)
    with np.load("a.npz") as archive:
        assert len(archive["training/losses"]) == 40


def test_the_second_ctrl_c_ends_it(here: Path) -> None:
    """The first is not answered here, as a step would last for ever."""
    program = INTERRUPTED.format(at=5, signal="SIGINT").replace(
        "return step_of",
        "os.kill(os.getpid(), signal.SIGINT) if step == 5 else None; return step_of",
    )
    command = [sys.executable, "-c", program, "train", "adam.py", "--data", "adam.npz"]
    ended = subprocess.run(
        [*command, "--save", "part.npz"], capture_output=True, text=True, cwd=here, check=False
    )
    assert ended.returncode == -signal.SIGINT
    assert not os.path.exists("part.npz")


def test_a_run_is_saved_meanwhile(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As often as it comes to, and the run goes on as if it had not been."""
    how = ["train", "adam.py", "--data", "adam.npz", "--batch-size", 9, "--steps", 12]
    run(*how, "--save", "whole.npz")
    monkeypatch.setattr(fitting_run, "SAVE_EVERY", 0.0)
    saved: list[int] = []
    save = fitting_run.save

    def watched(path: Path, checkpoint: Any) -> None:
        saved.append(checkpoint.state.step)
        save(path, checkpoint)

    monkeypatch.setattr(fitting_run, "save", watched)
    run(*how, "--save", "often.npz")
    assert saved == list(range(1, 12))
    assert_same_run("often.npz", "whole.npz")


def test_a_checkpoint_of_another_run_is_refused(here: Path) -> None:
    how = ["train", "adam.py", "--data", "adam.npz"]
    run(*how, "--batch-size", 8, "--steps", 5, "--save", "part.npz")
    on = [*how, "--resume", "part.npz"]
    assert failed(*on, "--batch-size", 9) == "part.npz: a run with --batch-size 8, not 9"
    assert failed(*on, "--seed", 1) == "part.npz: a run with --seed 0, not 1"
    assert failed(*on, "--dtype", "float32") == "part.npz: a run with --dtype float64, not float32"
    assert failed(*on, "--steps", 5) == (
        "part.npz: 5 updates are made already, and --steps is 5, in all; hint: more --steps"
    )
    other = failed(*on, "--validation", 0.5)
    assert other.startswith(
        "part.npz: a run on other data, or on other rows of them; hint: --start"
    )
    assert failed("train", LINE, "--data", LINE_DATA, "--resume", "part.npz").startswith(
        f"part.npz: a run of another module than {LINE}; the model has changed"
    )
    Path("adam.py").write_text(ADAM.replace("0.05", "0.06"))
    assert failed(*on).startswith("part.npz: a run of another module than adam.py")
    np.savez("bare.npz", w=np.ones((2, 8)), v=np.ones(8))
    assert failed(*how, "--resume", "bare.npz") == (
        "bare.npz: holds no run that could go on, only w, v; "
        "hint: --start begins a new run from parameters"
    )
    Path("text.npz").write_text("w = 1")
    assert failed(*how, "--resume", "text.npz").startswith("text.npz: not an .npz file of arrays")
    assert failed(*how, "--resume", "none.npz") == "none.npz: No such file or directory"


# --- mistakes ------------------------------------------------------------------------------------


def test_mistakes(here: Path) -> None:
    how = ["train", "adam.py", "--data", "adam.npz"]
    assert failed(*how, "--batch-size", 41) == ("adam.py: batch_size: expected 1 to 40, got 41")
    Path("forward.py").write_text("import symflow as sf\nw = sf.Variable(1.0)\ny = w * 2\n")
    assert failed("train", "forward.py").startswith("forward.py: no training: the model says")
    assert failed("train", "none.py") == "none.py: No such file or directory"
    assert failed("train", ROOT / "examples" / "rosenbrock.py", "--data", "adam.npz").endswith(
        "rosenbrock.py: --data: the loss reads no data"
    )
    assert failed("train", ROOT / "examples" / "rosenbrock.py", "--threads", 2).endswith(
        "nothing here is computed in blocks of rows"
    )
    assert failed(*how, "--start", "adam.npz").startswith("adam.npz holds no w")
    wrong = run("train", "adam.py")
    assert wrong.exit_code == 2
    assert "--data is needed: the loss reads x, y" in wrong.stderr
    assert run(*how, "--validation", 1.5).exit_code == 2
    assert run(*how, "--start", "a.npz", "--resume", "b.npz").exit_code == 2


def test_a_loss_that_is_not_finite(here: Path) -> None:
    how = ["--data", LINE_DATA, "--learning-rate", 10, "--save", "line.npz"]
    message = failed("train", LINE, *how)
    assert message.startswith(f"{LINE}: step 47: the loss is inf; hint: --learning-rate below 10")
    assert not os.path.exists("line.npz")


def test_a_loss_that_grows_is_told(here: Path) -> None:
    data = ["--data", DATA / "diabetes.csv", "--map", "x=bmi", "--map", "y_=target"]
    result = run("train", LINE, *data, "--steps", 5)
    assert result.stderr == (
        "the loss has grown; hint: --learning-rate below 0.005, "
        "or data of about the size of 1: y_ reaches 346\n"
    )


def test_where_nothing_can_be_written_is_told_before(here: Path) -> None:
    Path("file").write_text("")
    how = ["train", LINE, "--data", LINE_DATA]
    for option in ("--save", "--plot"):
        result = run(*how, option, "file/here.png")
        assert result.exit_code == 1
        assert result.output == "symflow: file/here.png: File exists\n"


# --- predictions ---------------------------------------------------------------------------------


def test_predictions_are_printed_or_written(here: Path) -> None:
    run("train", "adam.py", "--data", "adam.npz", "--steps", 50, "--save", "a.npz")
    how = ["predict", "adam.py", "--parameters", "a.npz", "--data", "adam.npz"]
    lines = run(*how).output.splitlines()
    assert lines[0] == "prediction"
    with np.load("a.npz") as p, np.load("adam.npz") as data:
        wanted = np.tanh(data["x"] @ p["w"]) @ p["v"]
    np.testing.assert_allclose(np.array(lines[1:], float), wanted, rtol=1e-14)
    assert run(*how, "-o", "out.csv").output == "wrote out.csv\n"
    assert Path("out.csv").read_text().splitlines() == lines
    assert failed(*how, "-o", "out.txt") == (
        "--output out.txt: predictions are written to .csv or .npz"
    )
    assert failed(*how, "--function", "y") == "adam.py: no function y; there are: prediction"


def test_predictions_of_rows_along_another_axis(here: Path) -> None:
    """The article's y is (1, n); a probability has columns of its own."""
    run("train", LINE, "--data", LINE_DATA, "--steps", 5, "--save", "line.npz")
    result = run("predict", LINE, "--parameters", "line.npz", "--data", LINE_DATA)
    assert len(result.output.splitlines()) == 101
    run("train", DIGITS, "--data", "digits.npz", "--steps", 1, "--save", "d.npz")
    result = run("predict", DIGITS, "--parameters", "d.npz", "--data", "digits.npz")
    assert result.output.startswith("probability_0,probability_1,")
    assert len(result.output.splitlines()) == 1798


def test_inputs_that_are_not_read_may_be_missing(here: Path) -> None:
    run("train", LINE, "--data", LINE_DATA, "--steps", 5, "--save", "line.npz")
    Path("new.csv").write_text("feature\n0.5\n")
    result = run("predict", LINE, "--parameters", "line.npz", "--data", "new.csv", "--map", "y_=t")
    assert result.exit_code == 0
    assert "x (n,) is column feature, all that is left" in result.stderr
    assert len(result.stdout.splitlines()) == 2


def test_a_module_that_holds_its_parameters(here: Path) -> None:
    run("train", "adam.py", "--data", "adam.npz", "--steps", 5, "--save", "a.npz")
    made = run("compile", "adam.py", "--only", "prediction", "--parameters", "a.npz", "-o", "small")
    assert made.exit_code == 0
    how = ["--data", "adam.npz"]
    wanted = run("predict", "adam.py", "--parameters", "a.npz", *how).stdout.splitlines()
    found = run("predict", "small/adam.py", *how).stdout.splitlines()
    assert found[0] == wanted[0] == "prediction"
    np.testing.assert_allclose(np.array(found[1:], float), np.array(wanted[1:], float), rtol=1e-13)
    assert failed("predict", "small/adam.py", *how, "--parameters", "a.npz") == (
        "small/adam.py: --parameters: the module holds them already"
    )
    assert "--parameters is needed" in run("predict", "adam.py", *how).stderr
    assert failed("train", "small/adam.py", *how).startswith("small/adam.py: no training")


def test_several_functions(here: Path) -> None:
    text = ADAM.replace("prediction = sf.tanh(x @ w) @ v", "h = sf.tanh(x @ w)\nout = h @ v")
    Path("two.py").write_text(text.replace("prediction", "out"))
    run("train", "two.py", "--data", "adam.npz", "--steps", 1, "--save", "a.npz")
    how = ["predict", "two.py", "--parameters", "a.npz", "--data", "adam.npz"]
    assert failed(*how) == "two.py: several functions; hint: --function h or out"
    assert run(*how, "--function", "h").output.splitlines()[0].count("h_") == 8


# --- progress ------------------------------------------------------------------------------------


class Terminal:
    """A stream that keeps what is written, and says that it is a terminal."""

    encoding = "utf-8"

    def __init__(self, terminal: bool) -> None:
        self.terminal = terminal
        self.text = ""

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def test_the_bar() -> None:
    clock = iter([0.0, 0.0, 2.0, 2.0])
    stream: Any = Terminal(True)
    progress = Progress(0, 200, stream, lambda: next(clock))
    line = progress.line(Seen(50, 0.12345678, 0.5, 0.25), 99)
    assert line == (
        " 25% ━━━━━━──────────────────  50/200  "
        "loss 0.123457     held out 0.25         rate 0.5  0.0 s left"
    )
    short = Progress(0, 200, stream, lambda: 0.0).line(Seen(50, 0.12345678, 0.5, None), 30)
    assert len(short) == 30
    stream.encoding = "ascii"
    assert progress.line(Seen(200, 1.0, None, None), 60).startswith("100% ####")


def test_a_terminal_is_not_written_to_at_every_step() -> None:
    now = [0.0]
    stream: Any = Terminal(True)
    progress = Progress(0, 1000, stream, lambda: now[0])
    for step in range(1000):
        now[0] = step / 1000
        if progress.due(step):
            progress.show(Seen(step, 1.0, 0.1, None))
    progress.close()
    assert 9 <= stream.text.count("\r") <= 12
    assert stream.text.endswith("\r\x1b[K")


def test_time_as_it_is_said() -> None:
    said = [spoken(seconds) for seconds in (0.25, 12.4, 200.0, 7500.0)]
    assert said == ["0.2 s", "12 s", "3:20 min", "2:05 h"]
