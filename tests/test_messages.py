# ruff: noqa: E501 (messages stand here as they are printed)
"""Typical mistakes, and the whole of what is said of each."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import symflow as sf
from symflow.cli import main
from symflow.compilation import Compilation
from symflow.model import load

HEAD = """\
import numpy as np
import symflow as sf

x = sf.placeholder(shape=("n", 784))
y = sf.placeholder(shape=("n", 10))
w = sf.Variable(np.zeros((784, 10)))
"""

MESSAGES: dict[str, tuple[str, str]] = {
    "matmul of shapes that do not match": (
        HEAD
        + """\
u = sf.Variable(np.zeros((512, 10)))
logits = sf.matmul(x, u) + 1.0
""",
        """\
model.py:8: matmul: x is (n, 784) but u is (512, 10)
    logits = sf.matmul(x, u) + 1.0
    x is defined at model.py:4, u at model.py:7
    hint: the last dimension of x must equal the first of u""",
    ),
    "operator @ of shapes that do not match": (
        HEAD
        + """\
logits = w @ sf.tanh(x)
""",
        """\
model.py:7: matmul: w is (784, 10) but tanh(x) is (n, 784)
    logits = w @ sf.tanh(x)
    w is defined at model.py:6
    hint: the last dimension of w must equal the first of tanh(x)""",
    ),
    "shapes that do not broadcast": (
        HEAD
        + """\
b = sf.Variable(np.zeros(11))
logits = x @ w + b
""",
        """\
model.py:8: add: matmul(x, w) is (n, 10) and b is (11,): they do not broadcast
    logits = x @ w + b
    b is defined at model.py:7
    hint: from the last axis on, sizes must be equal or one of them 1; x[:, None] adds an axis""",
    ),
    "three shapes that do not broadcast": (
        HEAD
        + """\
z = sf.where(x > 0.0, x, y)
""",
        """\
model.py:7: where: greater(x, 0.0) is (n, 784) and x is (n, 784) and y is (n, 10): they do not broadcast
    z = sf.where(x > 0.0, x, y)
    x is defined at model.py:4, y at model.py:5
    hint: from the last axis on, sizes must be equal or one of them 1; x[:, None] adds an axis""",
    ),
    "a loss of the library": (
        HEAD
        + """\
loss = sf.losses.mean_squared_error(labels=y, predictions=x)
""",
        """\
model.py:6: the loss does not depend on w: nothing reads it
    w = sf.Variable(np.zeros((784, 10)))
    hint: use w in the loss, remove it, or declare it with trainable=False
model.py:7: subtract: x is (n, 784) and y is (n, 10): they do not broadcast
    loss = sf.losses.mean_squared_error(labels=y, predictions=x)
    x is defined at model.py:4, y at model.py:5
    hint: from the last axis on, sizes must be equal or one of them 1; x[:, None] adds an axis
2 mistakes""",
    ),
    "wrong axis": (
        HEAD
        + """\
total = sf.reduce_sum(x, axis=2)
""",
        """\
model.py:7: reduce_sum: x is (n, 784): axis 2 is out of range for shape (n, 784)
    total = sf.reduce_sum(x, axis=2)
    x is defined at model.py:4
    hint: axes of x go from -2 to 1""",
    ),
    "an axis that is no number": (
        HEAD
        + """\
total = sf.reduce_sum(x, axis='rows')
""",
        """\
model.py:7: reduce_sum: x is (n, 784): axis 'rows' is no whole number
    total = sf.reduce_sum(x, axis='rows')
    x is defined at model.py:4""",
    ),
    "wrong rank for matmul": (
        HEAD
        + """\
scale = sf.Variable(2.0)
z = x @ scale
""",
        """\
model.py:8: matmul: x is (n, 784) and scale is (): a scalar has no rows or columns
    z = x @ scale
    x is defined at model.py:4, scale at model.py:7
    hint: multiply by a number with *, not with @""",
    ),
    "reshape to another number of entries": (
        HEAD
        + """\
z = sf.reshape(w, (28, 28, 11))
""",
        """\
model.py:7: reshape: w is (784, 10): (784, 10) cannot be reshaped to (28, 28, 11)
    z = sf.reshape(w, (28, 28, 11))
    w is defined at model.py:6
    hint: w has 7840 entries, and -1 stands for one size that follows from them""",
    ),
    "index out of range": (
        HEAD
        + """\
z = x[:, 784]
""",
        """\
model.py:7: slice: x is (n, 784): index 784 is out of range for shape (n, 784)
    z = x[:, 784]
    x is defined at model.py:4
    hint: along this axis it goes from -784 to 783""",
    ),
    "concat of shapes that differ": (
        HEAD
        + """\
z = sf.concat([x, y], axis=0)
""",
        """\
model.py:7: concat: x is (n, 784) and y is (n, 10): (n, 784) and (n, 10) differ outside axis 0
    z = sf.concat([x, y], axis=0)
    x is defined at model.py:4, y at model.py:5""",
    ),
    "einsum that does not fit": (
        HEAD
        + """\
