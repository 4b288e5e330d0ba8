"""The report on a model: what is on the page, that it leads where it says, and that it is read."""

from __future__ import annotations

import ast
import html
import html.parser
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, Page, chromium
from click.testing import CliRunner
from conftest import ROOT

from symflow.cli import main
from symflow.errors import SymflowError
from symflow.files import compilation
from symflow.report.buffers import workspace
from symflow.report.computed import computed, groups
from symflow.report.costs import cost, count_text
from symflow.report.entries import entries, gradients_of
from symflow.report.layers import drawn, longest_paths
from symflow.report.page import write_report
from symflow.report.relabelling import relabelled

DEEP = '''\
"""A residual network of 30 layers."""

import symflow as sf

x = sf.placeholder(shape=("n", 16))
y = sf.placeholder(shape=("n",))
h = x
for depth in range(30):
    w = sf.Variable(sf.glorot_uniform((16, 16)))
    b = sf.Variable(sf.zeros(16))
    h = h + sf.tanh(h @ w + b)
    if depth % 10 == 9:
        h = sf.softmax(h)
w_out = sf.Variable(sf.glorot_uniform((16, 1)))
fit = sf.reduce_sum(h @ w_out, axis=1)
loss = sf.reduce_mean(sf.square(fit - y))
train_op = sf.train.GradientDescentOptimizer(0.01).minimize(loss)
'''
WITHOUT_LOSS = """\
import symflow as sf

x = sf.placeholder(shape=("n", 3))
w = sf.constant([[1.0], [2.0], [3.0]])
fit = x @ w
"""
MISCHIEF = '''\
"""</title><script>alert("docstring")</script> & <b>bold</b>"""

import symflow as sf

x = sf.placeholder(shape=("n",))  # </div><script>alert("comment")</script>
w = sf.Variable(1.0)
note = "<img src=x onerror=alert(1)>"
loss = sf.reduce_sum(sf.where(x < w, x * w, sf.square(w)))
'''


class Links(html.parser.HTMLParser):
    """Anchors and links of a page, its elements, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: list[str] = []
        self.links: list[str] = []
        self.elements: list[str] = []
        self.outside: list[str] = []
        self.said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        for name, value in attributes:
            if name == "id":
                self.anchors.append(value or "")
            elif name == "href" and (value or "").startswith("#"):
                self.links.append((value or "")[1:])
            elif name in ("src", "href", "action") and value != "data:,":
                self.outside.append(value or "")
            assert not name.startswith("on"), f"a script in {name}"

    def handle_data(self, data: str) -> None:
        self.said += data


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The reports of an example, of a deep model and of one with a loop."""
    folder = tmp_path_factory.mktemp("reports")
    (folder / "deep.py").write_text(DEEP, encoding="utf-8")
    models = {
        "digits": ROOT / "examples" / "digits.py",
        "deep": folder / "deep.py",
        "lstm": ROOT / "examples" / "lstm.py",
    }
    found = {}
    for name, model in models.items():
        found[name] = folder / f"{name}.html"
        write_report(model, found[name], {})
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


def article(text: str, name: str) -> str:
    """What the page says of a tensor, without its markup."""
    for one in re.findall(r'<article class="tensor[^"]*" id="[^"]+">.*?</article>', text, re.S):
        if re.search(rf'<a class="name [a-z]+" href="#[^"]+">{name}</a>', one):
            return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", one)).split())
    raise AssertionError(f"no tensor is called {name}")


# --- what is on the page -----------------------------------------------------------------------


def test_a_tensor_has_formula_gradient_model_line_and_generated_lines(
    pages: dict[str, Path],
) -> None:
    text = pages["digits"].read_text(encoding="utf-8")
    hidden = article(text, "hidden")
    assert hidden.startswith("hidden (n, 32)")
    assert "d_hidden" in hidden
    assert "digits.py:13 hidden = sf.relu(pixels @ w1 + b1)" in hidden
    assert "hidden = pixels.dot(p.w1, work.hidden)" in hidden
    assert "np.add(hidden, p.b1, hidden)" in hidden
    assert "64·n operations, 32·n elements, 128·n bytes" in hidden


