"""Models whose modules faults are planted in: small ones made for it, and the examples."""

from __future__ import annotations

from pathlib import Path

from conftest import ROOT

MODELS = {
    "adam": """\
import symflow as sf

x = sf.placeholder(shape=("n", 3))
y = sf.placeholder(shape=("n",))
w1 = sf.Variable(sf.glorot_uniform((3, 4)))
b1 = sf.Variable(sf.zeros(4))
w2 = sf.Variable(sf.random_normal((4,), stddev=0.5))
hidden = sf.tanh(x @ w1 + b1)
prediction = hidden @ w2
loss = sf.reduce_mean(sf.square(prediction - y))
sf.train.AdamOptimizer(sf.train.exponential_decay(0.05, 10, 0.9)).minimize(loss)
""",
    "decayed": """\
import symflow as sf

x = sf.placeholder(shape=("n", 3))
y = sf.placeholder(shape=("n",))
w = sf.Variable([0.5, -0.25, 1.0])
b = sf.Variable(0.125)
prediction = x @ w + b
loss = sf.reduce_mean(sf.nn.softplus(-y * prediction))
sf.train.AdamWOptimizer(0.01, 0.05, clip_norm=0.5, l2=0.1).minimize(loss)
""",
    "momentum": """\
import symflow as sf

x = sf.placeholder(shape=("n", 2))
y = sf.placeholder(shape=("n",))
w = sf.Variable([0.5, -0.25])
b = sf.Variable(0.0)
prediction = sf.sin(x @ w) + b
loss = sf.reduce_mean(sf.square(prediction - y))
sf.train.MomentumOptimizer(0.02, 0.8, True).minimize(loss)
""",
    "rmsprop": """\
import symflow as sf

x = sf.placeholder(shape=("n", 2))
y = sf.placeholder(shape=("n",))
w = sf.Variable([0.5, -0.25])
b = sf.Variable(0.0)
prediction = sf.sin(x @ w) + b
loss = sf.reduce_mean(sf.square(prediction - y))
sf.train.RMSPropOptimizer(0.01, 0.8, 0.5, 1e-3, clip_value=0.25).minimize(loss)
""",
    "adagrad": """\
import symflow as sf

x = sf.placeholder(shape=("n", 2))
y = sf.placeholder(shape=("n",))
w = sf.Variable([0.5, -0.25])
b = sf.Variable(0.0)
prediction = sf.sin(x @ w) + b
loss = sf.reduce_mean(sf.square(prediction - y))
sf.train.AdagradOptimizer(0.1).minimize(loss)
""",
    "squares": """\
import symflow as sf

x = sf.placeholder(shape=("n", 3))
y = sf.placeholder(shape=("n",))
w = sf.Variable([0.5, -0.25, 1.0])
b = sf.Variable(0.0)
prediction = x @ w + b
loss = sf.reduce_mean(sf.square(prediction - y))
sf.train.GradientDescentOptimizer(0.05).minimize(loss)
""",
    "guarded": """\
import symflow as sf

x = sf.placeholder(shape=("n",))
y = sf.placeholder(shape=("n",))
scale = sf.Variable(0.75)
level = sf.Variable(0.25)
entropy = sf.xlogy(y, sf.square(x))
root = sf.where(x > 0, scale * sf.sqrt(x), 0.0)
step = sf.where(x > level, level * sf.square(x), scale * x)
bent = sf.softplus(4.0 * x * scale)
loss = sf.reduce_sum(scale * entropy + root + step) + sf.reduce_mean(bent)
sf.train.GradientDescentOptimizer(0.05).minimize(loss)
""",
    "tables": """\
import numpy as np

import symflow as sf

k = sf.placeholder(sf.int64, ("n",))
x = sf.placeholder(shape=("n", 4))
table = sf.constant(np.arange(2000.0).reshape(500, 4) / 700.0)
small = sf.constant([[0.1, 0.7], [0.3, -0.2]])
w = sf.Variable(sf.random_normal((4, 4), seed=3))
e = sf.Variable(sf.random_uniform((7, 4), -0.5, 0.5))
doubled = 2.0 * small
looked = sf.gather(table, k)
near = sf.gather(e, k) + looked
score = sf.reduce_sum((x @ w) * near, axis=1)
loss = sf.reduce_mean(sf.square(score)) + 0.01 * sf.l2_loss(w) + sf.reduce_sum(doubled) * 0.5
sf.train.GradientDescentOptimizer(0.01).minimize(loss)
""",
    "square": """\
import symflow as sf

a = sf.placeholder(shape=(4, 4))
c = sf.placeholder(shape=(4, 4))
w = sf.Variable(sf.glorot_uniform((4, 4)))
v = sf.Variable(sf.glorot_uniform((4, 4)))
left = sf.tanh(a @ w)
right = sf.exp(0.1 * (c @ v))
loss = sf.reduce_sum(left * sf.transpose(right)) + sf.reduce_sum(sf.square(w @ v))
sf.train.GradientDescentOptimizer(0.01).minimize(loss)
""",
    "large": """\
import symflow as sf

t = sf.placeholder(shape=("n",))
y = sf.placeholder(shape=("n",))
offset = sf.Variable(1.5)
period = sf.Variable(2.5)
small = sf.Variable(0.3)
phase = 6.283185307179586 * (t - offset) / period
curve = sf.sin(phase) + small * sf.exp(-sf.square(t - offset))
loss = sf.reduce_sum(sf.square(curve - y)) + 1e6 * sf.square(small - 0.5) + 0.333333333333 * small
sf.train.GradientDescentOptimizer(1e-7).minimize(loss)
""",
}
"""Model files by the name of the model."""

EXAMPLES = (
    "digits",
    "digits_cnn",
    "linear_regression",
    "logistic_regression",
    "lstm",
    "mlp_regression",
    "rosenbrock",
)


def model_file(name: str, folder: Path) -> Path:
    """The file of a model, written into a folder if it is not one of the examples."""
    if name in EXAMPLES:
        return ROOT / "examples" / f"{name}.py"
    path = folder / f"{name}.py"
    if not path.exists():
        path.write_text(MODELS[name], encoding="utf-8")
    return path