z = sf.einsum('ij,jkl->ik', x, w)
""",
        """\
model.py:7: einsum: x is (n, 784) and w is (784, 10): 'jkl' does not fit the shape (784, 10)
    z = sf.einsum('ij,jkl->ik', x, w)
    x is defined at model.py:4, w at model.py:6
    hint: one letter per axis""",
    ),
    "placeholder without shape": (
        """\
import symflow as sf

x = sf.placeholder(sf.float32, name='x')
w = sf.Variable(2.0)
loss = sf.reduce_mean(w * x)
""",
        """\
model.py:3: the placeholder x has no shape
    x = sf.placeholder(sf.float32, name='x')
    hint: declare it with shape=("n", 784), or compile with --shape x=n,784""",
    ),
    "shape that is none": (
        """\
import symflow as sf

x = sf.placeholder(shape=(-1, 3))
y = sf.reduce_sum(x)
""",
        """\
model.py:3: -1 is no dimension: use a whole number from 1, a name or None
    x = sf.placeholder(shape=(-1, 3))""",
    ),
    "arguments in TensorFlow's order": (
        """\
import symflow as sf

x = sf.placeholder((None, 3), sf.float32)
y = sf.reduce_sum(x)
""",
        """\
model.py:3: (None, 3) is no dtype
    x = sf.placeholder((None, 3), sf.float32)
    hint: as sf.float32; the order is placeholder(dtype, shape, name)""",
    ),
    "Variable that nothing reads": (
        HEAD
        + """\
b = sf.Variable(np.zeros(10))
loss = sf.reduce_mean(sf.square(x @ w - y))
""",
        """\
model.py:7: the loss does not depend on b: nothing reads it
    b = sf.Variable(np.zeros(10))
    hint: use b in the loss, remove it, or declare it with trainable=False""",
    ),
    "Variable that the loss does not depend on": (
        HEAD
        + """\
b = sf.Variable(np.zeros(10))
logits = x @ w + b
loss = sf.reduce_mean(sf.square(x @ w - y))
""",
        """\
model.py:7: the loss does not depend on b: logits at model.py:8 reads it, but the loss does not depend on that
    b = sf.Variable(np.zeros(10))
    hint: use b in the loss, remove it, or declare it with trainable=False""",
    ),
    "Variable behind argmax": (
        HEAD
        + """\
best = sf.argmax(x @ w, axis=1)
wrong = sf.cast(best, sf.float32) - y[:, 0]
loss = sf.reduce_mean(sf.square(wrong))
train_op = sf.train.AdamOptimizer(0.1).minimize(loss)
""",
        """\
model.py:7: argmax: w reaches the loss only through this, and it has no derivative
    best = sf.argmax(x @ w, axis=1)
    w is defined at model.py:6
    hint: argmax moves in steps: take a smooth function in its place""",
    ),
    "Variable behind a comparison": (
        HEAD
        + """\
right = x @ w > y
loss = sf.reduce_mean(sf.to_float(right))
""",
        """\
model.py:7: a comparison: w reaches the loss only through this, and it has no derivative
    right = x @ w > y
    w is defined at model.py:6
    hint: a comparison moves in steps: take a smooth function in its place""",
    ),
    "Variable behind stop_gradient": (
        HEAD
        + """\
fixed = sf.stop_gradient(w)
loss = sf.reduce_mean(sf.square(x @ fixed - y))
""",
        """\
model.py:7: stop_gradient: w reaches the loss only through this, and it lets no derivative through
    fixed = sf.stop_gradient(w)
    w is defined at model.py:6
    hint: leave stop_gradient out, or declare the Variable with trainable=False""",
    ),
    "Variable behind floor": (
        HEAD
        + """\
steps = sf.floor(x @ w)
loss = sf.reduce_mean(sf.square(steps - y))
""",
        """\
model.py:7: floor: w reaches the loss only through this, and its derivative is 0
    steps = sf.floor(x @ w)
    w is defined at model.py:6
    hint: floor moves in steps: take a smooth function in its place""",
    ),
    "loss that is no scalar": (
        HEAD
        + """\
loss = sf.square(x @ w - y)
train_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)
""",
        """\
model.py:8: the loss must be a scalar, but loss is (n, 10)
    train_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)
    loss is defined at model.py:7
    hint: sf.reduce_mean or sf.reduce_sum makes one number of it""",
    ),
    "loss that is no scalar, without minimize": (
        HEAD
        + """\
loss = sf.reduce_sum(sf.square(x @ w - y), axis=1)
""",
        """\
model.py:7: the loss must be a scalar, but loss is (n,)
    loss = sf.reduce_sum(sf.square(x @ w - y), axis=1)
    hint: sf.reduce_mean or sf.reduce_sum makes one number of it""",
    ),
    "unknown operation": (
        HEAD
        + """\
logits = sf.matmull(x, w)
""",
        """\
model.py:7: sf has no 'matmull'
    logits = sf.matmull(x, w)
    hint: did you mean sf.matmul?""",
    ),
    "unknown operation of sf.nn": (
        HEAD
        + """\
