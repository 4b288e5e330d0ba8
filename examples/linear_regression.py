"""Linear regression on one feature, as in the simpleflow article."""

import symflow as sf

x = sf.placeholder(shape=("n",))
y_ = sf.placeholder(shape=("n",))
w = sf.Variable([[1.0]])
b = sf.Variable(0.0)

y = x * w + b
loss = sf.reduce_sum(sf.square(y - y_))

train_op = sf.GradientDescentOptimizer(learning_rate=0.005).minimize(loss)
