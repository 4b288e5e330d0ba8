"""What every operation on arrays is shown on: a call, and the shapes of its operands.

The reference compiles each of them; the shapes are those of placeholders, and `int n` are whole
numbers. An operation without an entry here makes the build of the site fail.
"""

from __future__ import annotations


class Example:
    """A call, and its operands by name."""

    def __init__(self, call: str, **operands: str) -> None:
        self.call = call
        self.operands = operands


EXAMPLES: dict[str, dict[str, Example]] = {
    "Sums, products and other reductions": {
        "reduce_sum": Example("sf.reduce_sum(x, axis=1)", x="n, m"),
        "reduce_mean": Example("sf.reduce_mean(x, axis=0)", x="n, m"),
        "reduce_max": Example("sf.reduce_max(x, axis=1)", x="n, m"),
        "reduce_min": Example("sf.reduce_min(x, axis=1)", x="n, m"),
        "reduce_prod": Example("sf.reduce_prod(x, axis=1)", x="n, m"),
        "reduce_variance": Example("sf.reduce_variance(x, axis=0)", x="n, m"),
        "reduce_std": Example("sf.reduce_std(x, axis=0)", x="n, m"),
        "reduce_logsumexp": Example("sf.reduce_logsumexp(x, axis=1)", x="n, m"),
        "reduce_any": Example("sf.reduce_any(x > 0.0, axis=1)", x="n, m"),
        "reduce_all": Example("sf.reduce_all(x > 0.0, axis=1)", x="n, m"),
        "norm": Example("sf.norm(x, axis=1)", x="n, m"),
        "l2_loss": Example("sf.l2_loss(x)", x="n, m"),
        "global_norm": Example("sf.global_norm([x, y])", x="n, m", y="k"),
        "cumsum": Example("sf.cumsum(x, axis=1)", x="n, m"),
        "cumprod": Example("sf.cumprod(x, axis=1)", x="n, m"),
        "segment_sum": Example("sf.segment_sum(x, s, 3)", x="n, m", s="int n"),
        "unsorted_segment_sum": Example("sf.unsorted_segment_sum(x, s, 3)", x="n, m", s="int n"),
        "softmax": Example("sf.softmax(x)", x="n, m"),
        "log_softmax": Example("sf.log_softmax(x)", x="n, m"),
    },
    "Products": {
        "matmul": Example("sf.matmul(x, w)", x="n, m", w="m, k"),
        "einsum": Example('sf.einsum("bij,bkj->bik", x, y)', x="b, n, q", y="b, m, q"),
        "tensordot": Example("sf.tensordot(x, y, 1)", x="n, m", y="m, k"),
        "outer": Example("sf.outer(x, y)", x="n", y="m"),
        "trace": Example("sf.trace(x)", x="n, n"),
    },
    "Shapes": {
        "transpose": Example("sf.transpose(x)", x="n, m"),
        "reshape": Example('sf.reshape(x, ("n", 4))', x="n, 2, 2"),
        "expand_dims": Example("sf.expand_dims(x, 1)", x="n"),
        "squeeze": Example("sf.squeeze(x)", x="n, 1"),
        "broadcast_to": Example('sf.broadcast_to(x, ("n", 3))', x="3"),
        "concat": Example("sf.concat([x, y], 1)", x="n, 2", y="n, 3"),
        "stack": Example("sf.stack([x, y])", x="n", y="n"),
        "split": Example("sf.split(x, 2, axis=1)[1]", x="n, 4"),
        "unstack": Example("sf.unstack(x, axis=1)[0]", x="n, 2"),
        "tile": Example("sf.tile(x, [2, 1])", x="n, m"),
        "repeat": Example("sf.repeat(x, 2, axis=0)", x="n, m"),
        "pad": Example("sf.pad(x, [[1, 2]])", x="n"),
        "flip": Example("sf.flip(x)", x="n, m"),
        "reverse": Example("sf.reverse(x, [1])", x="n, m"),
        "roll": Example("sf.roll(x, 1, 0)", x="n, m"),
    },
    "Entries picked by position or by order": {
        "gather": Example("sf.gather(x, k)", x="n, m", k="int b"),
        "gather_nd": Example("sf.gather_nd(x, k)", x="n, m", k="int b, 2"),
        "scatter_nd": Example("sf.scatter_nd(k, x, (5,))", x="b", k="int b, 1"),
        "boolean_mask": Example("sf.boolean_mask(x, [True, False, True])", x="3, m"),
        "one_hot": Example("sf.one_hot(k, 3)", k="int n"),
        "argmax": Example("sf.argmax(x, axis=1)", x="n, m"),
        "argmin": Example("sf.argmin(x, axis=1)", x="n, m"),
        "argsort": Example("sf.argsort(x)", x="n, m"),
        "sort": Example("sf.sort(x)", x="n, m"),
        "top_k": Example("sf.top_k(x, 2).values", x="n, m"),
        "nn.embedding_lookup": Example("sf.nn.embedding_lookup(x, k)", x="n, m", k="int b"),
    },
    "Matrices": {
        "diag": Example("sf.diag(x)", x="n"),
        "diag_part": Example("sf.diag_part(x)", x="n, n"),
        "matrix_diag": Example("sf.matrix_diag(x)", x="b, n"),
        "matrix_diag_part": Example("sf.matrix_diag_part(x)", x="b, n, n"),
        "matrix_band_part": Example("sf.matrix_band_part(x, 0, 1)", x="n, n"),
        "tril": Example("sf.tril(x)", x="n, n"),
        "triu": Example("sf.triu(x)", x="n, n"),
        "matrix_solve": Example("sf.matrix_solve(a, b)", a="n, n", b="n, m"),
        "matrix_triangular_solve": Example("sf.matrix_triangular_solve(a, b)", a="n, n", b="n, m"),
        "matrix_inverse": Example("sf.matrix_inverse(a)", a="n, n"),
        "matrix_determinant": Example("sf.matrix_determinant(a)", a="n, n"),
        "cholesky": Example("sf.cholesky(a)", a="n, n"),
        "cholesky_solve": Example("sf.cholesky_solve(a, b)", a="n, n", b="n, m"),
        "linalg.slogdet": Example("sf.linalg.slogdet(a).log_abs_determinant", a="n, n"),
        "linalg.logdet": Example("sf.linalg.logdet(a)", a="n, n"),
    },
    "Networks": {
        "nn.conv1d": Example('sf.nn.conv1d(x, w, 1, "VALID")', x="n, 8, 2", w="3, 2, 4"),
        "nn.conv2d": Example('sf.nn.conv2d(x, w, 1, "VALID")', x="n, 8, 8, 2", w="3, 3, 2, 4"),
        "nn.conv3d": Example(
            'sf.nn.conv3d(x, w, 1, "VALID")', x="n, 8, 8, 8, 2", w="3, 3, 3, 2, 4"
        ),
        "nn.depthwise_conv2d": Example(
            'sf.nn.depthwise_conv2d(x, w, 1, "VALID")', x="n, 8, 8, 2", w="3, 3, 2, 1"
        ),
        "nn.separable_conv2d": Example(
            'sf.nn.separable_conv2d(x, w, v, 1, "VALID")',
            x="n, 8, 8, 2",
            w="3, 3, 2, 1",
            v="1, 1, 2, 4",
        ),
        "nn.conv2d_transpose": Example(
            'sf.nn.conv2d_transpose(x, w, ("n", 8, 8, 2), 2, "SAME")',
            x="n, 4, 4, 3",
            w="3, 3, 2, 3",
        ),
        "nn.max_pool1d": Example('sf.nn.max_pool1d(x, 2, 2, "VALID")', x="n, 8, 2"),
        "nn.max_pool": Example('sf.nn.max_pool(x, 2, 2, "VALID")', x="n, 8, 8, 2"),
        "nn.max_pool3d": Example('sf.nn.max_pool3d(x, 2, 2, "VALID")', x="n, 8, 8, 8, 2"),
        "nn.avg_pool1d": Example('sf.nn.avg_pool1d(x, 2, 2, "VALID")', x="n, 8, 2"),
        "nn.avg_pool": Example('sf.nn.avg_pool(x, 2, 2, "VALID")', x="n, 8, 8, 2"),
        "nn.avg_pool3d": Example('sf.nn.avg_pool3d(x, 2, 2, "VALID")', x="n, 8, 8, 8, 2"),
        "nn.bias_add": Example("sf.nn.bias_add(x, b)", x="n, m", b="m"),
        "nn.moments": Example("sf.nn.moments(x, [0])[1]", x="n, m"),
        "nn.batch_normalization": Example(
            "sf.nn.batch_normalization(x, mean, variance, b, w, 1e-3)",
            x="n, m",
            mean="m",
            variance="m",
            b="m",
            w="m",
        ),
        "nn.layer_norm": Example("sf.nn.layer_norm(x, w, b)", x="n, m", w="m", b="m"),
        "nn.l2_normalize": Example("sf.nn.l2_normalize(x, 1)", x="n, m"),
        "nn.softmax_cross_entropy_with_logits": Example(
            "sf.nn.softmax_cross_entropy_with_logits(labels=y, logits=x)", y="n, m", x="n, m"
        ),
        "nn.sparse_softmax_cross_entropy_with_logits": Example(
            "sf.nn.sparse_softmax_cross_entropy_with_logits(labels=[2, 0], logits=x)", x="2, 3"
        ),
        "nn.sigmoid_cross_entropy_with_logits": Example(
            "sf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=x)", y="n", x="n"
        ),
        "losses.mean_squared_error": Example("sf.losses.mean_squared_error(y, x)", y="n", x="n"),
        "scan": Example(
            "sf.scan(lambda h, row: sf.tanh(row + h @ w), x, h)", x="t, n, m", h="n, m", w="m, m"
        ),
    },
}
"""By section of the page and by name, in the order of the page."""

SHOWN = frozenset(name for examples in EXAMPLES.values() for name in examples)
