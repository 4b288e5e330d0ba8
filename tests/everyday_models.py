"""Models as people write them, one of each kind: what every one of them compiles to is right.

x, y    are data, `w`, `b`, ... parameters; the loss is the last line
where   a value comes first that is inside of a formula's domain, it is the initial one
"""

from __future__ import annotations

_X = 'x = sf.placeholder(shape=("n", 3), name="x")\n'
_LINE = 'x = sf.placeholder(shape=("n",), name="x")\n'
_Y = 'y = sf.placeholder(shape=("n",), name="y")\n'
_XY = _X + _Y
_LINE_Y = _LINE + _Y
_W = "w = sf.Variable([0.3, -0.2, 0.5])\nb = sf.Variable(0.1)\n"
_LINEAR = _XY + _W + "z = x @ w + b\n"

EVERYDAY: dict[str, str] = {
    # --- regression
    "least squares": _LINEAR + "loss = sf.reduce_mean(sf.square(z - y))",
    "half squares": _LINEAR + "loss = sf.reduce_sum(sf.square(y - z)) / 2",
    "ridge": _LINEAR + "loss = sf.reduce_mean(sf.square(z - y)) + 0.1 * sf.reduce_sum(w ** 2)",
    "lasso": _LINEAR + "loss = sf.reduce_mean(sf.square(z - y)) + 0.1 * sf.reduce_sum(sf.abs(w))",
    "elastic net": _LINEAR
    + "loss = sf.reduce_mean((z - y) ** 2) + 0.1 * sf.reduce_sum(sf.abs(w) + 0.5 * w ** 2)",
    "weighted": _LINEAR + "loss = sf.reduce_sum(sf.square(x[:, 0] * (z - y)))",
    "huber": _LINEAR
    + "e = sf.abs(z - y)\nloss = sf.reduce_mean(sf.where(e < 1.0, 0.5 * e ** 2, e - 0.5))",
    "pseudo-huber": _LINEAR + "loss = sf.reduce_mean(sf.sqrt(1 + sf.square(z - y)) - 1)",
    "log-cosh": _LINEAR + "loss = sf.reduce_mean(sf.log(sf.cosh(z - y)))",
    "quantile": _LINEAR + "e = y - z\nloss = sf.reduce_mean(sf.maximum(0.9 * e, -0.1 * e))",
    "absolute": _LINEAR + "loss = sf.reduce_mean(sf.abs(z - y))",
    "polynomial": _LINE_Y
    + "c = sf.Variable([0.1, 0.2, 0.3, -0.1])\n"
    + "loss = sf.reduce_mean((c[0] + c[1]*x + c[2]*x**2 + c[3]*x**3 - y) ** 2)",
    "two columns": _XY
    + "a = sf.Variable(0.5)\nb = sf.Variable(-0.5)\n"
    + "loss = sf.reduce_mean(sf.square(a*x[:, 0] + b*x[:, 1] - y))",
    "exponential decay": _LINE_Y
    + "a = sf.Variable(2.0)\nk = sf.Variable(0.5)\n"
    + "loss = sf.reduce_mean(sf.square(a * sf.exp(-k * x) - y))",
    "gaussian peak": _LINE_Y
    + "a = sf.Variable(2.0)\nm = sf.Variable(0.5)\ns = sf.Variable(1.0)\n"
    + "loss = sf.reduce_sum(sf.square(a * sf.exp(-((x - m) / s) ** 2 / 2) - y))",
    "sine": _LINE_Y
    + "import math\na = sf.Variable(1.0)\nf = sf.Variable(0.2)\nph = sf.Variable(0.1)\n"
    + "loss = sf.reduce_mean(sf.square(a * sf.sin(2 * math.pi * f * x + ph) - y))",
    "logistic growth": _LINE_Y
    + "k = sf.Variable(3.0)\nr = sf.Variable(0.7)\nt = sf.Variable(1.0)\n"
    + "loss = sf.reduce_mean(sf.square(k / (1 + sf.exp(-r * (x - t))) - y))",
    "michaelis": _LINE_Y
    + "v = sf.Variable(2.0)\nk = sf.Variable(0.7)\n"
    + "loss = sf.reduce_mean(sf.square(v * sf.abs(x) / (k + sf.abs(x)) - y))",
    "arrhenius": _LINE_Y
    + "a = sf.Variable(2.0)\ne = sf.Variable(1.5)\n"
    + "loss = sf.reduce_mean(sf.square(a * sf.exp(-e / (8.314 * (x + 300.0))) - y))",
    # --- generalised linear models
    "logistic": _LINEAR
    + "loss = sf.reduce_mean(sf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=z))",
    "logistic by hand": _LINEAR
    + "p = 1 / (1 + sf.exp(-z))\nloss = -sf.reduce_mean(y*sf.log(p) + (1 - y)*sf.log(1 - p))",
    "logistic by softplus": _LINEAR + "loss = sf.reduce_mean(sf.log(1 + sf.exp(z)) - y * z)",
    "poisson": _LINEAR + "loss = sf.reduce_mean(sf.exp(z) - y * z)",
    "poisson with lgamma": _LINEAR + "loss = sf.reduce_sum(sf.exp(z) - y*z + sf.lgamma(y*y + 1))",
    "gamma": _LINEAR + "loss = sf.reduce_mean(z + sf.exp(-z) * y * y)",
    "inverse gaussian": _LINEAR + "m = sf.exp(z)\nloss = sf.reduce_mean(y * y / m ** 2 - 2 / m)",
    "probit": _LINEAR
    + "loss = -sf.reduce_mean(y * sf.log(sf.ndtr(z)) + (1 - y) * sf.log(sf.ndtr(-z)))",
    "cloglog": _LINEAR + "p = 1 - sf.exp(-sf.exp(z))\nloss = sf.reduce_mean(sf.square(p - y))",
    "softmax": _X
    + 't = sf.placeholder(sf.int64, ("n",), name="t")\nw = sf.Variable(sf.glorot_uniform((3, 4)))\n'
    + "loss = sf.reduce_mean("
    + "sf.nn.softmax_cross_entropy_with_logits(labels=sf.one_hot(t, 4), logits=x @ w))",
    "softmax by hand": _X
    + 't = sf.placeholder(sf.int64, ("n",), name="t")\nw = sf.Variable(sf.glorot_uniform((3, 4)))\n'
    + "p = sf.softmax(x @ w)\nloss = -sf.reduce_mean(sf.reduce_sum(sf.one_hot(t, 4)*sf.log(p), 1))",
    "hinge": _LINEAR + "loss = sf.reduce_mean(sf.relu(1 - y * z)) + 0.01 * sf.l2_loss(w)",
    "squared hinge": _LINEAR + "loss = sf.reduce_mean(sf.square(sf.relu(1 - y * z)))",
    "focal": _LINEAR + "p = sf.sigmoid(z)\nloss = -sf.reduce_mean(y * (1 - p)**2 * sf.log(p))",
    "ordinal": _LINEAR
    + "c = sf.Variable([-1.0, 1.0])\n"
    + "loss = sf.reduce_mean(sf.softplus(z - c[0]) + sf.softplus(c[1] - z))",
    "student": _LINEAR
    + "s = sf.Variable(0.2)\nloss = sf.reduce_sum(sf.log(1 + sf.square((y - z)/sf.exp(s))/3) + s)",
    "cauchy": _LINEAR + "loss = sf.reduce_sum(sf.log(1 + sf.square(y - z)))",
    "heteroscedastic": _XY
    + "w = sf.Variable([0.3, -0.2, 0.5])\nv = sf.Variable([0.1, 0.1, 0.1])\n"
    + "loss = sf.reduce_mean(x @ v + sf.square(y - x @ w) * sf.exp(-(x @ v)))",
    "tweedie": _LINEAR + "loss = sf.reduce_mean(-y * sf.exp(-0.5*z)/(-0.5) + sf.exp(0.5*z)/0.5)",
    # --- mixtures, time, survival
    "gaussian mixture": _LINE
    + "m = sf.Variable([-1.0, 0.5])\ns = sf.Variable([0.1, -0.1])\nl = sf.Variable([0.0, 0.3])\n"
    + "d = (sf.expand_dims(x, 1) - m) / sf.exp(s)\n"
    + "e = sf.log_softmax(l) - s - 0.5 * d ** 2\n"
    + "loss = -sf.reduce_mean(sf.reduce_logsumexp(e, 1))",
    "mixture by hand": _LINE
    + "m = sf.Variable([-1.0, 0.5])\nu = sf.Variable(0.2)\nq = sf.sigmoid(u)\n"
    + "a = q * sf.exp(-(x - m[0])**2/2) + (1 - q) * sf.exp(-(x - m[1])**2/2)\n"
    + "loss = -sf.reduce_sum(sf.log(a))",
    "hidden markov": 'o = sf.placeholder(shape=("t", 2), name="o")\n'
    + "a = sf.Variable([[0.5, -0.5], [0.2, 0.1]])\nu = sf.Variable([0.1, -0.1])\n"
    + "def step(f, e):\n"
    + "    return sf.reduce_logsumexp(sf.expand_dims(f, 1) + sf.log_softmax(a), 0) + e\n"
    + "f = sf.scan(step, o, sf.log_softmax(u))\nloss = -sf.reduce_logsumexp(f[-1])",
    "ar": 'x = sf.placeholder(shape=("n",), name="x")\n'
    + "a = sf.Variable([0.5, -0.2])\n"
    + "def step(s, v):\n    return a[0] * s + a[1] * v\n"
    + "h = sf.scan(step, x, 0.0)\nloss = sf.reduce_mean(sf.square(h - x))",
    "exponential smoothing": _LINE
    + "u = sf.Variable(0.3)\nk = sf.sigmoid(u)\n"
    + "s = sf.scan(lambda s, v: k * v + (1 - k) * s, x, 0.0)\nloss = sf.reduce_sum((s - x) ** 2)",
    "weibull": _LINE
    + "k = sf.Variable(0.2)\nl = sf.Variable(0.1)\nt = sf.exp(x)\n"
    + "loss = sf.reduce_mean(sf.exp(sf.exp(k)*(x - l)) - k - sf.exp(k)*(x - l))",
    "cox": _X
    + 'e = sf.placeholder(shape=("n",), name="e")\nw = sf.Variable([0.3, -0.2, 0.5])\n'
    + "z = x @ w\nr = sf.cumsum(sf.exp(z))\nloss = -sf.reduce_sum(e * (z - sf.log(r)))",
    "exponential survival": _LINEAR + "loss = sf.reduce_mean(sf.exp(z) * sf.square(y) - z)",
    "volatility": _LINE
    + "w = sf.Variable(0.1)\na = sf.Variable(0.2)\nc = sf.Variable(0.5)\n"
    + "v = sf.scan(lambda v, e: w**2 + a**2*e**2 + c**2*v, x, 1.0)\n"
    + "loss = sf.reduce_sum(sf.log(1 + v) + x**2/(1 + v))",
    # --- networks
    "mlp": _XY
    + "w1 = sf.Variable(sf.glorot_uniform((3, 4)))\nb1 = sf.Variable(sf.zeros(4))\n"
    + "w2 = sf.Variable(sf.glorot_uniform((4, 1)))\n"
    + "loss = sf.reduce_mean(sf.square((sf.tanh(x @ w1 + b1) @ w2)[:, 0] - y))",
    "relu net": _XY
    + "w1 = sf.Variable(sf.glorot_uniform((3, 4)))\nb1 = sf.Variable(sf.zeros(4))\n"
    + "w2 = sf.Variable(sf.glorot_uniform((4, 1)))\n"
    + "loss = sf.reduce_mean(sf.square((sf.relu(x @ w1 + b1) @ w2)[:, 0] - y))",
    "autoencoder": _X
    + "w = sf.Variable(sf.glorot_uniform((3, 2)))\nh = sf.sigmoid(x @ w)\n"
    + "loss = sf.reduce_mean(sf.square(h @ sf.transpose(w) - x))",
    "attention": 'q = sf.placeholder(shape=("n", 3), name="q")\n'
    + "k = sf.Variable(sf.glorot_uniform((4, 3)))\nv = sf.Variable(sf.glorot_uniform((4, 2)))\n"
    + "a = sf.softmax(q @ sf.transpose(k) / 3 ** 0.5)\nloss = sf.reduce_sum(sf.square(a @ v))",
    "layer norm": _X
    + "g = sf.Variable(sf.ones(3))\nm = sf.reduce_mean(x, 1, keepdims=True)\n"
    + "v = sf.reduce_mean(sf.square(x - m), 1, keepdims=True)\n"
    + "loss = sf.reduce_sum(sf.square(g * (x - m) / sf.sqrt(v + 1e-5)))",
    "gelu": _LINEAR + "loss = sf.reduce_mean(sf.square(sf.gelu(z) - y))",
    "elu": _LINEAR + "loss = sf.reduce_mean(sf.square(sf.elu(z) - y))",
    "swish": _LINEAR + "loss = sf.reduce_mean(sf.square(z * sf.sigmoid(z) - y))",
    "convolution": 'x = sf.placeholder(shape=("n", 4, 4, 1), name="x")\n'
    + "f = sf.Variable(sf.glorot_uniform((2, 2, 1, 2)))\n"
    + 'h = sf.nn.conv2d(x, f, strides=1, padding="VALID")\nloss = sf.reduce_mean(sf.square(h))',
    "embedding": 't = sf.placeholder(sf.int64, ("n",), name="t")\n'
    + "e = sf.Variable(sf.glorot_uniform((4, 3)))\n"
    + "loss = sf.reduce_sum(sf.square(sf.gather(e, t)))",
    "contrastive": _X
    + "w = sf.Variable(sf.glorot_uniform((3, 2)))\nz = x @ w\n"
    + "s = z @ sf.transpose(z)\nloss = sf.reduce_mean(sf.reduce_logsumexp(s, 1))",
    "skip-gram": _X
    + "u = sf.Variable(sf.glorot_uniform((4, 3)))\n"
    + "loss = -sf.reduce_mean(sf.log_sigmoid(x @ u[0]))",
    # --- matrices, geometry, odds and ends
    "factorisation": 'm = sf.placeholder(shape=(4, 3), name="m")\n'
    + "u = sf.Variable(sf.glorot_uniform((4, 2)))\nv = sf.Variable(sf.glorot_uniform((2, 3)))\n"
    + "loss = sf.reduce_sum(sf.square(u @ v - m))",
    "gaussian likelihood": 'x = sf.placeholder(shape=("n", 2), name="x")\n'
    + "l = sf.Variable([[1.0, 0.0], [0.3, 0.8]])\ns = l @ sf.transpose(l) + 0.1 * sf.eye(2)\n"
    + "d = sf.matrix_solve(s, sf.transpose(x))\n"
    + "loss = sf.reduce_sum(d * sf.transpose(x)) + sf.linalg.logdet(s)",
    "gaussian process": 'x = sf.placeholder(shape=(5,), name="x")\n'
    + 'y = sf.placeholder(shape=(5,), name="y")\n'
    + "u = sf.Variable(0.2)\ng = sf.expand_dims(x, 1) - sf.expand_dims(x, 0)\n"
    + "k = sf.exp(-0.5 * sf.square(g) * sf.exp(u)) + 0.5 * sf.eye(5)\n"
    + "loss = sf.reduce_sum(y * sf.matrix_solve(k, sf.expand_dims(y, 1))[:, 0])"
    + " + sf.linalg.logdet(k)",
    "k-means": 'x = sf.placeholder(shape=("n", 2), name="x")\n'
    + "c = sf.Variable([[1.0, 0.5], [-1.0, 0.2]])\n"
    + "d = sf.reduce_sum(sf.square(sf.expand_dims(x, 1) - c), 2)\n"
    + "loss = sf.reduce_sum(sf.reduce_min(d, 1))",
    "triplet": _X
    + "w = sf.Variable(sf.glorot_uniform((3, 2)))\nz = x @ w\n"
    + "loss = sf.reduce_mean(sf.relu(sf.reduce_sum(sf.square(z - z[0]), 1) - 0.5))",
    "total variation": _LINE
    + "u = sf.Variable([0.1, 0.5, 0.2])\n"
    + "loss = sf.reduce_sum(sf.abs(u[1:] - u[:-1])) + sf.reduce_sum(x) * sf.reduce_sum(u)",
    "rosenbrock": "u = sf.Variable([-1.2, 1.0])\n"
    + "loss = (1 - u[0])**2 + 100*(u[1] - u[0]**2)**2",
    "himmelblau": "u = sf.Variable([1.0, 1.5])\n"
    + "loss = (u[0]**2 + u[1] - 11)**2 + (u[0] + u[1]**2 - 7)**2",
    "rastrigin": "import math\nu = sf.Variable([0.3, -0.4])\n"
    + "loss = sf.reduce_sum(u**2 - 10*sf.cos(2*math.pi*u)) + 20",
    "beale": "a = sf.Variable(1.0)\nb = sf.Variable(0.2)\n"
    + "loss = (1.5 - a + a*b)**2 + (2.25 - a + a*b**2)**2 + (2.625 - a + a*b**3)**2",
    "distance": 'x = sf.placeholder(shape=("n", 2), name="x")\n'
    + "c = sf.Variable([0.3, 0.4])\nloss = sf.reduce_sum(sf.norm(x - c, axis=1))",
    "gradient penalty": _X
    + "w = sf.Variable([0.3, -0.2, 0.5])\nz = sf.reduce_sum(sf.tanh(x @ w))\n"
    + "(g,) = sf.gradients(z, x)\nloss = sf.reduce_mean(sf.square(g)) + z",
    "second derivative": "u = sf.Variable([0.3, -0.2, 0.5])\n"
    + "v = sf.reduce_sum(sf.where(u > 0, u**3, u**2))\n(g,) = sf.gradients(v, u)\n"
    + "loss = sf.reduce_sum(g * g)",
    "portfolio": 'r = sf.placeholder(shape=("n", 3), name="r")\n'
    + "w = sf.Variable([0.1, 0.2, 0.3])\np = r @ sf.softmax(w)\nm = sf.reduce_mean(p)\n"
    + "loss = sf.reduce_mean(sf.square(p - m)) - m",
    "kl of gaussians": "m = sf.Variable([0.1, -0.3])\ns = sf.Variable([0.1, 0.2])\n"
    + "loss = 0.5 * sf.reduce_sum(sf.exp(s) + sf.square(m) - 1 - s)",
    "elbo": _X
    + "m = sf.Variable([0.1, -0.3, 0.2])\ns = sf.Variable([0.1, 0.2, 0.1])\n"
    + "z = m + sf.exp(0.5 * s) * x\n"
    + "loss = sf.reduce_mean(sf.square(z)) - 0.5*sf.reduce_sum(s)",
    "entropy": "l = sf.Variable([0.1, 0.2, -0.3])\np = sf.softmax(l)\n"
    + "loss = sf.reduce_sum(p * sf.log(p))",
    "linear program": 'x = sf.placeholder(shape=("n", 2), name="x")\nu = sf.Variable([0.3, 0.6])\n'
    + "loss = sf.reduce_sum(u) - 0.1*sf.reduce_sum(sf.log(sf.square(x @ u) + 1e-3))",
    "tail of the normal": _LINE
    + "w = sf.Variable(-30.0)\n"
    + "loss = -sf.reduce_sum(sf.log(sf.ndtr(x + w)))",
    "tail of erfc": _LINE + "w = sf.Variable(3.0)\nloss = -sf.reduce_sum(sf.log(sf.erfc(x + w)))",
    "no derivative": _LINE
    + "w = sf.Variable([0.3, 0.2])\n"
    + "loss = sf.reduce_sum(x) + sf.reduce_sum(sf.floor(w)) + 0 * sf.reduce_sum(w)",
    "stopped": "w = sf.Variable(sf.ones((2, 2)))\n"
    + "loss = sf.reduce_sum(sf.stop_gradient(sf.sin(w)) @ w)",
}
