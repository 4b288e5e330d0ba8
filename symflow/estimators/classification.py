"""A scikit-learn classifier around a generated module."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from symflow.errors import SymflowError
from symflow.estimators.base import ModuleEstimator
from symflow.estimators.building import accepted, is_factory
from symflow.estimators.roles import columns, spread

Array = NDArray[Any]


class Classifier(ClassifierMixin, ModuleEstimator):  # type: ignore[misc]
    """A model that tells classes apart, as a scikit-learn estimator.

        def softmax(n_features, n_classes):
            x = sf.placeholder(shape=("n", n_features), name="x")
            y = sf.placeholder(sf.int64, shape=("n",), name="y")
            w = sf.Variable(sf.zeros((n_features, n_classes)), name="w")
            b = sf.Variable(sf.zeros(n_classes), name="b")
            logits = x @ w + b
            labels = sf.one_hot(y, n_classes)
            entropy = sf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits)
            sf.train.GradientDescentOptimizer(0.1).minimize(sf.reduce_mean(entropy))
            return sf.softmax(logits)

        Classifier(softmax, steps=500).fit(X, y).predict_proba(X)

    The arguments and what there is after `fit` are those of `Regressor`, but that

    model          as a factory is given n_features and n_classes, and returns the probability of
                   each class (n, n_classes); or, for two classes, that of the second: (n,), (n, 1)
    output         is `probability` in place of `prediction`

    Classes are numbers in their sorted order: the input that takes y is given these numbers if it
    has one column or none, and ones and zeros if it has a column for each class. `classes_` are
    the classes.
    """

    usual = "probability"

    def fit(self, X: Any, y: Any) -> Classifier:
        """Train on rows X (n, n_features) and classes y (n,), of any kind that sorts."""
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y has one class only, {classes[0]!r}; a classifier needs two")
        made, found = self._built({"n_features": X.shape[1], "n_classes": len(classes)})
        inputs = spread(made.module, found.features, X)
        inputs |= spread(
            made.module, (found.target,), _encoded(made.module, found.target, codes, len(classes))
        )
        seed = self._seed()
        start = self._start(made, seed)
        if self.warm_start and not np.array_equal(getattr(self, "classes_", classes), classes):
            raise ValueError("warm_start: the classes are others than last time")
        rows = {name: value for name, value in inputs.items() if name in found.features}
        _check_probabilities(
            found.output, getattr(made.module, found.output)(start, **rows), len(classes)
        )
        self._trained(made, start, seed, inputs)
        self.roles_ = found
        self.classes_ = classes
        return self

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, (n, n_classes), for rows X (n, n_features)."""
        result = self._output(self._checked(X))
        result = result.reshape(len(result), -1)
        return np.hstack([1.0 - result, result]) if result.shape[1] == 1 else result

    def predict(self, X: Any) -> Array:
        """The most probable class of each row."""
        best: Array = np.argmax(self.predict_proba(X), axis=1)
        found: Array = self.classes_[best]
        return found

    def __sklearn_tags__(self) -> Any:
        """A factory that does not ask how many classes there are tells two apart."""
        tags = super().__sklearn_tags__()
        if is_factory(self.model):
            tags.classifier_tags.multi_class = bool(accepted(self.model, {"n_classes": 2}))
        return tags


def _encoded(module: ModuleType, target: str, codes: Array, count: int) -> Array:
    """Classes as the target takes them: numbers in one column, or a column for each class."""
    taken = columns(module, target)
    if taken == 1:
        return codes.reshape(-1, 1)
    if taken not in (None, count):
        raise ValueError(f"{target} has {taken} columns, and y has {count} classes")
    return np.eye(count)[codes]


def _check_probabilities(name: str, values: Array, count: int) -> None:
    """Whether what the module calls probabilities are some, before it is trained."""
    table = values.reshape(len(values), -1)
    told = max(table.shape[1], 2)
    if told != count:
        kind = ""
        if told == 2:  # scikit-learn asks for these words
            kind = "Only binary classification is supported. The type of the target is multiclass: "
        raise ValueError(f"{kind}{name} tells {told} classes apart, and y has {count}")
    total = np.sum(table, axis=1) if table.shape[1] > 1 else 1.0
    if not (np.all(table >= 0.0) and np.all(table <= 1.0) and np.allclose(total, 1.0, atol=1e-3)):
        hint = "softmax" if table.shape[1] > 1 else "sigmoid"
        raise SymflowError(
            f"{name} gives no probabilities, which lie between 0 and 1 and add up to 1",
            hint=f"sf.{hint}(logits)",
        )
