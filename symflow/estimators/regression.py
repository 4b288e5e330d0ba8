"""A scikit-learn regressor around a generated module."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data

from symflow.estimators.base import ModuleEstimator
from symflow.estimators.roles import spread

Array = NDArray[Any]


class Regressor(RegressorMixin, ModuleEstimator):  # type: ignore[misc]
    """A model that foretells numbers, as a scikit-learn estimator.

        def linear(n_features, n_outputs):
            x = sf.placeholder(shape=("n", n_features), name="x")
            y = sf.placeholder(shape=("n", n_outputs), name="y")
            w = sf.Variable(sf.zeros((n_features, n_outputs)), name="w")
            b = sf.Variable(sf.zeros(n_outputs), name="b")
            prediction = x @ w + b
            loss = sf.losses.mean_squared_error(y, prediction)
            sf.train.GradientDescentOptimizer(0.1).minimize(loss)
            return prediction

        Regressor(linear, steps=500).fit(X, y).predict(X)

    model          a generated module, its path, the path of a model file, or a factory: a function
                   that builds the graph, minimizes the loss and returns the prediction. `fit`
                   gives it n_features and n_outputs, the columns of X and y, if it has arguments
                   of these names, and compiles what it builds
    options        further arguments of a factory, by name
    features       the input, or inputs, that take the columns of X, in order. X is what the
                   prediction reads if this is None
    target         the input that takes y. It is the other input of the loss if this is None
    output         the function of the module that predicts; `prediction`, or the only one that
                   does not read y, if this is None
    solver         "descent", the model's own optimizer, or "lbfgs", SciPy's L-BFGS
    steps          updates, or iterations of L-BFGS, at most
    learning_rate  in place of the model's own; a number, or a function of the updates done
    tolerance      stop at this norm of the gradient (L-BFGS: at this largest entry; 0: where SciPy
                   would)
    batch_size     rows for each update; None for all
    threads        that work on blocks of rows side by side
    warm_start     whether `fit` goes on where the last one has ended, with the parameters and what
                   the optimizer keeps, such as Adam's moments; `steps` is how many more
    random_state   for the initial parameters and the order of rows; None is the model's own seed

    After `fit` there are `parameters_`, arrays by name; `losses_`, before each update or after
    each iteration; `n_iter_`; `state_`, what the optimizer keeps; `generated_`, whose `text` is
    the source of the module; and `module_`, the module. `fit` raises SymflowError where the model
    is none that it can use, ValueError where the data do not fit it, FloatingPointError where the
    loss is not finite.
    """

    usual = "prediction"

    def fit(self, X: Any, y: Any) -> Regressor:
        """Train on rows X (n, n_features) and numbers y (n,) or (n, n_outputs)."""
        X, y = validate_data(
            self, X, y, dtype=[np.float64, np.float32], multi_output=True, y_numeric=True
        )
        table = np.reshape(y, (len(y), -1))
        made, found = self._built({"n_features": X.shape[1], "n_outputs": table.shape[1]})
        inputs = spread(made.module, (*found.features,), X)
        inputs |= spread(made.module, (found.target,), table)
        seed = self._seed()
        self._trained(made, self._start(made, seed), seed, inputs)
        self.roles_ = found
        self._shape = y.shape[1:]
        return self

    def predict(self, X: Any) -> Array:
        """The numbers foretold for rows X (n, n_features), in the shape that y had."""
        result = self._output(self._checked(X))
        return result.reshape(len(result), *self._shape)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
