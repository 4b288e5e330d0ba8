"""A perceptron that reads handwritten digits of 8 × 8 pixels."""

import symflow as sf

pixels = sf.placeholder(sf.float32, ("n", 64), name="pixels")  # 0 to 1
digit = sf.placeholder(sf.int64, ("n",), name="digit")

w1 = sf.Variable(sf.glorot_uniform((64, 32)))
b1 = sf.Variable(sf.zeros(32))
w2 = sf.Variable(sf.glorot_uniform((32, 10)))
b2 = sf.Variable(sf.zeros(10))

hidden = sf.relu(pixels @ w1 + b1)
logits = hidden @ w2 + b2
probability = sf.softmax(logits)

cross_entropy = sf.nn.softmax_cross_entropy_with_logits(labels=sf.one_hot(digit, 10), logits=logits)
loss = sf.reduce_mean(cross_entropy)

train_op = sf.train.GradientDescentOptimizer(0.5).minimize(loss)

__all__ = ["probability"]
