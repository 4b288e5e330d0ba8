"""An LSTM (Hochreiter and Schmidhuber 1997) that reads handwritten digits row by row."""

import symflow as sf

pixels = sf.placeholder(sf.float32, ("t", "n", 8))  # of pixels from 0 to 1, top to bottom
digit = sf.placeholder(sf.int64, ("n",))

w = sf.Variable(sf.glorot_uniform((8, 128)))
u = sf.Variable(sf.glorot_uniform((32, 128)))
b = sf.Variable(sf.zeros(128))
w_out = sf.Variable(sf.glorot_uniform((32, 10)))
b_out = sf.Variable(sf.zeros(10))


def cell(state, row):
    """Input, forget and output gate, and what is written, from one product."""
    h, c = state
    z = row @ w + h @ u + b
    i = sf.sigmoid(z[:, :32])
    f = sf.sigmoid(z[:, 32:64] + 1.0)
    o = sf.sigmoid(z[:, 64:96])
    g = sf.tanh(z[:, 96:])
    c = f * c + i * g
    h = o * sf.tanh(c)
    return h, c


empty = sf.broadcast_to(0.0, ("n", 32))
states, cells = sf.scan(cell, pixels, (empty, empty))

logits = states[-1] @ w_out + b_out
probability = sf.softmax(logits)

cross_entropy = sf.nn.softmax_cross_entropy_with_logits(labels=sf.one_hot(digit, 10), logits=logits)
loss = sf.reduce_mean(cross_entropy)

train_op = sf.train.AdamOptimizer(0.01).minimize(loss)

__all__ = ["probability", "states"]