p = sf.nn.softmacks(x @ w)
""",
        """\
model.py:7: sf.nn has no 'softmacks'
    p = sf.nn.softmacks(x @ w)
    hint: did you mean sf.nn.softmax?""",
    ),
    "unknown optimizer": (
        HEAD
        + """\
loss = sf.reduce_mean(sf.square(x @ w - y))
train_op = sf.train.GradientDescentOptimiser(0.1).minimize(loss)
""",
        """\
model.py:8: sf.train has no 'GradientDescentOptimiser'
    train_op = sf.train.GradientDescentOptimiser(0.1).minimize(loss)
    hint: did you mean sf.train.GradientDescentOptimizer?""",
    ),
    "unknown loss": (
        HEAD
        + """\
loss = sf.losses.mean_square_error(y, x @ w)
""",
        """\
model.py:7: sf.losses has no 'mean_square_error'
    loss = sf.losses.mean_square_error(y, x @ w)
    hint: did you mean sf.losses.mean_squared_error?""",
    ),
    "unknown name that is imported": (
        """\
from symflow import matmull
""",
        """\
model.py:1: ImportError: cannot import name 'matmull' from 'symflow'
    from symflow import matmull
    hint: did you mean sf.matmul?""",
    ),
    "TensorFlow 2: keras": (
        HEAD
        + """\
layer = sf.keras.layers.Dense(10)
""",
        """\
model.py:7: sf has no 'keras'
    layer = sf.keras.layers.Dense(10)
    hint: build layers from Variables: h = sf.tanh(sf.matmul(x, w) + b); optimizers are in sf.train, losses in sf.losses""",
    ),
    "TensorFlow 2: GradientTape": (
        HEAD
        + """\
with sf.GradientTape() as tape:
    loss = sf.reduce_mean(x @ w)
""",
        """\
model.py:7: sf has no 'GradientTape'
    with sf.GradientTape() as tape:
    hint: gradients are sf.gradients(loss, [w]), or come with minimize(loss)""",
    ),
    "TensorFlow 2: function": (
        """\
import symflow as sf

@sf.function
def predict(x):
    return x
""",
        """\
