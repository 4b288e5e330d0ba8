"""W2: linear regression on 32 features, by full-batch gradient descent."""

import symflow as sf

x = sf.placeholder(shape=("n", 32))
y = sf.placeholder(shape=("n",))

w = sf.Variable(sf.zeros(32))
b = sf.Variable(0.0)

prediction = x @ w + b
loss = sf.reduce_mean(sf.square(prediction - y))

train_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)

__all__ = ["prediction"]
