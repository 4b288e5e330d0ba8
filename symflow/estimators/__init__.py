"""scikit-learn estimators around generated modules. They need scikit-learn.

    from symflow.estimators import Classifier, Regressor

A model is a generated module, the path of one or of a model file, or a factory: a function that
builds the graph for the number of features in the data, and is compiled in memory by `fit`.
"""

from __future__ import annotations

try:
    import sklearn  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "sklearn":
        raise
    raise ModuleNotFoundError(
        "symflow.estimators needs scikit-learn; hint: pip install 'symflow[sklearn]'",
        name="sklearn",
    ) from None

from symflow.estimators.classification import Classifier
from symflow.estimators.regression import Regressor

__all__ = ["Classifier", "Regressor"]