model.py:3: sf has no 'function'
    @sf.function
    hint: no decorator is needed: `symflow compile` makes functions of the model's tensors""",
    ),
    "TensorFlow 2: assign": (
        HEAD
        + """\
w.assign(w * 0.9)
""",
        """\
model.py:7: a Variable has no .assign
    w.assign(w * 0.9)
    hint: Variables change by training: sf.train.GradientDescentOptimizer(0.1).minimize(loss)""",
    ),
    "TensorFlow 2: numpy()": (
        HEAD
        + """\
loss = sf.reduce_mean(sf.square(x @ w - y))
print(loss.numpy())
""",
        """\
model.py:8: a tensor has no .numpy
    print(loss.numpy())
    hint: its value comes from a session: sf.Session().run(t, feed_dict={x: data})""",
    ),
    "TensorFlow 1: keep_dims": (
        HEAD
        + """\
total = sf.reduce_sum(x, 1, keep_dims=True)
""",
        """\
model.py:7: TypeError: reduce_sum() got an unexpected keyword argument 'keep_dims'
    total = sf.reduce_sum(x, 1, keep_dims=True)
    hint: it takes reduce_sum(x, axis, keepdims, name)""",
    ),
    "PyTorch: backward": (
        HEAD
        + """\
loss = sf.reduce_mean(sf.square(x @ w - y))
loss.backward()
""",
        """\
model.py:8: a tensor has no .backward
    loss.backward()
    hint: gradients are sf.gradients(loss, [w]), or come with minimize(loss)""",
    ),
    "two graphs": (
        HEAD
        + """\
with sf.Graph().as_default():
    b = sf.Variable(1.0)
z = x @ w + b
""",
        """\
model.py:9: add: matmul(x, w) and b belong to different graphs
    z = x @ w + b
    b is defined at model.py:8
    hint: make all tensors of a model in one graph""",
    ),
    "if on a tensor": (
        HEAD
        + """\
total = sf.reduce_sum(x @ w)
if total > 0.0:
    total = -total
""",
        """\
model.py:8: greater(total, 0.0) has no truth value while the graph is built
    if total > 0.0:
    hint: choose with sf.where(test, a, b); write & | ~ for and or not, sf.maximum for max""",
    ),
    "and of tensors": (
        HEAD
        + """\
inside = x > 0.0 and x < 1.0
""",
        """\
model.py:7: greater(x, 0.0) has no truth value while the graph is built
    inside = x > 0.0 and x < 1.0
    hint: choose with sf.where(test, a, b); write & | ~ for and or not, sf.maximum for max""",
    ),
    "max of tensors": (
        HEAD
        + """\
z = max(x @ w, y)
""",
        """\
model.py:7: the greater at model.py:7 has no truth value while the graph is built
    z = max(x @ w, y)
    hint: choose with sf.where(test, a, b); write & | ~ for and or not, sf.maximum for max""",
    ),
    "while on a tensor": (
        HEAD
        + """\
total = sf.reduce_sum(w)
while total < 10.0:
    total = total * 2.0
""",
        """\
model.py:8: less(total, 10.0) has no truth value while the graph is built
    while total < 10.0:
    hint: choose with sf.where(test, a, b); write & | ~ for and or not, sf.maximum for max""",
    ),
    "float of a tensor": (
        HEAD
        + """\
scale = float(sf.reduce_max(x))
""",
        """\
model.py:7: reduce_max(x) has no value for float() while the graph is built
    scale = float(sf.reduce_max(x))
    hint: leave float() out: operations take tensors""",
    ),
    "range of a tensor": (
        HEAD
        + """\
k = sf.placeholder(sf.int64, (), name='k')
for step in range(k):
    pass
""",
        """\
model.py:8: k has no value to count with while the graph is built
    for step in range(k):
    hint: sizes and indices that Python counts with are in .shape, or numbers of your own""",
    ),
    "NumPy's function of a tensor": (
        HEAD
        + """\
z = np.exp(x @ w)
""",
        """\
model.py:7: TypeError: operand 'Tensor' does not support ufuncs (__array_ufunc__=None)
    z = np.exp(x @ w)
    hint: a tensor holds no numbers yet: use symflow's function, as sf.exp for np.exp""",
    ),
    "NumPy's reduction of a tensor": (
        HEAD
        + """\
z = np.sum(x @ w)
""",
        """\
model.py:7: TypeError: operand 'Tensor' does not support ufuncs (__array_ufunc__=None)
    z = np.sum(x @ w)
    hint: a tensor holds no numbers yet: use symflow's function, as sf.exp for np.exp""",
    ),
    "an array of tensors": (
        HEAD
        + """\
z = np.array([x, x])
""",
        """\
model.py:7: x has no numbers for NumPy while the graph is built
    z = np.array([x, x])
    hint: use symflow's function of that name, as sf.exp for np.exp""",
    ),
    "in-place assignment": (
        HEAD
        + """\
w[0] = 1.0
""",
        """\
model.py:7: w cannot be changed in place: a tensor is a formula
    w[0] = 1.0
    hint: make a new tensor, as with sf.where(condition, new, old) or sf.concat""",
    ),
    "a loop over rows": (
        HEAD
        + """\
for row in x:
    pass
""",
        """\
model.py:7: x has no fixed first dimension to go along
    for row in x:
    hint: operations work on all rows at once; sf.scan goes from one to the next""",
    ),
    "len of a tensor": (
        HEAD
        + """\
mean = sf.reduce_sum(x) / len(x)
""",
        """\
model.py:7: a tensor has no len()
    mean = sf.reduce_sum(x) / len(x)
    hint: its sizes are in .shape""",
    ),
    "integer that is too large": (
        """\
import symflow as sf

x = sf.placeholder(shape=('n',))
z = x * (2**64)
y = x + sf.constant(2**64)
""",
        """\
model.py:4: 18446744073709551616 does not fit in 64 bits
    z = x * (2**64)
    hint: write it as a float
model.py:5: 18446744073709551616 does not fit in 64 bits
    y = x + sf.constant(2**64)
    hint: write it as a float
2 mistakes""",
    ),
    "integer that does not fit its dtype": (
        """\
import numpy as np
import symflow as sf

k = sf.constant(300, dtype=np.int8)
""",
        """\
model.py:4: 300 is no number of int8
    k = sf.constant(300, dtype=np.int8)""",
    ),
    "division by zero in a constant": (
        HEAD
        + """\
scale = sf.constant(1 / 0)
""",
        """\
model.py:7: ZeroDivisionError: division by zero
    scale = sf.constant(1 / 0)""",
    ),
    "NaN in an initial value": (
        HEAD
        + """\
b = sf.Variable([0.0, float('nan')])
""",
        """\
model.py:7: the initial value is not finite: entry (1,) is nan
    b = sf.Variable([0.0, float('nan')])""",
    ),
    "text as initial value": (
        HEAD
        + """\
b = sf.Variable('zeros')
""",
        """\
model.py:7: 'zeros' is not made of real numbers
    b = sf.Variable('zeros')
    hint: a value is a number, an array, or for Variables an initializer: sf.zeros(shape)""",
    ),
    "a tensor as initial value": (
        HEAD
        + """\
b = sf.Variable(x @ w)
""",
        """\
model.py:7: the initial value of a Variable is an array or an initializer, not a tensor
    b = sf.Variable(x @ w)
    hint: as np.zeros((784, 10)) or sf.glorot_uniform((784, 10))""",
    ),
    "ragged list": (
        HEAD
        + """\
b = sf.constant([[1.0, 2.0], [3.0]])
""",
        """\
model.py:7: not a rectangular array: setting an array element with a sequence
    b = sf.constant([[1.0, 2.0], [3.0]])
    hint: all rows must be of equal length""",
    ),
    "duplicate names": (
        HEAD
        + """\
b = sf.Variable(1.0, name='b')
c = sf.Variable(2.0, name='b')
loss = sf.reduce_mean(x @ w) * b + c
""",
        """\
model.py:8: the name 'b' is taken
    c = sf.Variable(2.0, name='b')
    the first b is defined at model.py:7
    hint: give each tensor a name of its own""",
    ),
    "name that is a keyword": (
        HEAD
        + """\
b = sf.Variable(1.0, name='lambda')
loss = sf.reduce_mean(x @ w) * b
""",
        """\
model.py:7: the name 'lambda' is no Python identifier, and cannot stand in the module
    b = sf.Variable(1.0, name='lambda')
    hint: use letters a to z, digits and _ only, and no word of Python's own""",
    ),
    "name that is no identifier": (
        HEAD
        + """\
b = sf.Variable(1.0, name='my bias')
loss = sf.reduce_mean(x @ w) * b
""",
        """\
model.py:7: the name 'my bias' is no Python identifier, and cannot stand in the module
    b = sf.Variable(1.0, name='my bias')
    hint: use letters a to z, digits and _ only, and no word of Python's own""",
    ),
    "name that the module uses itself": (
        HEAD
        + """\
train = x @ w
loss = sf.reduce_mean(train)
""",
        """\
model.py:7: the name 'train' has a meaning of its own in a generated module
    train = x @ w
    hint: rename the variable, or give another name with name=...""",
    ),
    "model that raises": (
        HEAD
        + """\
def layer(x, size):
    return x / size

hidden = layer(x @ w, 10 / 0)
""",
        """\
model.py:10: ZeroDivisionError: division by zero
    hidden = layer(x @ w, 10 / 0)""",
    ),
    "model that raises in a function": (
        """\
import symflow as sf

def rate(epoch):
    raise ValueError(f'no epoch {epoch}')

train_op = sf.train.AdamOptimizer(rate(0))
""",
        """\
model.py:4: ValueError: no epoch 0
    File "model.py", line 6, in <module>
      train_op = sf.train.AdamOptimizer(rate(0))
    File "model.py", line 4, in rate
      raise ValueError(f'no epoch {epoch}')""",
    ),
    "name that is not defined": (
        HEAD
        + """\
logits = x @ weights
""",
        """\
model.py:7: NameError: name 'weights' is not defined
    logits = x @ weights""",
    ),
    "name with a typo": (
        HEAD
        + """\
logits = sf.matmul(x, w)
loss = sf.reduce_mean(logit)
""",
        """\
model.py:8: NameError: name 'logit' is not defined
    loss = sf.reduce_mean(logit)
    hint: did you mean logits?""",
    ),
    "import that fails": (
        """\
import symflow as sf
import no_such_module
""",
        """\
model.py:2: ModuleNotFoundError: No module named 'no_such_module'
    import no_such_module""",
    ),
    "syntax error": (
        HEAD
        + """\
logits = sf.matmul(x, w))
""",
        """\
model.py:7: SyntaxError: unmatched ')'
    logits = sf.matmul(x, w))
                            ^""",
    ),
    "unclosed parenthesis": (
        HEAD
        + """\
logits = sf.matmul(x, w
loss = sf.reduce_mean(logits)
""",
        """\
model.py:7: SyntaxError: '(' was never closed
    logits = sf.matmul(x, w
                      ^""",
    ),
    "bad indentation": (
        HEAD
        + """\
  logits = x @ w
""",
        """\
model.py:7: IndentationError: unexpected indent
    logits = x @ w
    ^""",
    ),
    "wrong argument": (
        HEAD
        + """\
z = sf.transpose(x, perm=1)
""",
        """\
model.py:7: transpose: TypeError: 'int' object is not iterable
    z = sf.transpose(x, perm=1)""",
    ),
    "too many arguments": (
        HEAD
        + """\
z = sf.exp(x, w)
""",
        """\
model.py:7: exp(x): too many positional arguments
    z = sf.exp(x, w)""",
    ),
    "no tensor": (
        """\
import symflow as sf
""",
        """\
model.py declares no tensor to compute
    hint: bind what is to be computed to a name: loss = sf.reduce_mean(...)""",
    ),
    "only inputs": (
        HEAD
        + """\
""",
        """\
model.py declares no tensor to compute
    hint: bind what is to be computed to a name: loss = sf.reduce_mean(...)""",
    ),
    "minimize without Variables": (
        """\
import symflow as sf

x = sf.placeholder(shape=('n',))
train_op = sf.train.AdamOptimizer(0.1).minimize(sf.reduce_sum(x))
""",
        """\
model.py:4: there is no trainable Variable to train
    train_op = sf.train.AdamOptimizer(0.1).minimize(sf.reduce_sum(x))
    hint: what training changes is an sf.Variable(initial_value)""",
    ),
    "two minimizes": (
        HEAD
        + """\
loss = sf.reduce_mean(sf.square(x @ w - y))
first = sf.train.AdamOptimizer(0.1).minimize(loss)
second = sf.train.AdamOptimizer(0.1).minimize(loss)
""",
        """\
model.py:9: a second minimize: a module has one loss to train
    second = sf.train.AdamOptimizer(0.1).minimize(loss)
    the first one is defined at model.py:8
    hint: minimize the sum of both losses, or write two models""",
    ),
    "learning rate of text": (
        HEAD
        + """\
loss = sf.reduce_mean(sf.square(x @ w - y))
train_op = sf.train.AdamOptimizer('fast').minimize(loss)
""",
        """\
model.py:8: learning_rate is 'fast', not a positive number
    train_op = sf.train.AdamOptimizer('fast').minimize(loss)""",
    ),
    "size that is of no placeholder": (
        """\
import symflow as sf

x = sf.placeholder(shape=('n',))
z = sf.broadcast_to(sf.reduce_sum(x), ('m',))
""",
        """\
model.py:4: the size 'm' of (m,) is of no placeholder that is read here, and cannot be found out
    z = sf.broadcast_to(sf.reduce_sum(x), ('m',))
    hint: sizes with a name are those of placeholders; write numbers for others""",
    ),
    "a carry that changes": (
        HEAD
        + """\
states = sf.scan(lambda h, row: sf.tanh(row), x, sf.zeros(10))
""",
        """\
model.py:7: scan: the constant at model.py:7 is (10,) and x is (n, 784): the carry h is (10,) before a step and (784,) after it
    states = sf.scan(lambda h, row: sf.tanh(row), x, sf.zeros(10))
    x is defined at model.py:4""",
    ),
    "a helper of several lines": (
        HEAD
        + """\
def dense(x, size, name):
    w = sf.Variable(np.zeros((784, size)), name=name)
    return sf.tanh(
        x @ w
    )

hidden = dense(x, 32, 'first')
logits = dense(hidden, 10, 'second')
loss = sf.reduce_mean(logits)
""",
        """\
model.py:10: matmul: x is (n, 32) but second is (784, 10)
    x @ w
    called at model.py:14: logits = dense(hidden, 10, 'second')
    x is defined at model.py:9, second at model.py:8
    hint: the last dimension of x must equal the first of second""",
    ),
    "several mistakes": (
        HEAD
        + """\
b = sf.Variable(np.zeros(11))
unused = sf.Variable(0.0, name='my unused')
hidden = sf.matmul(w, x)
logits = hidden + y
shifted = x @ w + b
total = sf.reduce_sum(shifted, axis=3)
loss = sf.reduce_mean(logits)
print(sf.reduce_sum(y, axis=5))
train_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)
""",
        """\
model.py:8: the name 'my unused' is no Python identifier, and cannot stand in the module
    unused = sf.Variable(0.0, name='my unused')
    hint: use letters a to z, digits and _ only, and no word of Python's own
model.py:8: the loss does not depend on unused: nothing reads it
    unused = sf.Variable(0.0, name='my unused')
    hint: use unused in the loss, remove it, or declare it with trainable=False
model.py:9: matmul: w is (784, 10) but x is (n, 784)
    hidden = sf.matmul(w, x)
    w is defined at model.py:6, x at model.py:4
    hint: the last dimension of w must equal the first of x
model.py:11: add: matmul(x, w) is (n, 10) and b is (11,): they do not broadcast
    shifted = x @ w + b
    b is defined at model.py:7
    hint: from the last axis on, sizes must be equal or one of them 1; x[:, None] adds an axis
model.py:14: reduce_sum: y is (n, 10): axis 5 is out of range for shape (n, 10)
    print(sf.reduce_sum(y, axis=5))
    y is defined at model.py:5
    hint: axes of y go from -2 to 1
5 mistakes""",
    ),
}
"""The text of a model, and the message."""