def test_what_is_written_into_another_statement_is_found_there(pages: dict[str, Path]) -> None:
    text = pages["digits"].read_text(encoding="utf-8")
    product = article(text, "hidden_product")
    assert "within other lines of _block" in product
    assert "hidden = pixels.dot(p.w1, work.hidden)" in product
    assert "4,096·n operations" in product
    assert "no tensor of its own; before simplification" in product


@pytest.mark.parametrize("name", ["digits", "deep", "lstm"])
def test_every_link_leads_somewhere_and_nothing_is_loaded(
    pages: dict[str, Path], name: str
) -> None:
    found = Links(pages[name].read_text(encoding="utf-8"))
    assert len(found.anchors) == len(set(found.anchors))
    assert set(found.links) <= set(found.anchors)
    assert not found.outside
    assert "script" not in found.elements
    assert "math" in found.elements


def test_the_page_has_model_module_command_rewrites_buffers_and_check(
    pages: dict[str, Path],
) -> None:
    said = Links(pages["digits"].read_text(encoding="utf-8")).said
    assert (ROOT / "generated" / "digits.py").read_text("utf-8").splitlines()[30] in said
    assert "symflow compile digits.py" in said
    assert "loop-invariant" in said
    assert "blocks of 1,024 rows" in said
    assert "all 4 right" in said
    assert "Richardson" in said or "interval" in said or "complex step" in said


def test_no_path_and_no_time_and_the_same_bytes(pages: dict[str, Path], tmp_path: Path) -> None:
    again = tmp_path / "again.html"
    command = [sys.executable, "-m", "symflow", "explain", str(ROOT / "examples" / "digits.py")]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([*command, "--html", str(again)], env=environment, cwd=ROOT, check=True)
    assert again.read_bytes() == pages["digits"].read_bytes()
    for name in ("digits", "deep"):
        text = pages[name].read_text(encoding="utf-8")
        assert str(ROOT) not in text
        assert str(pages[name].parent) not in text


def test_names_docstrings_and_comments_stay_text(tmp_path: Path) -> None:
    (tmp_path / "mischief.py").write_text(MISCHIEF, encoding="utf-8")
    write_report(tmp_path / "mischief.py", tmp_path / "mischief.html", {})
    found = Links((tmp_path / "mischief.html").read_text(encoding="utf-8"))
    assert not {"script", "img", "b"} & set(found.elements)
    assert '<script>alert("comment")</script>' in found.said
    assert '<script>alert("docstring")</script>' in found.said


