"""W4: a small classifier, 64-32-10, in float32."""

import symflow as sf

x = sf.placeholder(sf.float32, ("n", 64))
y = sf.placeholder(sf.float32, ("n", 10))  # one-hot

w1 = sf.Variable(sf.glorot_uniform((64, 32)))
b1 = sf.Variable(sf.zeros(32))
w2 = sf.Variable(sf.glorot_uniform((32, 10)))
b2 = sf.Variable(sf.zeros(10))

hidden = sf.relu(x @ w1 + b1)
logits = hidden @ w2 + b2

loss = sf.reduce_mean(sf.nn.softmax_cross_entropy_with_logits(labels=y, logits=logits))

train_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)

__all__ = ["logits"]