def complaint(text: str, folder: Path) -> str:
    path = folder / "model.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(sf.SymflowError) as caught:
        Compilation(load(path)).program()
    return str(caught.value)


@pytest.mark.parametrize("case", MESSAGES)
def test_message(case: str, tmp_path: Path) -> None:
    text, expected = MESSAGES[case]
    assert complaint(text, tmp_path) == expected


def test_parts_of_a_message(tmp_path: Path) -> None:
    text, _ = MESSAGES["matmul of shapes that do not match"]
    path = tmp_path / "model.py"
    path.write_text(text)
    with pytest.raises(sf.SymflowError) as caught:
        load(path)
    error = caught.value
    assert error.message == "matmul: x is (n, 784) but u is (512, 10)"
    assert str(error.location) == "model.py:8"
    assert error.excerpt == ("logits = sf.matmul(x, u) + 1.0",)
    assert [(name, str(place)) for name, place in error.operands] == [
        ("x", "model.py:4"),
        ("u", "model.py:7"),
    ]
    assert error.hint == "the last dimension of x must equal the first of u"
    assert error.others == ()


def test_a_helper_module_is_told_with_the_line_that_called_it(tmp_path: Path) -> None:
    (tmp_path / "my_layers.py").write_text(
        "import symflow as sf\n\n\ndef dense(x, w):\n    return sf.tanh(sf.matmul(x, w))\n"
    )
    text = HEAD + "from my_layers import dense\nlogits = dense(w, x)\n"
    assert complaint(text, tmp_path) == (
        "my_layers.py:5: matmul: x is (784, 10) but w is (n, 784)\n"
        "    return sf.tanh(sf.matmul(x, w))\n"
        "    called at model.py:8: logits = dense(w, x)\n"
        "    x is defined at model.py:6, w at model.py:4\n"
        "    hint: the last dimension of x must equal the first of w"
    )


