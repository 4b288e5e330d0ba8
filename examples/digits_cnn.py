"""A small convolutional network that reads handwritten digits of 8 × 8 pixels."""

import symflow as sf

pixels = sf.placeholder(sf.float32, ("n", 8, 8, 1), name="pixels")  # 0 to 1
digit = sf.placeholder(sf.int64, ("n",), name="digit")

filters = sf.Variable(sf.glorot_uniform((3, 3, 1, 16)))
b1 = sf.Variable(sf.zeros(16))
w2 = sf.Variable(sf.glorot_uniform((4 * 4 * 16, 10)))
b2 = sf.Variable(sf.zeros(10))

features = sf.relu(sf.nn.conv2d(pixels, filters, strides=1, padding="SAME") + b1)
pooled = sf.nn.max_pool(features, ksize=2, strides=2, padding="VALID")
logits = sf.reshape(pooled, ("n", 4 * 4 * 16)) @ w2 + b2
probability = sf.softmax(logits)

cross_entropy = sf.nn.softmax_cross_entropy_with_logits(labels=sf.one_hot(digit, 10), logits=logits)
loss = sf.reduce_mean(cross_entropy)

train_op = sf.train.AdamOptimizer(0.005).minimize(loss)

__all__ = ["probability"]
