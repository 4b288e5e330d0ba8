"""W1: the linear regression of the simpleflow article, 100 points and two numbers."""

import symflow as sf

x = sf.placeholder(shape=("n",))
y = sf.placeholder(shape=("n",))

w = sf.Variable(1.0)
b = sf.Variable(0.0)

prediction = x * w + b
loss = sf.reduce_sum(sf.square(prediction - y))

train_op = sf.train.GradientDescentOptimizer(0.005).minimize(loss)

__all__ = ["prediction"]
