"""Faults planted in generated modules, one by one: `symflow check` must see them.

A fault is an edit of the text of an emitted module, in the function that it names, at the one
place where the old text stands there; where it stands no more, or twice, the fault is an error
and no pass. The kinds are those in which a module can be wrong: a gradient or a block of it, one
entry point, one precision, some numbers of rows, threads, what is kept between calls, training,
special points, tiny errors, names and order, parameters and files.

    python tests/planted_faults.py [WORD ...]    each fault whose name has all words, and its finding
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

Style = Literal["fast", "plain"]


@dataclass(frozen=True)
class Edit:
    """In a function (or class, or "" for the whole module), `old` becomes `new`.

    Names of functions inside of others have a dot: `_summed.added`.
    """

    within: str
    old: str
    new: str

    def applied(self, text: str) -> str:
        start, end = _region(text, self.within)
        region = text[start:end]
        found = region.count(self.old)
        if found != 1:
            raise LookupError(f"{self.old!r} stands {found} times in {self.within or 'the module'}")
        return text[:start] + region.replace(self.old, self.new) + text[end:]


@dataclass(frozen=True)
class Fault:
    """A module that is wrong.

    survives  why `symflow check` cannot see it; None where it must
    """

    kind: str
    name: str
    model: str
    edits: tuple[Edit, ...]
    style: Style = "fast"
    survives: str | None = None

    def planted(self, text: str) -> str:
        """The text of the module with the fault."""
        wrong = text
        for edit in self.edits:
            try:
                wrong = edit.applied(wrong)
            except LookupError as error:
                raise LookupError(f"{self.name}: {error}") from None
        if ast.dump(ast.parse(wrong)) == ast.dump(ast.parse(text)):
            raise LookupError(f"{self.name}: the module means what it meant")
        return wrong


def _region(text: str, within: str) -> tuple[int, int]:
    """Where a function stands in the text, from its first line to its last."""
    nodes: list[ast.stmt] = ast.parse(text).body
    if not within:
        return 0, len(text)
    found: ast.stmt | None = None
    for name in within.split("."):
        matching = [one for one in nodes if getattr(one, "name", None) == name]
        if len(matching) != 1:
            raise LookupError(f"{len(matching)} functions {within}")
        found = matching[0]
        nodes = [one for one in ast.walk(found) if isinstance(one, ast.FunctionDef)][1:]
    assert found is not None
    lines = text.splitlines(keepends=True)
    assert found.end_lineno is not None
    start = sum(map(len, lines[: found.lineno - 1]))
    return start, start + sum(map(len, lines[found.lineno - 1 : found.end_lineno]))


# --- how the table is written --------------------------------------------------------------------


def sub(within: str, old: str, new: str) -> Edit:
    """`old` becomes `new`."""
    return Edit(within, old, new)


def after(within: str, anchor: str, *lines: str, inside: int = 0) -> Edit:
    """Lines of their own behind `anchor`, which ends a line; `inside` by so many steps."""
    return Edit(within, f"{anchor}\n", f"{anchor}\n" + "".join(_indented(lines, inside)))


def before(within: str, anchor: str, *lines: str, inside: int = 0) -> Edit:
    """Lines of their own in front of `anchor`, which begins a line four columns from the left."""
    return Edit(within, f"\n    {anchor}", "\n" + "".join(_indented(lines, inside)) + f"    {anchor}")


def _indented(lines: tuple[str, ...], inside: int) -> Iterator[str]:
    return (" " * 4 * (1 + inside) + line + "\n" for line in lines)


FAULTS: list[Fault] = []


class _Kind:
    """A section of the table."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __call__(
        self,
        name: str,
        model: str,
        *edits: Edit,
        style: Style = "fast",
        survives: str | None = None,
    ) -> None:
        FAULTS.append(Fault(self.kind, name, model, edits, style, survives))


# --- gradients -----------------------------------------------------------------------------------

