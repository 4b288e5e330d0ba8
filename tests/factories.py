"""Functions that build graphs for as many features as there are, for the estimators' tests."""

from __future__ import annotations

import symflow as sf


def linear(n_features: int, n_outputs: int, rate: float | None = None) -> sf.Tensor:
    """Linear regression; by line search, or at a fixed rate."""
    x = sf.placeholder(shape=("n", n_features), name="x")
    y = sf.placeholder(shape=("n", n_outputs), name="y")
    w = sf.Variable(sf.zeros((n_features, n_outputs)), name="w")
    b = sf.Variable(sf.zeros(n_outputs), name="b")
    prediction = x @ w + b
    loss = sf.losses.mean_squared_error(y, prediction)
    search = sf.train.backtracking_line_search(1.0)
    sf.train.GradientDescentOptimizer(rate or search).minimize(loss)
    return prediction


def perceptron(n_features: int, n_outputs: int, hidden: int = 8) -> sf.Tensor:
    """A perceptron with one hidden layer, by Adam."""
    x = sf.placeholder(shape=("n", n_features), name="x")
    y = sf.placeholder(shape=("n", n_outputs), name="y")
    prediction = layers(x, n_features, hidden, n_outputs)
    sf.train.AdamOptimizer(0.05).minimize(sf.losses.mean_squared_error(y, prediction))
    return prediction


def softmax(n_features: int, n_classes: int) -> sf.Tensor:
    """Multinomial logistic regression; the target is a class."""
    x = sf.placeholder(shape=("n", n_features), name="x")
    y = sf.placeholder(sf.int64, ("n",), name="y")
    w = sf.Variable(sf.zeros((n_features, n_classes)), name="w")
    b = sf.Variable(sf.zeros(n_classes), name="b")
    logits = x @ w + b
    labels = sf.one_hot(y, n_classes)
    entropy = sf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    sf.train.GradientDescentOptimizer(0.1).minimize(sf.reduce_mean(entropy))
    return sf.softmax(logits)


def classifying_perceptron(n_features: int, n_classes: int, hidden: int = 8) -> sf.Tensor:
    """A perceptron; the target has a column for each class."""
    x = sf.placeholder(shape=("n", n_features), name="x")
    y = sf.placeholder(shape=("n", n_classes), name="y")
    logits = layers(x, n_features, hidden, n_classes)
    entropy = sf.nn.softmax_cross_entropy_with_logits(labels=y, logits=logits)
    sf.train.AdamOptimizer(0.05).minimize(sf.reduce_mean(entropy))
    return sf.softmax(logits)


def logistic(n_features: int) -> sf.Tensor:
    """Logistic regression of two classes, by the probability of the second."""
    x = sf.placeholder(shape=("n", n_features), name="x")
    y = sf.placeholder(shape=("n",), name="y")
    w = sf.Variable(sf.zeros(n_features), name="w")
    b = sf.Variable(0.0, name="b")
    logits = x @ w + b
    entropy = sf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=logits)
    sf.train.GradientDescentOptimizer(0.1).minimize(sf.reduce_mean(entropy))
    return sf.sigmoid(logits)


def layers(x: sf.Tensor, inside: int, hidden: int, outside: int) -> sf.Tensor:
    """Two layers with tanh between them."""
    w1 = sf.Variable(sf.glorot_uniform((inside, hidden)), name="w1")
    b1 = sf.Variable(sf.zeros(hidden), name="b1")
    w2 = sf.Variable(sf.glorot_uniform((hidden, outside)), name="w2")
    b2 = sf.Variable(sf.zeros(outside), name="b2")
    return sf.tanh(x @ w1 + b1) @ w2 + b2
