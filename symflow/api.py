"""Everything that `import symflow as sf` offers. `symflow/__init__.py` loads it on first use."""

import numpy as _np

import symflow.losses as losses
import symflow.nn as nn
import symflow.train as train
from symflow.errors import SymflowError
from symflow.functions import (
    abs,
    add,
    broadcast_to,
    cast,
    compute_gradients,
    concat,
    cos,
    divide,
    einsum,
    equal,
    exp,
    expand_dims,
    gather,
    global_norm,
    gradients,
    greater,
    greater_equal,
    l2_loss,
    less,
    less_equal,
    log,
    log_softmax,
    matmul,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    one_hot,
    operation,
    pow,
    reduce_logsumexp,
    reduce_max,
    reduce_mean,
    reduce_min,
    reduce_sum,
    relu,
    reshape,
    sigmoid,
    sign,
    sin,
    softmax,
    softplus,
    sqrt,
    square,
    squeeze,
    stack,
    stop_gradient,
    subtract,
    tanh,
    to_float,
    transpose,
    where,
)
from symflow.graph import (
    Graph,
    Tensor,
    Variable,
    constant,
    get_default_graph,
    placeholder,
    reset_default_graph,
    set_random_seed,
)
from symflow.initializers import (
    glorot_uniform,
    ones,
    random_normal,
    random_uniform,
    truncated_normal,
    zeros,
)
from symflow.session import Session, global_variables_initializer
from symflow.train import GradientDescentOptimizer

float32 = _np.float32
float64 = _np.float64
int32 = _np.int32
int64 = _np.int64
bool = _np.bool_

# The spellings of the simpleflow article and notebook, so that its program runs as it stands.
Placeholder = placeholder
reduct_sum = reduce_sum