def test_what_follows_from_a_mistake_is_not_told(tmp_path: Path) -> None:
    """All that is made of a broken tensor is broken: in lists, functions, loops and shapes."""
    text = (
        HEAD
        + """\
hidden = sf.matmul(w, x)
rows = hidden.shape[0] if hidden.shape else 1
layers = [hidden, sf.tanh(hidden)]
if sf.reduce_sum(hidden) > 0:
    hidden = hidden * 2
def outer():
    return sf.concat([hidden, y], axis=7)
joined = outer()
for one in hidden:
    print(one)
first, second = sf.split(layers[1], 2)
loss = sf.reduce_mean(joined + first)
train_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)
raise ValueError("no")
"""
    )
    assert complaint(text, tmp_path).splitlines()[0] == (
        "model.py:7: matmul: w is (784, 10) but x is (n, 784)"
    )
    assert "mistakes" not in complaint(text, tmp_path)


def test_a_cell_of_a_notebook_has_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def named(path: str) -> tuple[str, str] | None:
        return ("Cell", "In[3]") if "ipykernel" in path else None

    compiler = SimpleNamespace(format_code_name=named)
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(compile=compiler))
    monkeypatch.setitem(sys.modules, "IPython", shell)  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match=r"In\[3\]:1: sf has no 'zerox'"):
        exec(compile("sf.zerox", "/run/ipykernel_1/2.py", "exec"))