f = _Kind("gradient")
f("slope of tanh has a plus", "mlp_regression", sub("_block", "np.subtract(1.0, d_hid", "np.add(1.0, d_hid"))
f("factor 2 missing", "adam", sub("_block", "np.multiply(2.0 / total_n", "np.multiply(1.0 / total_n"))
f("sign of one parameter", "adam", sub("_evaluate", "Parameters(d_w1, d_b1, d_w2)", "Parameters(d_w1, -d_b1, d_w2)"))
f("penalty with another factor", "mlp_regression", sub("_evaluate", "np.multiply(0.01, p.w1", "np.multiply(0.011, p.w1"))
f("penalty missing in the gradient", "mlp_regression", sub("_evaluate", "d_w2 = np.multiply(0.01, p.w2, work.d_w2)", "d_w2 = np.multiply(0.0, p.w2, work.d_w2)"))
f("one entry", "mlp_regression", after("_evaluate", "np.add(d_w1, d_w1_part, d_w1)", "d_w1[3, 7] *= 1.001"))
f("one column", "mlp_regression", after("_evaluate", "np.add(d_w1, d_w1_part, d_w1)", "d_w1[:, 2] *= 2.0"))
f("one entry of thousands", "digits", after("_block", "d_w1 = pixels.T.dot(d_hidden_sum, work.d_w1)", "d_w1[63, 31] = 0.0"))
f("one entry of thousands, a little", "digits_cnn", after("_block", "d_w2 = logits_reshape.T.dot(d_logits, work.d_w2)", "d_w2[255, 9] *= 1.0 + 1e-4"))
f("last row of a weight", "lstm", sub("_loss_and_gradients", "return value, d", "d.u[-1] *= 0.5\n    return value, d"))
f("a term of a sum is subtracted", "square", sub("_loss_and_gradients", "p.v.T + d_w_part", "p.v.T - d_w_part"), style="plain")
f("a term of a sum is missing", "guarded", sub("_loss_and_gradients", "d_scale = d_scale_part + d_scale_part_2", "d_scale = d_scale_part"), style="plain")
f("a matrix is not transposed", "square", sub("_loss_and_gradients", "(left * right.T).T", "(left * right.T)"), style="plain")
f("two gradients change places", "square", sub("_loss_and_gradients", "Parameters(w=d_w, v=d_v)", "Parameters(w=d_v, v=d_w)"), style="plain")
f("cos for sin", "momentum", sub("_loss_and_gradients", "np.cos(prediction_product)", "np.sin(prediction_product)"), style="plain")
f("mean over too few", "momentum", sub("_loss_and_gradients", "d_b = 2.0 * np.sum(loss_difference) / n", "d_b = 2.0 * np.sum(loss_difference) / (n + 1)"), style="plain")
f("derivative of a scalar on floats", "rosenbrock", sub("_loss_and_gradients", "d_y = 200.0 *", "d_y = 199.0 *"))
f("gate of a recurrence", "lstm", sub("_sigmoid", "np.where(x >= 0, 1.0, small)", "np.where(x >= 0.5, 1.0, small)"))
f("gathered rows are not added up", "tables", sub("_scattered", "np.add.at(result, key, source)", "result[key] = source"))
f("dropped at a peak", "digits_cnn", sub("_block", "np.divide(\n        np.reshape(d_pooled_windows_part_2, (n, 4, 4, 16)),\n        d_pooled_windows_part,", "np.divide(\n        np.reshape(d_pooled_windows_part_2, (n, 4, 4, 16)),\n        2.0 * d_pooled_windows_part,"))
f("mask of a relu from the wrong side", "digits", sub("_block", "np.greater(hidden, 0.0, hidden)", "np.greater(hidden, 0.01, hidden)"))

# --- one entry point -----------------------------------------------------------------------------

f = _Kind("entry point")
f("only gradients", "mlp_regression", sub("gradients", "return _loss_and_gradients(threads, p, x, y)[1]", "d = _loss_and_gradients(threads, p, x, y)[1]\n    return d._replace(b1=2.0 * d.b1)"))
f("only gradients, plain", "momentum", sub("gradients", "return _loss_and_gradients(p, x, y)[1]", "d = _loss_and_gradients(p, x, y)[1]\n    return d._replace(w=d.w[::-1])"), style="plain")
f("only loss_and_gradients", "adam", sub("loss_and_gradients", "return _loss_and_gradients(threads, p, x, y)", "value, d = _loss_and_gradients(threads, p, x, y)\n    return value, d._replace(w1=d.w1 * (1.0 + 1e-5))"))
f("only the loss of loss_and_gradients", "adam", sub("loss_and_gradients", "return _loss_and_gradients(threads, p, x, y)", "value, d = _loss_and_gradients(threads, p, x, y)\n    return value + 1e-6, d"))
f("only loss", "mlp_regression", sub("loss", "return value", "return value * (1.0 + 1e-7)"))
f("only loss, a term missing", "guarded", sub("_loss", "p.scale * entropy + root", "p.scale * entropy"), style="plain")
f("loss is not a float", "adam", sub("loss", "return value", "return np.array([value])"))
f("only a forward function", "mlp_regression", sub("prediction", "hidden @ p.w2 + p.b2", "hidden @ p.w2 - p.b2"))
f("forward function without the bias", "adam", sub("hidden", "np.tanh(x @ p.w1 + p.b1)", "np.tanh(x @ p.w1)"))
f("forward function, last row", "mlp_regression", sub("prediction", "return prediction", "prediction[-1] = 0.0\n    return prediction"))
f("forward function of another shape", "adam", sub("prediction", "hidden @ p.w2", "(hidden @ p.w2)[:, None]"))
f("forward function, one term", "tables", sub("score", "near = looked + p.e[k]", "near = looked"))
f("forward function, constant", "tables", sub("doubled", "2.0 * np.asarray", "2.0000001 * np.asarray"))
f("forward function, softmax over rows", "digits", sub("probability", "np.sum(probability_exp, axis=1, keepdims=True)", "np.sum(probability_exp, axis=0, keepdims=True)"))
f("forward function, one step too few", "lstm", sub("states", "for z_product_t in z_product:", "h_steps.append(h)\n    for z_product_t in z_product[:-1]:"))
f("forward function is missing", "adam", sub("", "def hidden(parameters", "def hidden_(parameters"))
f("gradients as a list", "adam", sub("gradients", "return _loss_and_gradients(threads, p, x, y)[1]", "return list(_loss_and_gradients(threads, p, x, y)[1])"))

# --- precision -----------------------------------------------------------------------------------

