"""W3: logistic regression on 64 features."""

import symflow as sf

x = sf.placeholder(shape=("n", 64))
y = sf.placeholder(shape=("n",))  # 0 or 1

w = sf.Variable(sf.random_normal((64,), stddev=0.1))
b = sf.Variable(0.0)

logits = x @ w + b
probability = sf.sigmoid(logits)

cross_entropy = sf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=logits)
loss = sf.reduce_mean(cross_entropy)

train_op = sf.train.GradientDescentOptimizer(1.0).minimize(loss)

__all__ = ["probability"]
