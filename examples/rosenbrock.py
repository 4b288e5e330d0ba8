"""Gradient descent down Rosenbrock's valley, a function of two variables."""

import symflow as sf

x = sf.Variable(-1.2)
y = sf.Variable(1.0)

loss = (1 - x) ** 2 + 100 * (y - x**2) ** 2

train_op = sf.train.GradientDescentOptimizer(sf.train.backtracking_line_search()).minimize(loss)