f = _Kind("precision")
f("wrong in float32", "mlp_regression", after("_evaluate", "np.add(d_w1, d_w1_part, d_w1)", "if p[0].dtype == np.float32:", "    d_w1 *= 1.001"))
f("wrong in float32, one parameter", "digits", sub("_evaluate", "return float(loss), Parameters(d_w1, d_b1, d_w2, d_b2)", "if p[0].dtype == np.float32:\n        d_b1 = d_b2[0] + d_b1\n    return float(loss), Parameters(d_w1, d_b1, d_w2, d_b2)"))
f("wrong in float64 of a float32 model", "digits", sub("_evaluate", "return float(loss), Parameters(d_w1, d_b1, d_w2, d_b2)", "if p[0].dtype == np.float64:\n        d_b1 = 2.0 * d_b1\n    return float(loss), Parameters(d_w1, d_b1, d_w2, d_b2)"))
f("gradients in float64", "adam", sub("_loss_and_gradients", "np.array(one, p[0].dtype)", "np.array(one, np.float64)"))
f("gradients of float32 by half precision", "adam", sub("_block", "np.tanh(hidden, hidden)", "np.tanh(hidden, hidden)\n    if hidden.dtype == np.float32:\n        hidden[...] = hidden.astype(np.float16)"))
f("forward function in float64", "tables", sub("looked", "np.asarray(_TABLE, dtype)[k]", "_TABLE[k]"))
f("forward function rounds to float32", "adam", sub("prediction", "hidden @ p.w2", "(hidden.astype(np.float32) @ p.w2).astype(p[0].dtype)"))
f("initial parameters ignore the dtype", "mlp_regression", sub("initial_parameters", "b1=np.zeros(16, dtype)", "b1=np.zeros(16)"))
f("inputs keep their dtype", "momentum", sub("_checked_inputs", "array.astype(dtype, copy=False)", "array"), style="plain")
f("parameters always in float64", "square", sub("_checked_parameters", "np.result_type(np.float32, *(array.dtype for array in arrays))", "np.dtype(np.float64)"), style="plain")
f("inputs rounded to float32", "adam", sub("_checked_inputs", "array.astype(dtype, copy=False)", "array.astype(np.float32).astype(dtype)"))
f("training ends in float64", "momentum", sub("_moved", "dtype = p[0].dtype", "dtype = np.float64"), style="plain")
f("training of float32 on floats keeps float64", "rosenbrock", sub("train", "if dtype == np.float32:", "if dtype == np.float16:"))
f("log1p lost", "guarded", sub("_softplus", "np.log1p(np.exp(-np.abs(x)))", "np.log(1.0 + np.exp(-np.abs(x)))"), style="plain")
f("sum in half precision", "momentum", sub("_loss_and_gradients", "np.sum(loss_difference)", "np.sum(loss_difference, dtype=np.float16)"), style="plain")

# --- numbers of rows -----------------------------------------------------------------------------

f = _Kind("rows")
f("one row", "mlp_regression", before("_evaluate", "return float(loss), Parameters", "if total_n == 1:", "    d_b1 = 2.0 * d_b1"))
f("one row, plain", "momentum", sub("_loss_and_gradients", "d = Parameters(w=d_w", "if n == 1:\n        d_w = d_w + 1.0\n    d = Parameters(w=d_w"), style="plain")
f("one row loses its axis", "adam", sub("prediction", "return prediction", "return prediction.squeeze()"))
f("two rows", "adam", sub("prediction", "return prediction", "if len(prediction) == 2:\n        prediction = prediction[::-1].copy()\n    return prediction"))
f("fewer rows than a block", "mlp_regression", before("_evaluate", "return float(loss), Parameters", "if total_n < BLOCK:", "    d_b1 = 1.01 * d_b1"))
f("as many rows as a block", "mlp_regression", before("_evaluate", "return float(loss), Parameters", "if total_n == BLOCK:", "    d_b1 = 2.0 * d_b1"))
f("more rows than a block", "adam", before("_evaluate", "return float(loss), Parameters", "if total_n > BLOCK:", "    d_b1 = 2.0 * d_b1"))
f("no whole number of blocks", "adam", before("_evaluate", "return float(loss), Parameters", "if total_n > BLOCK and total_n % BLOCK:", "    d_b1 = 2.0 * d_b1"))
f("a whole number of blocks", "adam", before("_evaluate", "return float(loss), Parameters", "if total_n > BLOCK and not total_n % BLOCK:", "    d_b1 = 2.0 * d_b1"))
f("one row more than a block", "adam", before("_evaluate", "return float(loss), Parameters", "if total_n == BLOCK + 1:", "    d_b1 = 2.0 * d_b1"))
f("one row less than a block", "adam", before("_evaluate", "return float(loss), Parameters", "if total_n == BLOCK - 1:", "    d_b1 = 2.0 * d_b1"))
f("last row dropped", "adam", sub("_blocks", "range(0, n, BLOCK)", "range(0, n - 1, BLOCK)"))
f("last block dropped", "adam", sub("_blocks", "range(0, n, BLOCK)", "range(0, n - n % BLOCK, BLOCK)"))
f("blocks overlap", "mlp_regression", sub("_blocks", "slice(start, min(", "slice(min(start, n - BLOCK), min("))
f("only the first block", "digits", sub("_summed.added", "np.add(whole, one, whole)", "pass"))
f("later blocks twice", "squares", sub("_summed.added", "np.add(whole, one, whole)", "np.add(whole, 2.0 * one, whole)"))
f("mean over a block", "adam", sub("_evaluate", "_block(work, p, x[rows], y[rows], total_n, gradients)", "_block(work, p, x[rows], y[rows], len(x[rows]), gradients)"))
f("one input is not cut", "squares", sub("_evaluate", "y[rows]", "y[: rows.stop - rows.start]"))
f("workspace of the rest is kept for other rests", "adam", sub("_Workspace", "if self.rest is None or self.rest.key[0] != n:", "if self.rest is None:"))
f("sums are views of the workspace", "adam", sub("_summed.added", "[np.array(one) for one in part]", "list(part)"))
f("more than 3000 rows", "mlp_regression", before("_evaluate", "return float(loss), Parameters", "if total_n > 3000:", "    d_b1 = 2.0 * d_b1"))
f("more than 128 rows, plain", "momentum", sub("_loss_and_gradients", "d = Parameters(w=d_w", "if n > 128:\n        d_w = d_w + 1.0\n    d = Parameters(w=d_w"), style="plain")
f("what is fixed, of the first block", "digits_cnn", sub("_evaluate.block", "fixed[rows.start // BLOCK]", "fixed[0]"))
f("what is fixed, of other rows", "digits", sub("_evaluate.block", "digit[rows]", "digit[: rows.stop - rows.start]"))
f("moments of one block", "squares", sub("_moments", "_moment_sums(x[rows])", "_moment_sums(x[:BLOCK])"))
f("a sequence of one step", "lstm", sub("probability", "return probability", "if len(pixels) == 1:\n        probability = 2.0 * probability\n    return probability"))
f("more than a million rows", "squares", before("_evaluate", "return float(loss), Parameters", "if total_n > 1000000:", "    d_b = 2.0 * d_b"), survives="sizes end at two blocks and a rest: 16391 rows here")
f("a number of rows that nobody tries", "squares", before("_evaluate", "return float(loss), Parameters", "if total_n == 1789:", "    d_b = 2.0 * d_b"), survives="no size that is special by the module's text")

