"""W6: ADBench's Gaussian mixture, 50 components in 64 dimensions, as its formula stands on paper.

The inverse covariance of component k is L_k L_kᵀ, where L_k has exp(log_diagonal[k]) on its
diagonal and lower[k] below it, column by column. A Wishart prior holds the covariances.
"""

import math

import numpy as np

import symflow as sf

D, K = 64, 50
GAMMA, M = 1.0, 0  # of the prior

_column, _row = np.triu_indices(D, 1)
_below = np.stack([_row, _column], axis=1)  # where each entry of a row of `lower` stands

x = sf.placeholder(shape=("n", D))

alphas = sf.Variable(sf.random_normal((K,)))
means = sf.Variable(sf.random_uniform((K, D), 0.0, 1.0))
log_diagonal = sf.Variable(sf.random_normal((K, D)))
lower = sf.Variable(sf.random_normal((K, D * (D - 1) // 2)))

_triangles = sf.scatter_nd(_below, sf.transpose(lower), (D, D, K))
factors = sf.matrix_diag(sf.exp(log_diagonal)) + sf.transpose(_triangles, (2, 0, 1))
whitened = sf.einsum("kij,nkj->nki", factors, x[:, None, :] - means)
distances = sf.reduce_sum(sf.square(whitened), axis=2)
exponents = alphas + sf.reduce_sum(log_diagonal, axis=1) - 0.5 * distances

log_weights = sf.reduce_logsumexp(alphas)
log_density = sf.reduce_logsumexp(exponents, axis=1) - log_weights - 0.5 * D * math.log(2 * math.pi)

_degrees = D + M + 1
_log_gamma = 0.25 * D * (D - 1) * math.log(math.pi) + sum(
    math.lgamma(0.5 * (_degrees + 1 - j)) for j in range(1, D + 1)
)
_constant = _degrees * D * (math.log(GAMMA) - 0.5 * math.log(2)) - _log_gamma
squares = sf.reduce_sum(sf.exp(2 * log_diagonal)) + sf.reduce_sum(sf.square(lower))
log_prior = 0.5 * GAMMA**2 * squares - M * sf.reduce_sum(log_diagonal) - K * _constant

loss = -(sf.reduce_sum(log_density) + log_prior)

train_op = sf.train.GradientDescentOptimizer(1e-6).minimize(loss)

__all__ = ["log_density"]
