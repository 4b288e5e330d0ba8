"""Formulas for people: one tree, written as text, LaTeX and MathML."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from symflow.files import compilation
from symflow.formulas import latex, mathml, text
from symflow.formulas.lines import lines, model_names
from symflow.formulas.reading import Reader
from symflow.formulas.spelling import Spelling, spelling
from symflow.formulas.tree import Equation, Name
from symflow.formulas.wrapping import wrapped
from symflow.shapes import Shape

HEAD = """import symflow as sf
x = sf.placeholder(shape=("n", 4))
y = sf.placeholder(shape=("n",))
a = sf.placeholder(shape=(3, 3))
q = sf.placeholder(shape=("n",))
k = sf.placeholder(sf.int64, ("n",))
w = sf.Variable(sf.zeros((4, 2)))
"""


def equations(
    tmp_path: Path, source: str, shapes: dict[str, Shape] | None = None
) -> list[Equation]:
    """What is told of a model, in order."""
    model = tmp_path / "model.py"
    model.write_text(HEAD + source)
    program = compilation(model, shapes or {}).stages["lower"]
    return [line.equation for line in lines(Reader(program, model_names(program)))]


TEXTS = {
    "z = x @ w": "z[i, j] = Σ_k x[i, k]·w[k, j]",
    "z = sf.tanh(x @ w + 1.0)": "z[i, j] = tanh(Σ_k x[i, k]·w[k, j] + 1)",
    "z = sf.reduce_mean(x, axis=1)": "z[i] = 0.25·Σ_j x[i, j]",
    "z = sf.reduce_mean(sf.square(y - q))": "z = 1/n·Σ_i (y[i] - q[i])²",
    "z = sf.softmax(x)": "z[i, j] = exp(x[i, j]) / (Σ_k exp(x[i, k]))",
    "z = sf.reduce_logsumexp(x, axis=1)": "z[i] = log(Σ_j exp(x[i, j]))",
    "z = sf.nn.log_softmax(x)": "z[i, j] = x[i, j] - log(Σ_k exp(x[i, k]))",
    "z = sf.stop_gradient(sf.reduce_max(x, 1)) * y": "z[i] = y[i]·max_j x[i, j]",
    "z = sf.where(y > 0, y, -q)": "z[i] = {y[i] if y[i] > 0; -q[i] else}",
    "z = y > 0": "z[i] = y[i] > 0",
    "z = sf.cast(y > 0, sf.float64) * q": "z[i] = q[i]·[y[i] > 0]",
    "z = sf.abs(y) + sf.floor(q)": "z[i] = |y[i]| + ⌊q[i]⌋",
    "z = sf.sqrt(y) + sf.rsqrt(q)": "z[i] = √y[i] + 1 / √q[i]",
    "z = sf.sqrt(y + q)": "z[i] = √(y[i] + q[i])",
    "z = y ** q": "z[i] = y[i]^q[i]",
    "z = sf.log1p(y)": "z[i] = log(y[i] + 1)",
    "z = 2 * (y + q)": "z[i] = 2·(y[i] + q[i])",
    "z = -y / (q * 3)": "z[i] = -y[i] / (3·q[i])",
    "z = sf.maximum(y, q)": "z[i] = max(y[i], q[i])",
    "z = sf.transpose(x)": "z[i, j] = x[j, i]",
    "z = x[:, 1:3]": "z[i, j] = x[i, j+1]",
    "z = x[:, -1]": "z[i] = x[i, 3]",
    "z = y[::-1]": "z[i] = y[n-i-1]",
    "z = y[::2]": "z[i] = y[2·i]",
    "z = sf.gather(y, k)": "z[i] = y[k[i]]",
    "z = sf.one_hot(k, 10)": "z[i, j] = [k[i] = j]",
    "z = sf.cumsum(y)": "z[i] = Σ_j≤i y[j]",
    "z = sf.cumprod(y, reverse=True)": "z[i] = Π_j≥i y[j]",
    "z = sf.reduce_prod(x, axis=1)": "z[i] = Π_j x[i, j]",
    "z = sf.argmax(x, axis=1)": "z[i] = argmax_j x[i, j]",
    "z = sf.linalg.det(a)": "z = det(a)",
    "z = sf.linalg.inv(a)": "z[i, j] = (a⁻¹)[i, j]",
    "z = sf.linalg.solve(a, a)": "z[i, j] = (a⁻¹·a)[i, j]",
    "z = sf.linalg.cholesky(a)": "z[i, j] = cholesky(a)[i, j]",
    "z = sf.eye(3)": "z[i, j] = [i = j]",
    "z = sf.trace(a)": "z = Σ_i a[i, i]",
    "z = sf.matrix_band_part(a, -1, 0)": "z[i, j] = a[i, j]·[j ≤ i]",
    "z = sf.reshape(x, (-1,))": "z[i] = reshape(x)[i]",
}


@pytest.mark.parametrize("source", TEXTS)
def test_text(source: str, tmp_path: Path) -> None:
    assert [text.equation(one) for one in equations(tmp_path, source)] == [TEXTS[source]]


LATEX = {
    "z = x @ w": r"z_{i,j} = \sum_{k} x_{i,k} \, w_{k,j}",
    "z1 = y / q": r"z^{(1)}_{i} = \frac{y_{i}}{q_{i}}",
    "out = sf.sqrt(y + q)": r"\mathrm{out}_{i} = \sqrt{y_{i} + q_{i}}",
    "alpha = sf.cbrt(y)": r"\alpha_{i} = \operatorname{cbrt}(y_{i})",
    "z = sf.where(y > 0, y, q)": (
        r"z_{i} = \begin{cases} y_{i} & \text{if } y_{i} > 0 \\ "
        r"q_{i} & \text{otherwise} \end{cases}"
    ),
    "z = sf.log(sf.reduce_sum(y))": r"z = \log\left(\sum_{i} y_{i}\right)",
    "z = sf.reduce_mean(y)": r"z = \frac{1}{n} \, \sum_{i} y_{i}",
    "z = sf.abs(y)": r"z_{i} = \lvert y_{i}\rvert ",
    "z_ = y * 1e-8": r"z^{\prime}_{i} = 10^{-8} \, y_{i}",
    "cross_entropy = y ** 2": r"\mathrm{cross\_entropy}_{i} = y_{i}^{2}",
    "z = (y / q) ** 2 + y": r"z_{i} = y_{i} + \left(\frac{y_{i}}{q_{i}}\right)^{2}",
    "z = sf.cumsum(y)": r"z_{i} = \sum_{j \leq i} y_{j}",
    "z = sf.argmax(x, 1)": r"z_{i} = \operatorname*{arg\,max}_{j} x_{i,j}",
}


@pytest.mark.parametrize("source", LATEX)
def test_latex(source: str, tmp_path: Path) -> None:
    assert [latex.equation(one) for one in equations(tmp_path, source)] == [LATEX[source]]


@pytest.mark.parametrize("source", [*TEXTS, *LATEX])
def test_every_formula_is_well_formed(source: str, tmp_path: Path) -> None:
    for one in equations(tmp_path, source):
        assert balanced(latex.equation(one))
        root = ElementTree.fromstring(mathml.equation(one))
        assert root.tag == "math"
        for element in root.iter():
            assert len(element) == CHILDREN.get(element.tag, len(element)), element.tag


CHILDREN = {"mfrac": 2, "msub": 2, "msup": 2, "msubsup": 3, "munder": 2, "mover": 2, "mroot": 2}
"""How many there must be."""


def balanced(formula: str) -> bool:
    """Whether braces, \\left and \\right, and environments are closed where they were opened."""
    pattern = r"\\begin\{\w+\*?\}|\\end\{\w+\*?\}|\\left|\\right(?!arrow)|(?<!\\)[{}]"
    closing = {"{": "}", r"\left": r"\right"}
    open_: list[str] = []
    for token in re.findall(pattern, re.sub(r"\\leftarrow|\\leq", "", formula)):
        if token in closing:
            open_.append(closing[token])
        elif token.startswith(r"\begin"):
            open_.append(token.replace("begin", "end"))
        elif not open_ or open_.pop() != token:
            return False
    return not open_


def test_mathml(tmp_path: Path) -> None:
    (one,) = equations(tmp_path, "z = sf.sqrt(y) / q")
    assert mathml.equation(one, display=False) == (
        '<math displaystyle="true"><mrow><msub><mi>z</mi><mrow><mi>i</mi></mrow></msub><mo>=</mo>'
        "<mfrac><msqrt><msub><mi>y</mi><mrow><mi>i</mi></mrow></msub></msqrt>"
        "<msub><mi>q</mi><mrow><mi>i</mi></mrow></msub></mfrac></mrow></math>"
    )


def test_names_are_spelled_as_in_mathematics() -> None:
    assert spelling("w1") == Spelling("w", "1")
    assert spelling("w_out") == Spelling("w", "out")
    assert spelling("y_") == Spelling("y", "", 1)
    assert spelling("alpha_2") == Spelling("α", "2")
    assert spelling("lambda_") == Spelling("λ")
    assert spelling("cross_entropy") == Spelling("cross_entropy")
    assert spelling("x") == Spelling("x")


def test_a_loop_is_a_recurrence(tmp_path: Path) -> None:
    source = """
