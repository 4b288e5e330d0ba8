"""How many ulp every operation on arrays is off, against the same graph in 50 digits.

Value, gradient and the gradient of a weighted sum of the gradients, at random points: the generated
code beside the graph as it was lowered, before any rewriting, in the arithmetic of
`symflow.evaluation`. That gradients are right at all is for `test_random_graphs.py` and
`test_arrays.py`; this is about rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

import symflow as sf
from symflow.differentiation import differentiate
from symflow.evaluation import exact, with_exact_numbers
from symflow.graph import convert
from symflow.lowering import Request, lower
from symflow.naming import label_nodes

Array = NDArray[Any]
Shapes = Sequence[tuple[int, ...]]

ROWS = np.array([2, 0, 2, 1])
LABELS = np.eye(4)[[1, 3, 0]]


def definite(x: Any) -> Any:
    """A well-conditioned positive definite matrix."""
    return sf.matmul(x, x, transpose_b=True) + 3.0 * np.eye(3)


def cell(state: Any, entry: Any) -> Any:
    return sf.tanh(0.5 * state + entry)


CASES: dict[str, tuple[Callable[..., Any], Shapes]] = {
    "reduce_sum": (lambda x: sf.reduce_sum(x, axis=1), [(3, 40)]),
    "reduce_mean": (lambda x: sf.reduce_mean(x, axis=0), [(40, 3)]),
    "reduce_max": (lambda x: sf.reduce_max(x, axis=1), [(3, 7)]),
    "reduce_min": (lambda x: sf.reduce_min(x, axis=1), [(3, 7)]),
    "reduce_prod": (lambda x: sf.reduce_prod(x, axis=1), [(3, 7)]),
    "reduce_variance": (lambda x: sf.reduce_variance(x, axis=1), [(3, 20)]),
    "reduce_std": (lambda x: sf.reduce_std(x, axis=1), [(3, 20)]),
    "reduce_logsumexp": (lambda x: sf.reduce_logsumexp(x, axis=1), [(3, 7)]),
    "norm": (lambda x: sf.norm(x, axis=1), [(3, 7)]),
    "norm, ord=1": (lambda x: sf.norm(x, ord=1, axis=1), [(3, 7)]),
    "norm, ord=inf": (lambda x: sf.norm(x, ord=np.inf, axis=1), [(3, 7)]),
    "l2_loss": (sf.l2_loss, [(3, 7)]),
    "global_norm": (lambda x, y: sf.global_norm([x, y]), [(3, 4), (5,)]),
    "cumsum": (lambda x: sf.cumsum(x, axis=1), [(3, 20)]),
    "cumprod": (lambda x: sf.cumprod(x, axis=1), [(3, 7)]),
    "segment_sum": (lambda x: sf.segment_sum(x, [0, 0, 1, 1, 1, 2]), [(6, 3)]),
    "unsorted_segment_sum": (
        lambda x: sf.unsorted_segment_sum(x, [2, 0, 1, 0, 2, 2], 3),
        [(6, 3)],
    ),
    "softmax": (sf.softmax, [(3, 7)]),
    "log_softmax": (sf.log_softmax, [(3, 7)]),
    "matmul": (sf.matmul, [(3, 40), (40, 2)]),
    "einsum": (lambda x, y: sf.einsum("bij,bkj->bik", x, y), [(2, 3, 9), (2, 4, 9)]),
    "tensordot": (lambda x, y: sf.tensordot(x, y, 2), [(3, 4, 5), (4, 5, 2)]),
    "outer": (sf.outer, [(3,), (4,)]),
    "trace": (sf.trace, [(4, 4)]),
    "transpose": (sf.transpose, [(3, 4)]),
    "reshape": (lambda x: sf.reshape(x, (4, 3)), [(3, 4)]),
    "expand_dims": (sf.expand_dims, [(3,)]),
    "squeeze": (sf.squeeze, [(3, 1)]),
    "broadcast_to": (lambda x: sf.broadcast_to(x, (4, 3)), [(3,)]),
    "concat": (lambda x, y: sf.concat([x, y], 1), [(3, 2), (3, 4)]),
    "stack": (lambda x, y: sf.stack([x, y]), [(3,), (3,)]),
    "split": (lambda x: sf.split(x, 2, 1)[1], [(3, 4)]),
    "unstack": (lambda x: sf.unstack(x)[1], [(3, 4)]),
    "slicing": (lambda x: x[1:, ::-2], [(3, 5)]),
    "gather": (lambda x: sf.gather(x, ROWS), [(3, 2)]),
    "gather_nd": (lambda x: sf.gather_nd(x, [[0, 1], [2, 0], [0, 1]]), [(3, 2)]),
    "scatter_nd": (lambda x: sf.scatter_nd([[1], [0], [1]], x, (3,)), [(3,)]),
    "nn.embedding_lookup": (lambda x: sf.nn.embedding_lookup(x, ROWS), [(3, 2)]),
    "sort": (sf.sort, [(3, 5)]),
    "top_k": (lambda x: sf.top_k(x, 2).values, [(3, 5)]),
    "tile": (lambda x: sf.tile(x, [2, 3]), [(3, 2)]),
    "repeat": (lambda x: sf.repeat(x, 3, axis=1), [(3, 2)]),
    "flip": (sf.flip, [(3, 2)]),
    "roll": (lambda x: sf.roll(x, 2, 0), [(5,)]),
    "pad": (lambda x: sf.pad(x, [[1, 2]]), [(3,)]),
    "diag": (sf.diag, [(3,)]),
    "diag_part": (sf.diag_part, [(3, 3)]),
    "matrix_diag": (sf.matrix_diag, [(2, 3)]),
    "matrix_diag_part": (sf.matrix_diag_part, [(2, 3, 3)]),
    "matrix_band_part": (lambda x: sf.matrix_band_part(x, 0, -1), [(3, 3)]),
    "tril": (sf.tril, [(3, 3)]),
    "triu": (sf.triu, [(3, 3)]),
    "matrix_solve": (lambda a, b: sf.matrix_solve(definite(a), b), [(3, 3), (3, 2)]),
    "matrix_inverse": (lambda a: sf.matrix_inverse(definite(a)), [(3, 3)]),
    "matrix_determinant": (lambda a: sf.matrix_determinant(definite(a)), [(3, 3)]),
    "linalg.slogdet": (lambda a: sf.linalg.slogdet(definite(a))[1], [(3, 3)]),
    "cholesky": (lambda a: sf.cholesky(definite(a)), [(3, 3)]),
    "matrix_triangular_solve": (
        lambda a, b: sf.matrix_triangular_solve(sf.tril(a) + 3.0 * np.eye(3), b),
        [(3, 3), (3, 2)],
    ),
    "nn.conv1d": (lambda x, w: sf.nn.conv1d(x, w, 1, "SAME"), [(2, 6, 2), (3, 2, 3)]),
    "nn.conv2d": (lambda x, w: sf.nn.conv2d(x, w, 1, "SAME"), [(2, 4, 4, 2), (3, 3, 2, 2)]),
    "nn.max_pool": (lambda x: sf.nn.max_pool(x, 2, 2, "VALID"), [(2, 4, 4, 2)]),
    "nn.avg_pool": (lambda x: sf.nn.avg_pool(x, 2, 2, "SAME"), [(2, 5, 4, 2)]),
    "nn.moments": (lambda x: sf.nn.moments(x, [0])[1], [(20, 3)]),
    "nn.layer_norm": (sf.nn.layer_norm, [(3, 7), (7,), (7,)]),
    "nn.l2_normalize": (lambda x: sf.nn.l2_normalize(x, 1), [(3, 7)]),
    "nn.softmax_cross_entropy_with_logits": (
        lambda z: sf.nn.softmax_cross_entropy_with_logits(labels=LABELS, logits=z),
        [(3, 4)],
    ),
    "nn.sparse_softmax_cross_entropy_with_logits": (
        lambda z: sf.nn.sparse_softmax_cross_entropy_with_logits(labels=[3, 0, 1], logits=z),
        [(3, 4)],
    ),
    "nn.sigmoid_cross_entropy_with_logits": (
        lambda z: sf.nn.sigmoid_cross_entropy_with_logits(labels=LABELS, logits=z),
        [(3, 4)],
    ),
    "scan": (lambda x, start: sf.scan(cell, x, start), [(6, 3), (3,)]),
}
"""Every operation on arrays that has derivatives, and what it is tried on."""


def errors(name: str) -> list[float]:
    """The largest errors of value, gradient and second derivatives, in float64, then float32."""
    return [error for dtype in (np.float64, np.float32) for error in _measured(name, dtype)]


def _measured(name: str, dtype: Any) -> list[float]:
    function, shapes = CASES[name]
    random = np.random.default_rng(0)
    with sf.Graph().as_default() as graph:
        x = [sf.placeholder(dtype, shape, name=f"x{at}") for at, shape in enumerate(shapes)]
        given = [
            random.uniform(0.3, 1.7, shape) * random.choice([-1, 1], shape) for shape in shapes
        ]
        operands = [one.astype(dtype) for one in given]

        def slopes(of: Sequence[Any]) -> list[Any]:
            """By every operand, of what is added up with random weights; none if it is constant."""
            weighted = [convert(y) * random.integers(1, 9, y.shape).astype(float) for y in of]
            total = sum((sf.reduce_sum(y) for y in weighted[1:]), sf.reduce_sum(weighted[0]))
            found = []
            for one in x:
                try:
                    found += sf.gradients(total, one)
                except sf.SymflowError:  # linear in it
                    continue
            return found

        first = slopes([y := function(*x)])
        orders = [[y], first, slopes(first)]
        fetched = [one for order in orders for one in order]
        with sf.Session() as session:
            results = session.run(fetched, dict(zip(x, operands, strict=True)))
        labels = label_nodes(graph.nodes, {})
        request = Request({str(at): one for at, one in enumerate(fetched)}, {}, labels, {})
        program = differentiate(with_exact_numbers(lower(graph, request)))
    true = exact(program, {f"x{at}": operand for at, operand in enumerate(operands)})
    found = iter(_error(result, true[str(at)], dtype) for at, result in enumerate(results))
    return [max((next(found) for _ in order), default=0.0) for order in orders]


def _error(result: Array, true: Array, dtype: Any) -> float:
    """The largest error, in units of the true entry, or of a hundredth of the largest."""
    right = [mpmath.mp.make_mpf(one._mpf_) for one in np.ravel(true)]
    largest = max(abs(float(one)) for one in right)
    worst = 0.0
    with mpmath.workdps(50):
        for found, one in zip(np.ravel(result), right, strict=True):
            scale = dtype(max(abs(float(one)), 1e-2 * largest, float(np.finfo(dtype).tiny)))
            error = abs(mpmath.mpf(float(found)) - one) / mpmath.mpf(float(np.spacing(scale)))
            worst = max(worst, float(error))
    return worst