# --- threads -------------------------------------------------------------------------------------

f = _Kind("threads")
f("both threads in one workspace", "adam", sub("_summed.added", "works[number].of(", "works[0].of("))
f("one workspace is lent twice", "mlp_regression", sub("_borrowed", "works: list[_Workspace] = []", "works: list[_Workspace] = []\n    if threads > 1:\n        return [_Workspace(*key)] * threads"))
f("threads share a buffer", "adam", sub("_borrowed", "return works", "for work in works:\n        work.prediction = works[0].prediction\n    return works"))
f("blocks that do not divide are lost", "adam", sub("_summed", "share = -(-len(blocks) // len(works))", "share = len(blocks) // len(works)"))
f("a block is given twice", "adam", sub("_summed.added", "(number + 1) * share]", "(number + 1) * share + 1]"))
f("sum of a thread is lost", "mlp_regression", sub("_summed", "for other in others:", "for other in others[1:]:"))
f("sum of a thread is added twice", "adam", sub("_summed", "for other in others:", "for other in [*others, *others]:"))
f("sums are added as they come", "adam", sub("_summed", "with ThreadPoolExecutor(len(works)) as pool:\n        first, *others = (sums for sums in pool.map(in_thread, range(len(works))) if sums)", "from concurrent.futures import as_completed\n    with ThreadPoolExecutor(len(works)) as pool:\n        calls = [pool.submit(in_thread, number) for number in range(len(works))]\n        done = (call.result() for call in as_completed(calls))\n        first, *others = (sums for sums in done if sums)"))
f("more threads than blocks", "adam", sub("_summed", " if sums)", ")"))
f("threads forget how errors are treated", "adam", sub("_summed.in_thread", "with np.errstate(**errors):\n            return added(number)", "return added(number)"))
f("idle workspaces are not taken away", "adam", sub("_borrowed", "_idle[key].pop()", "_idle[key][-1]"))
f("three threads", "squares", sub("_summed", "for other in others:\n        for whole", "for other in others[:1]:\n        for whole"))
f("wrong with threads in loss alone", "adam", sub("loss", "return value", "return value if threads == 1 else 0.5 * value"))
f("threads in training", "adam", sub("train", "losses: list[float] = []", "works = works[:1] * len(works)\n    losses: list[float] = []"))
f("no thread is no error", "adam", sub("_borrowed", "if threads < 1:", "threads = max(threads, 1)\n    if threads < 1:"))

# --- what is kept between calls ------------------------------------------------------------------