start = sf.constant(0.0, name="start")
def step(total, entry):
    total = 0.5 * total + entry
    return total
z = sf.scan(step, y, start)
last = z[-1] * 2
"""
    assert [text.equation(one) for one in equations(tmp_path, source)] == [
        "total[0] = 0",
        "total[s+1] = 0.5·total[s] + y[s]",
        "z[i] = total[i+1]",
        "last = 2·z[n-1]",
    ]


def test_letters_are_no_names_of_the_model(tmp_path: Path) -> None:
    (one,) = equations(tmp_path, "i = sf.placeholder(shape=())\nz = i * y * q")
    assert text.equation(one) == "z[j] = i·q[j]·y[j]"


def test_what_has_no_name_is_written_where_it_is_read(tmp_path: Path) -> None:
    """Unless it is long, or read more than once and not short."""
    told = equations(tmp_path, "z = sf.square(sf.tanh(y * q + 2)) + sf.tanh(y * q + 2)")
    assert [text.equation(one) for one in told] == [
        "z[i] = tanh(y[i]·q[i] + 2)² + tanh(y[i]·q[i] + 2)"
    ]
    told = equations(
        tmp_path,
        "h = (lambda t: t * sf.exp(t))(sf.tanh(y * q + 2) + sf.tanh(y) * sf.tanh(q))",
    )
    assert [text.equation(one) for one in told] == [
        "h_sum[i] = tanh(y[i])·tanh(q[i]) + tanh(y[i]·q[i] + 2)",
        "h[i] = h_sum[i]·exp(h_sum[i])",
    ]


def test_long_formulas_are_broken_where_they_are_nested_least() -> None:
    space = text.SPACE
    formula = f"z{space}={space}log(a +{space}b) +{space}exp(c +{space}d) -{space}sin(e)·cos(f)"
    assert wrapped(formula, 80) == ["z = log(a + b) + exp(c + d) - sin(e)·cos(f)"]
    assert wrapped(formula, 30) == ["z = log(a + b) + exp(c + d)", "    - sin(e)·cos(f)"]
    assert wrapped(formula, 20) == ["z = log(a + b)", "    + exp(c + d)", "    - sin(e)·cos(f)"]


def test_an_assignment() -> None:
    one = Equation(Name("η"), Name("t"), "←")
    assert text.equation(one) == "η ← t"
    assert latex.equation(one, "&") == r"\eta &\leftarrow t"


def test_layers_that_nobody_named_have_lines_of_their_own(tmp_path: Path) -> None:
    """A sum of products does not stand under the next one."""
    source = """
square = sf.Variable(sf.ones((4, 4)), name="square")
h = x
for _ in range(3):
    h = sf.tanh(h @ square)
"""
    told = [text.equation(one) for one in equations(tmp_path, source)]
    assert told == [
        "h_tanh[i, j] = tanh(Σ_k x[i, k]·square[k, j])",
        "h_tanh_2[i, j] = tanh(Σ_k h_tanh[i, k]·square[k, j])",
        "h[i, j] = tanh(Σ_k h_tanh_2[i, k]·square[k, j])",
    ]
