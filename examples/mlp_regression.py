"""A perceptron that foretells the progression of diabetes from 10 measurements."""

import symflow as sf

x = sf.placeholder(shape=("n", 10))  # standardised measurements
y = sf.placeholder(shape=("n", 1))  # standardised progression

w1 = sf.Variable(sf.glorot_uniform((10, 16)))
b1 = sf.Variable(sf.zeros(16))
w2 = sf.Variable(sf.glorot_uniform((16, 1)))
b2 = sf.Variable(sf.zeros(1))

hidden = sf.tanh(x @ w1 + b1)
prediction = hidden @ w2 + b2

loss = sf.losses.mean_squared_error(y, prediction) + 0.01 * (sf.l2_loss(w1) + sf.l2_loss(w2))

rate = sf.train.exponential_decay(0.1, decay_steps=500, decay_rate=0.5)
train_op = sf.train.GradientDescentOptimizer(rate).minimize(loss)

__all__ = ["prediction"]