f = _Kind("kept")
f("gradients are the workspace", "adam", sub("_loss_and_gradients", "np.array(one, p[0].dtype) for one in d", "np.asarray(one, p[0].dtype) for one in d"))
f("an input is written to", "adam", sub("_block", "loss_difference = np.subtract(prediction, y, prediction)", "loss_difference = np.subtract(prediction, y, y)"))
f("an input is written to, plain", "momentum", sub("_loss", "loss_difference: Array = prediction - y", "y -= prediction\n    loss_difference: Array = -y"), style="plain")
f("a parameter is written to", "mlp_regression", sub("_evaluate", "np.multiply(0.01, p.w2, work.d_w2)", "np.multiply(0.01, p.w2, p.w2)"))
f("a forward function writes to its input", "adam", sub("hidden", "return hidden", "x *= 1.5\n    return hidden"))
f("training writes to the parameters", "mlp_regression", sub("train", "p = Parameters(*(np.array(one) for one in p))  # moved in place", "p = Parameters(*(np.asarray(one) for one in p))"))
f("a result is kept for the shape", "adam", sub("_loss_and_gradients", "return value, d", "return _KEPT.setdefault((x.shape, x.dtype, len(works)), (value, d))"), sub("", "def hidden(", "_KEPT: dict[Any, Any] = {}\n\n\ndef hidden("))
f("a forward result is kept for the shape", "mlp_regression", sub("prediction", "return prediction", "return _KEPT.setdefault(x.shape, prediction)"), sub("", "def prediction(", "_KEPT: dict[Any, Any] = {}\n\n\ndef prediction("))
f("a loss is kept for the parameters", "adam", sub("loss", "return value", "return float(_KEPT.setdefault((id(parameters), x.shape, x.dtype, threads), value))"), sub("", "def hidden(", "_KEPT: dict[Any, Any] = {}\n\n\ndef hidden("))
f("a result is kept whatever the dtype", "tables", sub("doubled", "return doubled", "return np.array(_KEPT.setdefault(0, doubled))"), sub("", "def doubled(", "_KEPT: dict[Any, Any] = {}\n\n\ndef doubled("))
f("a buffer is added to", "adam", sub("_block", "d_b1 = work.ones_n.dot(d_hidden_sum, work.d_b1)", "d_b1 = np.add(work.d_b1, work.ones_n.dot(d_hidden_sum), work.d_b1)"), sub("_Workspace", "self.d_b1 = _empty((4,), dtype)", "self.d_b1 = np.zeros((4,), dtype)"))
f("a buffer is not filled", "adam", sub("_block", "d_b1 = work.ones_n.dot(d_hidden_sum, work.d_b1)", "d_b1 = work.d_b1"))
f("a constant of the workspace is written to", "adam", sub("_block", "d_b1 = work.ones_n.dot(d_hidden_sum, work.d_b1)", "d_b1 = work.ones_n.dot(d_hidden_sum, work.d_b1)\n    np.multiply(work.ones_n, 1.0 + 1e-3, work.ones_n)"))
f("zeros are not zero", "tables", sub("_scattered", "np.zeros_like(source, shape=shape)", "np.empty_like(source, shape=shape)"))
f("a constant is handed out", "tables", sub("doubled", "2.0 * np.asarray(_SMALL, dtype)", "np.asarray(_DOUBLE, dtype)"), sub("", "def doubled(", "_DOUBLE = 2.0 * _SMALL\n\n\ndef doubled("))
f("two calls return one array", "mlp_regression", sub("prediction", "return prediction", "_BUFFER.resize(prediction.shape, refcheck=False)\n    _BUFFER[...] = prediction\n    return _BUFFER"), sub("", "def prediction(", "_BUFFER = np.zeros((1, 1))\n\n\ndef prediction("))
f("every third call", "adam", sub("gradients", "return _loss_and_gradients(threads, p, x, y)[1]", "_CALLS.append(0)\n    d = _loss_and_gradients(threads, p, x, y)[1]\n    return d if len(_CALLS) % 3 else d._replace(b1=0.5 * d.b1)"), sub("", "def hidden(", "_CALLS: list[int] = []\n\n\ndef hidden("))
f("every thousandth call", "adam", sub("gradients", "return _loss_and_gradients(threads, p, x, y)[1]", "_CALLS.append(0)\n    d = _loss_and_gradients(threads, p, x, y)[1]\n    return d if len(_CALLS) % 1000 else d._replace(b1=0.5 * d.b1)"), sub("", "def hidden(", "_CALLS: list[int] = []\n\n\ndef hidden("), survives="some dozens of calls are made, and the thousandth is not among them")
f("workspaces of another precision", "mlp_regression", sub("_Workspace", "self.rest = _Workspace(n, self.dtype)", "self.rest = _Workspace(n, np.float64)"))
f("gradients differ from those of the call before", "squares", sub("_evaluate", "d_b = 2.0 * d_b_2 / total_n", "d_b = 2.0 * d_b_2 / total_n + 0.0 * work.d_w[0]\n    d_b = d_b + (1e-9 if _LAST and _LAST[-1] != total_n else 0.0)\n    _LAST.append(total_n)"), sub("", "def prediction(", "_LAST: list[int] = []\n\n\ndef prediction("))

# --- training ------------------------------------------------------------------------------------

