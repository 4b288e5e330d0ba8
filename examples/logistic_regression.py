"""Logistic regression: is a breast mass benign, from 30 measurements of its cell nuclei?"""

import symflow as sf

x = sf.placeholder(shape=("n", 30))  # standardised measurements
y = sf.placeholder(shape=("n",))  # 1 for benign, 0 for malignant

w = sf.Variable(sf.zeros(30))
b = sf.Variable(0.0)

logits = x @ w + b
probability = sf.sigmoid(logits)

cross_entropy = sf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=logits)
loss = sf.reduce_mean(cross_entropy) + 0.01 * sf.l2_loss(w)

train_op = sf.train.GradientDescentOptimizer(sf.train.backtracking_line_search(4.0)).minimize(loss)

__all__ = ["probability"]
