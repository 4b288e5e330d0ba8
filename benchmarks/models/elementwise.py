"""W5: a chain of elementwise functions of a million numbers, and three parameters for each."""

import symflow as sf

x = sf.placeholder(shape=(1000000,))

a = sf.Variable(sf.random_normal((1000000,)))
b = sf.Variable(sf.random_normal((1000000,)))
c = sf.Variable(sf.random_normal((1000000,)))

loss = sf.reduce_mean(sf.gelu(sf.tanh(a * x + b)) * sf.sigmoid(c * x))

train_op = sf.train.GradientDescentOptimizer(1.0).minimize(loss)

__all__ = []