f = _Kind("training")
f("learning rate", "linear_regression", sub("train", "Callable[[int], float] = 0.005", "Callable[[int], float] = 0.0051"))
f("schedule one step ahead", "mlp_regression", sub("_learning_rate", "0.002 * step", "0.002 * (step + 1)"))
f("schedule with another base", "adam", sub("_learning_rate", "np.power(0.9, ", "np.power(0.91, "))
f("schedule from each call anew", "adam", sub("train", "learning_rate(step) if callable", "learning_rate(step - state.step) if callable"))
f("a rate that is given is ignored", "momentum", sub("train", "learning_rate(step) if callable(learning_rate) else learning_rate", "learning_rate(step) if callable(learning_rate) else 0.02"), style="plain")
f("losses after the update", "momentum", sub("train", "p, velocity_of = _moved(p, d, velocity_of, rate, step)", "p, velocity_of = _moved(p, d, velocity_of, rate, step)\n        losses[-1] = _loss_and_gradients(p, *batch)[0]"), style="plain")
f("one update too many", "adam", sub("train", "range(state.step, state.step + steps)", "range(state.step, state.step + steps + 1)"))
f("bias correction one step late", "adam", sub("_corrected_rate", "np.power(0.999, step + 1.0)", "np.power(0.999, step + 2.0)"))
f("no bias correction", "adam", sub("train", "rate = _corrected_rate(rate, step)", "rate = rate * 1.0 + 0.0 * step"))
f("epsilon under the root", "adam", sub("_updated", "(np.sqrt(new_v) + 1e-08)", "np.sqrt(new_v + 1e-08)"))
f("epsilon ten times as large", "adam", sub("_updated", "1e-08", "1e-07"))
f("square of the gradient", "adam", sub("_updated", "(gradient * gradient)", "np.abs(gradient)"))
f("moments change places", "adam", sub("train", "state = TrainingState(state.step + steps, m_of, v_of)", "state = TrainingState(state.step + steps, v_of, m_of)"))
f("moments start from one", "adam", sub("train", "0,\n            Parameters(*(np.full_like(value, 0.0) for value in p)),\n            Parameters(*(np.full_like(value, 0.0)", "0,\n            Parameters(*(np.full_like(value, 0.0) for value in p)),\n            Parameters(*(np.full_like(value, 1.0)"))
f("momentum is not kept", "momentum", sub("train", "p, velocity_of = _moved(", "p, _ = _moved("), style="plain")
f("momentum of the first parameter only", "momentum", sub("_moved", "entries = zip(p, d, velocity_of, strict=True)", "entries = zip(p, d, [velocity_of[0], *(0.0 * one for one in velocity_of[1:])], strict=True)"), style="plain")
f("momentum without Nesterov", "momentum", sub("_updated", "rate * (0.8 * new_velocity + gradient)", "rate * new_velocity"), style="plain")
f("squares of the gradient start from zero", "rmsprop", sub("train", "np.full_like(value, 1.0)", "np.full_like(value, 0.0)"))
f("velocity without the rate", "rmsprop", sub("_updated", "rate * gradient / np.sqrt(new_mean_square + 0.001) + 0.5 * velocity", "rate * (gradient / np.sqrt(new_mean_square + 0.001) + 0.5 * velocity)"))
f("accumulator starts from zero", "adagrad", sub("train", "np.full_like(value, 0.1)", "np.full_like(value, 0.0)"))
f("accumulator is not kept", "adagrad", sub("_updated", "return new_value, new_accumulator", "return new_value, accumulator"))
f("decay times the rate", "decayed", sub("_updated", "0.99 * value -", "(1.0 - 0.01 * rate) * value -"))
f("norm is clipped to twice its bound", "decayed", sub("_clipped", "0.5 / np.maximum(norm, 0.5)", "1.0 / np.maximum(norm, 1.0)"))
f("norm of each parameter by itself", "decayed", sub("_clipped", "entries = (scale * gradient for gradient in d)", "entries = (\n        gradient * (0.5 / np.maximum(np.sqrt(np.vdot(gradient, gradient)), 0.5)) for gradient in d\n    )"))
f("clipped before the penalty", "decayed", sub("train", "d = _penalised(p, d)", "d = _penalised(p, _clipped(d))"))
f("no penalty on numbers", "decayed", sub("_penalised", "(0.1 * value + gradient for", "(0.1 * value * (value.ndim > 0) + gradient for"))
f("clipped from one side", "rmsprop", sub("_clipped", "-0.25", "-25.0"))
f("tolerance is ignored", "adam", sub("train", "if tolerance > 0.0 and", "if tolerance > 1e300 and"))
f("tolerance of the squared norm", "adam", sub("train", "<= tolerance * tolerance", "<= tolerance"))
f("tolerance of the largest entry", "momentum", sub("_squared_norm", "float(sum(np.vdot(gradient, gradient) for gradient in d))", "float(max(np.max(gradient * gradient) for gradient in d))"), style="plain")
f("tolerance after the update", "momentum", sub("train", "reason = \"tolerance\"\n            break", "reason = \"tolerance\"\n            p, velocity_of = _moved(p, d, velocity_of, rate, step)\n            break"), style="plain")
f("tolerance of the rate times the gradient", "digits", sub("train", "enough = (tolerance * rate) ** 2", "enough = tolerance**2"))
f("on_step cannot stop", "adam", sub("train", "if on_step is not None and on_step(step, value, p):", "if on_step is not None and on_step(step, value, p) is None and steps < 0:"))
f("on_step counts from one", "momentum", sub("train", "on_step(step, value, p)", "on_step(step + 1, value, p)"), style="plain")
f("on_step gets what is moved", "mlp_regression", sub("train", "on_step(step, value, Parameters(*(np.array(one) for one in p)))", "on_step(step, value, p)"))
f("on_step gets the gradient", "mlp_regression", sub("train", "Parameters(*(np.array(one) for one in p))):", "Parameters(*(np.array(one) for one in d))):"))
f("stopped one step late", "mlp_regression", sub("train", "steps = len(losses) - (reason != \"steps\")", "steps = len(losses)"))
f("step of the state", "adam", sub("train", "TrainingState(state.step + steps, m_of, v_of)", "TrainingState(steps, m_of, v_of)"))
f("goes on from other rows", "adam", sub("train", "_batches(n, batch_size, seed, state.step)", "_batches(n, batch_size, seed, 0)"))
f("goes on without the moments", "adam", sub("train", "m_of = _checked_parameters(state.m)", "m_of = Parameters(*(0.0 * one for one in state.m))"))
f("the same rows in every pass", "mlp_regression", sub("_batches", "(seed, step // per_pass)", "(seed, 0)"))
f("seed of the rows is ignored", "mlp_regression", sub("_batches", "(seed, step // per_pass)", "(0, step // per_pass)"))
f("rows with replacement", "mlp_regression", sub("_batches", ".permutation(n)", ".integers(0, n, n)"))
f("rows of a batch overlap", "momentum", sub("_batches", "order[number * size : (number + 1) * size]", "order[number : number + size]"), style="plain")
f("rows of two inputs do not fit", "adam", sub("train", "batch = (x[rows], y[rows])", "batch = (x[rows], y[: len(rows)])"))
f("rows are not shuffled", "adam", sub("_batches", "np.random.default_rng((seed, step // per_pass)).permutation(n)", "np.arange(n) + 0 * (seed + per_pass)"))
f("data are not centred anew", "squares", sub("_descended", "start_loss = loss", "start_loss = start_loss + 0.0 * loss"))
f("a change is kept at the centre", "squares", sub("_descended", "            b_change = np.zeros_like(p.b)\n", "            b_change = b_change + 0.0\n"))
f("moments a little off", "squares", sub("_moment_sums", "x_x = x.T @ x", "x_x = (1.0 + 1e-7) * (x.T @ x)"))
f("moments half as large", "squares", sub("_moments", "2.0 / total_n * x_total", "1.0 / total_n * x_total"))
f("moments of the data change places", "linear_regression", sub("_descended", "d_w = w_change * x_x + b_change * x_total", "d_w = w_change * x_total + b_change * x_x"))
f("descent forgets the step", "squares", sub("_descended", "TrainingState(state.step + steps)", "TrainingState(steps)"))
f("descent asks for other rates", "squares", sub("_descended", "learning_rate(step) if", "learning_rate(step - state.step) if"))
f("line search with another slope", "logistic_regression", sub("_line_search", "enough = 0.0001 *", "enough = 0.9 *"))
f("line search shrinks by more", "rosenbrock", sub("_line_search", "rate *= 0.5", "rate *= 0.25"))
f("line search goes on from the last rate", "rosenbrock", sub("train", "rate = _line_search(rate, value, p, d)", "rate = learning_rate = _line_search(rate, value, p, d)"))
f("line search in the workspace of the gradient", "logistic_regression", sub("_line_search", "_moved(p, d, rate, 0)", "_moved(p, d, 2.0 * rate, 0)"))
f("a loss that is not finite is no error", "adam", sub("train", "if not math.isfinite(value):", "if False:"))
f("rate of a folded gradient is forgotten", "digits", sub("train", "_evaluate(works, p, *batch, rate, fixed)", "_evaluate(works, p, *batch, 1.0, fixed)"))
f("parameters before the last update", "adam", sub("train", "return TrainingResult(p, losses, steps, reason, state)", "return TrainingResult(last, losses, steps, reason, state)"), sub("train", "rate = _corrected_rate(rate, step)", "rate = _corrected_rate(rate, step)\n        last = p"), sub("train", "losses: list[float] = []", "last = p\n    losses: list[float] = []"))
f("fewer steps than asked for by default", "adam", sub("train", "steps: int = 1000", "steps: int = 100"))
f("wrong after a hundred steps", "momentum", sub("train", "rate = float(learning_rate(step) if callable(learning_rate) else learning_rate)", "rate = float(learning_rate(step) if callable(learning_rate) else learning_rate)\n        rate = rate if step - state.step < 100 else 0.5 * rate"), style="plain", survives="training is compared for a few steps, and from a later step on")

