"""W4: a classifier of images, 784-256-128-10, in float32."""

import symflow as sf

x = sf.placeholder(sf.float32, ("n", 784))
y = sf.placeholder(sf.float32, ("n", 10))  # one-hot

w1 = sf.Variable(sf.glorot_uniform((784, 256)))
b1 = sf.Variable(sf.zeros(256))
w2 = sf.Variable(sf.glorot_uniform((256, 128)))
b2 = sf.Variable(sf.zeros(128))
w3 = sf.Variable(sf.glorot_uniform((128, 10)))
b3 = sf.Variable(sf.zeros(10))

hidden1 = sf.relu(x @ w1 + b1)
hidden2 = sf.relu(hidden1 @ w2 + b2)
logits = hidden2 @ w3 + b3

loss = sf.reduce_mean(sf.nn.softmax_cross_entropy_with_logits(labels=y, logits=logits))

train_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)

__all__ = ["logits"]