def test_a_model_without_loss_has_a_report(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(WITHOUT_LOSS, encoding="utf-8")
    write_report(tmp_path / "plain.py", tmp_path / "plain.html", {})
    said = Links((tmp_path / "plain.html").read_text(encoding="utf-8")).said
    assert "there is nothing to check" in said
    assert "Backward" not in said


def test_a_mistake_in_the_model_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import symflow as sf\n1 / 0\n", encoding="utf-8")
    with pytest.raises(SymflowError, match=r"broken.py:2: ZeroDivisionError"):
        write_report(tmp_path / "broken.py", tmp_path / "broken.html", {})
    assert not (tmp_path / "broken.html").exists()


def test_the_model_is_never_overwritten(tmp_path: Path) -> None:
    model = tmp_path / "model.py"
    model.write_text(WITHOUT_LOSS, encoding="utf-8")
    with pytest.raises(SymflowError, match="would be written over the model, which is read"):
        write_report(model, tmp_path / "." / "model.py", {})
    assert model.read_text(encoding="utf-8") == WITHOUT_LOSS


def test_the_command_writes_the_report(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    model = ROOT / "examples" / "rosenbrock.py"
    result = CliRunner().invoke(main, ["explain", str(model), "--html", str(page)])
    assert result.exit_code == 0, result.output
    assert result.output == f"wrote {page}\n"
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_one_form_at_a_time(tmp_path: Path) -> None:
    arguments = ["explain", "model.py", "--latex", "--html", str(tmp_path / "report.html")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "--html and --latex: choose one" in result.output


# --- lines, gradients and costs ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["digits", "lstm", "digits_cnn", "mlp_regression"])
def test_all_lines_of_a_module_that_say_what_they_compute_find_their_tensor(name: str) -> None:
    run = compilation(ROOT / "examples" / f"{name}.py", {})
    found = entries(run.program(), relabelled(run)["simplify"], run.request.derivatives)
    source = (ROOT / "generated" / f"{name}.py").read_text(encoding="utf-8")
    said = {(one.first, one.name) for one in groups(source, ast.parse(source)) if one.origin}
    where = computed(source, found)
    known = {(one.first, one.name) for spot in where.values() for one in spot.lines}
    assert said - known == set()


def test_gradients_of_tensors_of_one_name_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "deep.py").write_text(DEEP, encoding="utf-8")
    run = compilation(tmp_path / "deep.py", {})
    found = entries(run.program(), relabelled(run)["simplify"], run.request.derivatives)
    gradients = gradients_of(found)
    same = [one for one in found if one.definition.label.name == "h_sum" and not one.backward]
    assert len(same) > 20
    known = [gradients[one.path].path for one in same if one.path in gradients]
    assert len(known) == len(set(known)) > 10
    assert known == sorted(known, reverse=True)  # the last layer's comes first


def test_in_a_loop_a_carry_and_what_becomes_of_it_have_gradients_of_their_own(
    pages: dict[str, Path],
) -> None:
    text = pages["lstm"].read_text(encoding="utf-8")
    assert "carried from step to step, at first empty" in article(text, "c_2")
    assert "gradient d_c " in article(text, "c_2")
    assert "gradient d_c_t " in article(text, "c")
    assert "of every step of states_scan: h " in article(text, "states")


def test_operations_of_a_matrix_product() -> None:
    run = compilation(ROOT / "examples" / "digits.py", {})
    found = entries(run.program(), run.program(), run.request.derivatives)
    spent = {one.definition.label.name: cost(one, 4) for one in found}
    assert count_text(spent["hidden_product"].operations) == "4,096·n"
    assert count_text(spent["hidden_product"].bytes) == "128·n"
    assert count_text(spent["d_w1"].operations) == "4,096·n"
    assert count_text(spent["probability_max"].elements) == "n"


def test_buffers_are_those_of_the_module() -> None:
    source = (ROOT / "generated" / "digits.py").read_text(encoding="utf-8")
    found = workspace(source)
    assert found.rows == 1024
    by_name = {one.name: one for one in found.buffers}
    assert by_name["hidden"].shape == "(n, 32)"
    assert by_name["hidden"].entries == 1024 * 32
    assert by_name["logits"].holds[:2] == ("logits", "probability_shifted")


# --- the layout of the picture -------------------------------------------------------------------


def test_every_edge_leads_down_a_layer_and_inputs_stand_above_what_reads_them() -> None:
    edges = [(0, 1), (1, 2), (3, 2), (2, 4), (0, 4)]
    assert longest_paths(5, edges) == [0, 1, 2, 1, 3]


def test_boxes_of_a_layer_do_not_overlap_and_the_order_avoids_crossings() -> None:
    layers = [0, 0, 1, 1, 2]
    edges = [(0, 3), (1, 2), (2, 4), (3, 4)]
    found = drawn([(60.0, 20.0)] * 5, layers, edges, [20.0] * 3)
    for first, second in ((0, 1), (2, 3)):
        (left, top), (right, beside) = found.centres[first], found.centres[second]
        assert abs(left - right) >= 60.0
        assert top == beside
    crossed = (found.centres[0][0] < found.centres[1][0]) != (
        found.centres[3][0] < found.centres[2][0]
    )
    assert not crossed


def test_a_chain_is_straight_beside_a_long_edge() -> None:
    found = drawn([(60.0, 20.0)] * 4, [0, 1, 2, 3], [(0, 1), (1, 2), (2, 3), (0, 3)], [20.0] * 4)
    places = [x for x, _ in found.centres]
    assert max(places) - min(places) < 12.0
    assert len(found.paths[3]) == 6  # past two layers


# --- in a browser --------------------------------------------------------------------------------

VISIBLE = "one.getClientRects().length"
SMALLEST = f"""
(() => {{
  let least = 100;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {{
    const one = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !{VISIBLE} || one.closest("math")) continue;
    least = Math.min(least, parseFloat(getComputedStyle(one).fontSize));
  }}
  return least;
}})()
"""
SIZES = """
[...document.querySelectorAll("math")].filter(one => one.getClientRects().length).map(one => {
  const box = one.getBoundingClientRect();
  return [box.width, box.height];
})
"""
SPILT = """
[...document.body.querySelectorAll("*")].filter(one => {
  if (one.closest(".box") && !one.matches(".box")) return false;
  const box = one.getBoundingClientRect();
  return box.width > 0 && box.right > document.documentElement.clientWidth + 1;
}).map(one => one.outerHTML.slice(0, 80))
"""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["digits", "deep", "lstm"])
def test_a_browser_shows_the_page(
    pages: dict[str, Path], browser: Browser, name: str, width: int
) -> None:
    with browser.page(width, 900) as page:
        page.open(pages[name])
        assert page.complaints == []
        assert page.requests == [pages[name].resolve().as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(SPILT) == []
        assert page.evaluate(SMALLEST) >= 12
        sizes: Any = page.evaluate(SIZES)
        assert len(sizes) > 10
        assert all(box[0] > 5 and box[1] > 5 for box in sizes)


def test_links_between_model_tensor_and_module_can_be_followed(
    pages: dict[str, Path], browser: Browser
) -> None:
    with browser.page() as page:
        page.open(pages["digits"])
        for step in (
            "document.querySelector('#m13 .chip:nth-of-type(2)').click()",
            "document.querySelector(':target dd .number').click()",
            "document.querySelector(':target .chip').click()",
        ):
            page.evaluate(step)
        assert "hidden" in page.evaluate("document.querySelector(':target h4').textContent")


def test_the_picture_fits_the_page_when_asked(pages: dict[str, Path], browser: Browser) -> None:
    width = "document.querySelector('svg').getBoundingClientRect().width"
    with browser.page(390, 800) as page:
        page.open(pages["digits"])
        assert page.evaluate(width) > 390
        page.evaluate("document.querySelector('label').click()")
        assert page.evaluate(width) < 390


def test_where_a_browser_is_required_a_missing_one_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("SYMFLOW_CHROMIUM", "required")
    with pytest.raises(pytest.fail.Exception, match="there is no chromium"):
        chromium()
    monkeypatch.delenv("SYMFLOW_CHROMIUM")
    with pytest.raises(pytest.skip.Exception):
        chromium()


def test_boxes_of_the_picture_do_not_cover_each_other(
    pages: dict[str, Path], browser: Browser
) -> None:
    with browser.page() as page:
        for name in ("digits", "deep"):
            page.open(pages[name])
            boxes = rectangles(page)
            assert len(boxes) > 15
            for at, (left, top, right, bottom) in enumerate(boxes):
                for other in boxes[at + 1 :]:
                    apart = right <= other[0] or other[2] <= left
                    assert apart or bottom <= other[1] or other[3] <= top


def rectangles(page: Page) -> list[list[float]]:
    script = """
    [...document.querySelectorAll("svg rect")].map(one => {
      const box = one.getBBox();
      return [box.x, box.y, box.x + box.width, box.y + box.height];
    })
    """
    found: list[list[float]] = page.evaluate(script)
    return found