def test_the_command_tells_every_mistake_and_their_number(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(HEAD + "z = x @ x\nz = sf.exq(x)\n")
    result = CliRunner().invoke(main, ["compile", str(path), "-o", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert result.stderr == (
        "symflow: model.py:7: matmul: x is (n, 784) but x is (n, 784)\n"
        "    z = x @ x\n"
        "    x is defined at model.py:4\n"
        "    hint: the last dimension of x must equal the first of x\n"
        "symflow: model.py:8: sf has no 'exq'\n"
        "    z = sf.exq(x)\n"
        "    hint: did you mean sf.exp?\n"
        "symflow: 2 mistakes\n"
    )


def test_a_bug_of_ours_is_not_blamed_on_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise AssertionError("%3 reads %4, which is not yet bound")

    monkeypatch.setattr("symflow.files.emit", broken)
    path = tmp_path / "model.py"
    path.write_text("import symflow as sf\nloss = sf.square(sf.Variable(1.0))\n")
    result = CliRunner().invoke(main, ["compile", str(path)])
    assert result.exit_code == 70
    assert result.stderr == (
        "symflow: a bug of symflow, not of yours: AssertionError: "
        "%3 reads %4, which is not yet bound\n"
        "    hint: SYMFLOW_TRACEBACK=1 shows where; please report it with the model\n"
    )
    monkeypatch.setenv("SYMFLOW_TRACEBACK", "1")
    result = CliRunner().invoke(main, ["compile", str(path)])
    assert isinstance(result.exception, AssertionError)


# --- running -------------------------------------------------------------------------------------


def fed(feed: Callable[[Any, Any], Any]) -> str:
    """What a Session says to a feed of two placeholders, without the numbers of lines."""
    x = sf.placeholder(shape=("n", 3), name="x")
    k = sf.placeholder(sf.int64, ("n",), name="k")
    loss = sf.reduce_sum(x) + sf.reduce_sum(sf.to_float(k))
    with sf.Session() as session, pytest.raises(sf.SymflowError) as caught:
        session.run(loss, feed(x, k))
    return re.sub(r"test_messages\.py:\d+", "HERE", str(caught.value))


FEEDS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "nothing": (
        lambda x, k: {x: np.ones((2, 3))},
        "the placeholder k is not fed\n"
        "    session.run(loss, feed(x, k))\n"
        "    k is defined at HERE\n"
        "    hint: give its value: feed_dict={k: ...}",
    ),
    "another shape": (
        lambda x, k: {x: np.ones((2, 4)), k: [1, 2]},
        "x: expected (2, 3), got (2, 4)\n"
        "    session.run(loss, feed(x, k))\n"
        "    x is defined at HERE\n"
        "    hint: sizes of the same name are equal in one run",
    ),
    "another rank": (
        lambda x, k: {x: np.ones(3), k: [1, 2]},
        "x: expected (n, 3), got (3,)\n"
        "    session.run(loss, feed(x, k))\n"
        "    x is defined at HERE\n"
        "    hint: it has 1 axes, not 2: values[:, None] adds one",
    ),
    "sizes that differ": (
        lambda x, k: {x: np.ones((2, 3)), k: [1, 2, 3]},
        "k: expected (2,), got (3,)\n"
        "    session.run(loss, feed(x, k))\n"
        "    k is defined at HERE\n"
        "    hint: sizes of the same name are equal in one run",
    ),
    "fractions for whole numbers": (
        lambda x, k: {x: np.ones((2, 3)), k: [0.5, 1.5]},
        "feed_dict: <symflow Placeholder 'k' (n,)> wants whole numbers, not float64\n"
        "    session.run(loss, feed(x, k))\n"
        "    hint: feed values.astype(int), or declare the placeholder as sf.float32",
    ),
    "text": (
        lambda x, k: {x: [["a"] * 3], k: [1]},
        "feed_dict: <symflow Placeholder 'x' (n, 3)> is fed no numbers\n"
        "    session.run(loss, feed(x, k))",
    ),
    "names": (
        lambda x, k: {"x": np.ones((2, 3))},
        "feed_dict: 'x' is no placeholder\n"
        "    session.run(loss, feed(x, k))\n"
        "    hint: its keys are what sf.placeholder returned, not names",
    ),
}


@pytest.mark.parametrize("case", FEEDS)
def test_a_wrong_feed(case: str) -> None:
    feed, expected = FEEDS[case]
    assert fed(feed) == f"HERE: {expected}"


MODULE = """\
import symflow as sf

x = sf.placeholder(shape=("n", 3))
k = sf.placeholder(sf.int64, ("n",))
w = sf.Variable([0.1, 0.2, 0.3])
b = sf.Variable(0.5)
loss = sf.reduce_mean(sf.square(sf.reduce_sum(x * w, axis=1) + b - sf.to_float(k)))
train_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)
"""
ROWS = np.ones((2, 3))
CALLS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "an input is missing": (
        lambda m, p: m.loss(p, ROWS),
        "TypeError: loss() missing 1 required positional argument: 'k'",
    ),
    "an input of another shape": (
        lambda m, p: m.loss(p, np.ones((2, 4)), [1, 2]),
        "ValueError: x: expected (n, 3), got (2, 4)",
    ),
    "an input of another rank": (
        lambda m, p: m.gradients(p, np.ones(3), [1, 2]),
        "ValueError: x: expected (n, 3), got (3,)",
    ),
    "inputs that differ in n": (
        lambda m, p: m.loss(p, ROWS, [1, 2, 3]),
        "ValueError: k: expected (2,), got (3,)",
    ),
    "no rows": (
        lambda m, p: m.loss(p, np.ones((0, 3)), []),
        "ValueError: x: expected (n, 3), got (0, 3)",
    ),
    "fractions for whole numbers": (
        lambda m, p: m.loss(p, ROWS, [0.5, 1.5]),
        "ValueError: k: expected whole numbers, got float64",
    ),
    "text": (
        lambda m, p: m.loss(p, [["a"] * 3] * 2, [1, 2]),
        "ValueError: x: expected real numbers, got <U1",
    ),
    "too few parameters": (
        lambda m, p: m.loss((1.0,), ROWS, [1, 2]),
        "ValueError: parameters: expected 2 arrays, got 1",
    ),
    "a parameter of another shape": (
        lambda m, p: m.train(p._replace(b=[1.0]), ROWS, [1, 2], steps=1),
        "ValueError: b: expected (), got (1,)",
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_wrong_call_of_a_module(case: str, compiled: Callable[[str], ModuleType]) -> None:
    call, expected = CALLS[case]
    module = compiled(MODULE)
    with pytest.raises((TypeError, ValueError)) as caught:
        call(module, module.initial_parameters())
    assert f"{caught.type.__name__}: {caught.value}" == expected


FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a name is missing": (
        lambda path: np.savez(path, w=[0.1, 0.2, 0.3]),
        "w.npz holds no b: ",
    ),
    "another shape": (
        lambda path: np.savez(path, w=[0.1], b=0.5),
        "w.npz holds no w: expected (3,), got (1,)",
    ),
    "text": (
        lambda path: np.savez(path, w=["a", "b", "c"], b=0.5),
        "w.npz holds no w: expected real numbers, got <U1",
    ),
    "a pickled object": (
        lambda path: np.savez(path, w=np.array([1, None, 3], object), b=0.5),
        "w.npz holds no w: expected real numbers, got object",
    ),
    "no archive": (lambda path: path.write_text("w = 1"), "w.npz holds no w: "),
}


@pytest.mark.parametrize("case", FILES)
def test_a_wrong_file_of_parameters(
    case: str, compiled: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    write, expected = FILES[case]
    write(tmp_path / "w.npz")
    with pytest.raises(ValueError, match="w") as caught:
        compiled(MODULE).load_parameters(tmp_path / "w.npz")
    assert str(caught.value).replace(str(tmp_path) + "/", "").startswith(expected)