# --- special points ------------------------------------------------------------------------------

f = _Kind("special point")
f("guard of x log y removed", "guarded", sub("_xlogy", "np.where(x == 0.0, 1.0, y)", "y"), style="plain")
f("guard of a root in the gradient removed", "guarded", sub("_loss_and_gradients", "np.where(x > 0.0, root_sqrt, 0.0)", "np.where(x > 0.0, 0.5, 0.5) * 2.0 * root_sqrt"), style="plain")
f("root of negative numbers", "guarded", sub("root", "np.where(x > 0.0, p.scale * root_sqrt, 0.0)", "p.scale * np.sqrt(x)"), style="plain")
f("border of a condition, forward", "guarded", sub("step", "np.where(x > p.level", "np.where(x >= p.level"), style="plain")
f("border of a condition", "guarded", sub("_loss", "np.where(x > p.level", "np.where(x >= p.level"), sub("_loss_and_gradients", "step_greater = x > p.level", "step_greater = x >= p.level"), style="plain")
f("softplus overflows", "guarded", sub("_softplus", "np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))", "np.log1p(np.exp(x))"), style="plain")
f("sigmoid overflows", "guarded", sub("_sigmoid", "np.where(x >= 0, 1.0, small) / (1.0 + small)", "np.exp(x) / (1.0 + np.exp(x))"), style="plain")
f("softmax overflows in a forward function", "digits", sub("probability", "np.exp(logits - np.max(logits, axis=1, keepdims=True))", "np.exp(logits)"))
f("zeros of data give NaN", "guarded", sub("entropy", "return entropy", "return np.where(y == 0.0, np.nan, entropy)"))
f("negative data", "guarded", sub("bent", "return bent", "return np.where(x < 0.0, 0.5 * bent, bent)"))
f("large numbers are cut", "momentum", sub("prediction", "x @ p.w", "np.clip(x, -100.0, 100.0) @ p.w"), style="plain")
f("tiny numbers are cut", "momentum", sub("prediction", "x @ p.w", "np.where(np.abs(x) < 1e-6, 0.0, x) @ p.w"), style="plain")
f("equal entries", "digits_cnn", sub("_block", "pooled_ties = np.equal(pooled_windows, pooled, work.pooled_ties)", "pooled_ties = np.equal(pooled_windows, pooled, work.pooled_ties)\n    pooled_ties[1, 1] *= 1.0 + (pooled_ties[0, 0] > 0.0)"))

# --- tiny errors ---------------------------------------------------------------------------------

f = _Kind("tiny")
f("1e-6 of a gradient", "squares", sub("_evaluate", "d_b = 2.0 * d_b_2 / total_n", "d_b = 2.000002 * d_b_2 / total_n"))
f("1e-9 of a gradient", "squares", sub("_evaluate", "d_b = 2.0 * d_b_2 / total_n", "d_b = (2.0 + 2e-9) * d_b_2 / total_n"))
f("1e-12 of a gradient", "momentum", sub("_loss_and_gradients", "d_b = 2.0 * np.sum", "d_b = (2.0 + 2e-12) * np.sum"), style="plain")
f("1e-9 of one entry of many", "mlp_regression", after("_evaluate", "np.add(d_w1, d_w1_part, d_w1)", "d_w1[9, 15] *= 1.0 + 1e-9"))
f("1e-9 of the loss", "adam", sub("_evaluate", "\n    loss = loss_2 / total_n", "\n    loss = loss_2 / total_n * (1.0 + 1e-9)"))
f("1e-9 of a forward function", "adam", sub("prediction", "hidden @ p.w2", "hidden @ p.w2 * (1.0 + 1e-9)"))
f("ninth digit of a constant", "large", sub("_block", "np.multiply(6.283185307179586, phase_difference", "np.multiply(6.283185301179586, phase_difference"), sub("_block", "6.283185307179586 / p.period", "6.283185301179586 / p.period"))
f("ninth digit of a constant, forward", "large", sub("phase", "6.283185307179586", "6.283185302179586"))
f("a small term beside large ones", "large", sub("_evaluate", "+ d_small_part +", "+ 0.999999 * d_small_part +"))
f("last digits of a constant beside large terms", "large", sub("_evaluate", "+ d_small_part + 0.333333333333", "+ d_small_part + 0.333333334333"))
f("a term of 1e-9", "mlp_regression", sub("_evaluate", "loss = loss_mean_2 + ", "loss = 1e-9 + loss_mean_2 + "))
f("one update a little off", "adam", sub("_updated", "0.9 * m + 0.1 * gradient", "0.9 * m + 0.100000001 * gradient"))
f("model and gradient agree with each other", "square", sub("_loss", "np.exp(0.1 * (c @ p.v))", "np.exp(0.11 * (c @ p.v))"), sub("_loss_and_gradients", "np.exp(0.1 * (c @ p.v))", "np.exp(0.11 * (c @ p.v))"), sub("_loss_and_gradients", "0.1 * (c.T @", "0.11 * (c.T @"), style="plain")
f("a unit in the last place", "squares", sub("_evaluate", "d_b = 2.0 * d_b_2 / total_n", "d_b = 2.0000000000000004 * d_b_2 / total_n"), survives="a unit in the last place is what rounding may do")

# --- names and order -----------------------------------------------------------------------------

f = _Kind("order")
f("arguments change places", "linear_regression", sub("loss", "x: ArrayLike, y_: ArrayLike", "y_: ArrayLike, x: ArrayLike"))
f("arguments of training change places", "linear_regression", sub("train", "x: ArrayLike,\n    y_: ArrayLike,", "y_: ArrayLike,\n    x: ArrayLike,"))
f("inputs change places inside", "square", sub("loss_and_gradients", "return _loss_and_gradients(p, a, c)", "return _loss_and_gradients(p, c, a)"), style="plain")
f("an input is transposed", "square", sub("_loss", "np.tanh(a @ p.w)", "np.tanh(a.T @ p.w)"), sub("_loss_and_gradients", "np.tanh(a @ p.w)", "np.tanh(a.T @ p.w)"), sub("_loss_and_gradients", "d_w_part = a.T @", "d_w_part = a @"), style="plain")
f("an input is transposed in a forward function", "square", sub("left", "np.tanh(a @ p.w)", "np.tanh(a.T @ p.w)"))
f("parameters change places", "square", sub("Parameters", "w: Array  # (4, 4)\n    v: Array  # (4, 4)", "v: Array  # (4, 4)\n    w: Array  # (4, 4)"))
f("a parameter for another", "square", sub("_loss", "c @ p.v", "c @ p.w"), style="plain")
f("sizes need not agree", "adam", sub("", "\"y\": (\"n\",),", "\"y\": (\"m\",),"))
f("shapes are not looked at", "adam", sub("_checked_inputs", "if not fits:", "if False:"))
f("shapes of parameters are not looked at", "momentum", sub("_checked_parameters", "if array.shape != shape:", "if False:"), style="plain")
f("whole numbers are not required", "tables", sub("", "INTEGERS = frozenset({\"k\"})", "INTEGERS = frozenset()"))

# --- parameters and files ------------------------------------------------------------------------

f = _Kind("parameters")
f("seed is ignored", "mlp_regression", sub("initial_parameters", "0 if seed is None else seed", "0"))
f("another seed than the model's", "mlp_regression", sub("initial_parameters", "0 if seed is None else seed", "1 if seed is None else seed"))
f("drawn anew each time", "adam", sub("initial_parameters", "np.random.default_rng(0 if seed is None else seed)", "np.random.default_rng(seed)"))
f("another scale", "mlp_regression", sub("initial_parameters", "(-0.480384, 0.480384, (10, 16))", "(-0.480384, 0.480380, (10, 16))"))
f("another distribution", "adam", sub("initial_parameters", "random.normal(0.0, 0.5, 4)", "random.uniform(-0.5, 0.5, 4)"))
f("a number of the model", "squares", sub("initial_parameters", "-0.25", "-0.26"))
f("drawn in another order", "adam", sub("initial_parameters", "return Parameters(", "early = random.normal(0.0, 0.5, 4).astype(dtype)\n    return Parameters("), sub("initial_parameters", "w2=random.normal(0.0, 0.5, 4).astype(dtype)", "w2=early"))
f("initial parameters are shared", "mlp_regression", sub("initial_parameters", "b1=np.zeros(16, dtype)", "b1=_ZEROS.astype(dtype, copy=False)"), sub("", "def initial_parameters(", "_ZEROS = np.zeros(16)\n\n\ndef initial_parameters("))
f("saved under each other's names", "square", sub("save_parameters", "**checked._asdict()", "w=checked.v, v=checked.w"))
f("saved in single precision", "square", sub("save_parameters", "checked = _checked_parameters(parameters)", "checked = _checked_parameters(parameters)\n    checked = Parameters(*(one.astype(np.float32) for one in checked))"))
f("read in another order", "square", sub("load_parameters", "for name in Parameters._fields))", "for name in reversed(Parameters._fields)))"))
f("read in double precision always", "adam", sub("load_parameters", "found[name] for name", "found[name].astype(float) for name"))
f("saving changes the parameters", "adam", sub("save_parameters", "checked = _checked_parameters(parameters)", "checked = _checked_parameters(parameters)\n    checked.b1[...] = 0.0"))


def named(words: list[str]) -> list[Fault]:
    """Those whose kind, model and name have all words."""
    return [
        one
        for one in FAULTS
        if all(word in f"{one.kind} {one.model} {one.style} {one.name}" for word in words)
    ]
