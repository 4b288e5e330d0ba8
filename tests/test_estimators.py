"""scikit-learn estimators: its own checks of estimators, and its tools used with ours."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from factories import classifying_perceptron, linear, logistic, perceptron, softmax
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import symflow as sf
from symflow.errors import SymflowError
from symflow.estimators import Classifier, Regressor

CHECKED = {
    "linear": Regressor(linear, steps=200),
    "perceptron": Regressor(perceptron, steps=300, options={"hidden": 4}),
    "linear by L-BFGS": Regressor(linear, solver="lbfgs"),
    "linear at a fixed rate": Regressor(linear, options={"rate": 0.1}, steps=200),
    "softmax": Classifier(softmax, steps=100),
    "perceptron by batches": Classifier(classifying_perceptron, steps=100, batch_size=8),
    "logistic by L-BFGS": Classifier(logistic, solver="lbfgs"),
}

UNSCALED = "plain descent at a fixed rate diverges on features that are not scaled"
FAILING = {
    "linear at a fixed rate": {
        "check_fit2d_1sample": UNSCALED,
        "check_fit_check_is_fitted": UNSCALED,
        "check_fit_idempotent": UNSCALED,
        "check_n_features_in": UNSCALED,
    }
}
"""The checks that do not apply to an estimator, and why."""


def own_checks() -> Iterator[Any]:
    """scikit-learn's checks of every estimator, under names that are the same in every process."""
    for name, estimator in CHECKED.items():
        for one, check in estimator_checks_generator(estimator):
            called = check.func.__name__
            reason = FAILING.get(name, {}).get(called)
            marks = [pytest.mark.xfail(reason=reason)] if reason else []
            yield pytest.param(one, check, id=f"{name}-{called}", marks=marks)


@pytest.mark.parametrize(("estimator", "check"), list(own_checks()))
def test_scikit_learns_own_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


# --- what it computes ----------------------------------------------------------------------------


@pytest.fixture
def rows() -> Any:
    """Features (60, 3) and numbers (60, 2) that are nearly linear in them."""
    random = np.random.default_rng(1)
    X = random.normal(size=(60, 3))
    return X, X @ random.normal(size=(3, 2)) + [1.0, -2.0] + 0.1 * random.normal(size=(60, 2))


@pytest.mark.parametrize("solver", ["descent", "lbfgs"])
def test_a_linear_model_finds_the_least_squares(rows: Any, solver: str) -> None:
    X, y = rows
    ours = Regressor(linear, solver=solver, steps=300, tolerance=1e-9).fit(X, y)
    theirs = LinearRegression().fit(X, y)
    assert_allclose(ours.parameters_["w"], theirs.coef_.T, atol=1e-6)
    assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-6)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y))
    assert 0 < ours.n_iter_ < 300
    assert ours.losses_[-1] < ours.losses_[0]


def test_a_prediction_has_the_shape_of_y(rows: Any) -> None:
    X, y = rows
    for one in (y, y[:, :1], y[:, 0]):
        assert Regressor(linear, steps=5).fit(X, one).predict(X).shape == one.shape


def test_logistic_regression_finds_the_maximum_of_the_likelihood(breast_cancer: Any) -> None:
    X, y = breast_cancer[0][0][:, :3], np.where(breast_cancer[0][1] > 0.5, "benign", "malignant")
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(X, y)
    for factory in (logistic, softmax):
        ours = Classifier(factory, solver="lbfgs", tolerance=1e-8).fit(X, y)
        assert list(ours.classes_) == ["benign", "malignant"]
        assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)
        assert_array_equal(ours.predict(X), theirs.predict(X))


def test_the_random_state_decides_the_start_and_the_batches(rows: Any) -> None:
    X, y = rows

    def fitted(state: Any) -> Any:
        one = Regressor(perceptron, steps=20, batch_size=10, random_state=state)
        return one.fit(X, y).parameters_["w1"]

    assert_array_equal(fitted(3), fitted(3))
    assert_array_equal(fitted(np.random.RandomState(3)), fitted(np.random.RandomState(3)))
    assert not np.allclose(fitted(3), fitted(4))
    assert not np.allclose(fitted(0), fitted(np.random.RandomState(0)))


@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize("factory", [linear, perceptron])
def test_a_warm_start_goes_on_as_if_it_had_not_ended(
    rows: Any, factory: Callable[..., Any], batch_size: int | None
) -> None:
    X, y = rows
    whole = Regressor(factory, steps=20, batch_size=batch_size).fit(X, y)
    part = Regressor(factory, steps=10, batch_size=batch_size, warm_start=True).fit(X, y)
    parted = pickle.loads(pickle.dumps(part)).fit(X, y)
    for name, value in whole.parameters_.items():
        assert_array_equal(parted.parameters_[name], value)
    assert part.losses_ + parted.losses_ == whole.losses_
    again = parted.set_params(warm_start=False).fit(X, y)
    assert again.losses_ == part.losses_


def test_a_warm_start_after_another_solver(rows: Any) -> None:
    X, y = rows
    estimator = Regressor(perceptron, solver="lbfgs", steps=100, warm_start=True).fit(X, y)
    value = estimator.losses_[-1]
    estimator.set_params(solver="descent", learning_rate=1e-6, steps=1).fit(X, y)
    assert estimator.losses_[0] == pytest.approx(value)


def test_a_warm_start_with_other_data_is_an_error(rows: Any) -> None:
    X, y = rows
    estimator = Regressor(linear, steps=5, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="other names or shapes than last time"):
        estimator.fit(X, y[:, 0])
    classes = Classifier(softmax, steps=5, warm_start=True).fit(X, y[:, 0] > 0)
    with pytest.raises(ValueError, match="the classes are others than last time"):
        classes.fit(X, np.where(y[:, 0] > 0, "a", "b"))


def test_the_module_and_its_source_are_there(rows: Any) -> None:
    X, y = rows
    fitted = Regressor(linear, steps=5).fit(X, y)
    assert fitted.generated_.text.startswith('"""Linear regression; by line search')
    parameters = fitted.module_.Parameters(**fitted.parameters_)
    assert_array_equal(fitted.module_.prediction(parameters, X), fitted.predict(X))


# --- modules and files ---------------------------------------------------------------------------


def test_a_generated_module(diabetes: Any, generated: Callable[[str], ModuleType]) -> None:
    module = generated("mlp_regression")
    X, y = diabetes[0]
    fitted = Regressor(module, steps=100).fit(X, y)
    result = module.train(module.initial_parameters(), X, y, steps=100)
    assert_array_equal(fitted.predict(X), module.prediction(result.parameters, X))
    assert fitted.losses_ == result.losses


@pytest.mark.parametrize("path", ["examples/digits.py", "generated/digits.py"])
def test_paths_of_models_and_modules(digits: Any, path: str) -> None:
    (X, y), (held_X, held_y) = digits
    fitted = Classifier(ROOT / path, steps=100).fit(X, y)
    assert fitted.score(held_X, held_y) > 0.85
    assert_allclose(fitted.predict_proba(X).sum(axis=1), 1.0, rtol=1e-5)
    assert fitted.parameters_["w1"].dtype == np.float32


def test_columns_take_the_shape_of_the_input(
    digits: Any, generated: Callable[[str], ModuleType]
) -> None:
    X, y = digits[0]
    fitted = Classifier(generated("digits_cnn"), steps=5).fit(X, y)
    assert len(fitted.module_.INPUTS[fitted.roles_.features[0]]) > 2
    assert fitted.predict_proba(X[:7]).shape == (7, 10)


def test_a_vector_is_one_column(
    linear_regression: Any, generated: Callable[[str], ModuleType]
) -> None:
    x, y, printed = linear_regression
    fitted = Regressor(generated("linear_regression"), steps=20).fit(x[:, None], y)
    assert_allclose(fitted.losses_, printed["loss"], rtol=1e-9)
    with pytest.raises(ValueError, match="x: expected 1 columns, got 2"):
        fitted.fit(np.stack([x, x], axis=1), y)


TWO_INPUTS = """\
import symflow as sf

k = sf.placeholder(sf.int64, ("n",))
a = sf.placeholder(shape=("n", 2))
y = sf.placeholder(shape=("n",))
base = sf.Variable(sf.zeros(3))
w = sf.Variable(sf.zeros(2))
level = sf.gather(base, k)
prediction = level + sf.reduce_sum(a * w, axis=1)
error = prediction - y
loss = sf.reduce_mean(sf.square(error))
"""


def test_several_inputs_take_columns_in_order(compiled: Callable[[str], ModuleType]) -> None:
    module = compiled(TWO_INPUTS)
    random = np.random.default_rng(0)
    k, a = random.integers(0, 3, 50), random.normal(size=(50, 2))
    y = np.array([1.0, 2.0, 3.0])[k] + a @ [0.5, -0.5]
    fitted = Regressor(module, solver="lbfgs").fit(np.column_stack([k, a]), y)
    assert_allclose(fitted.parameters_["base"], [1.0, 2.0, 3.0], atol=1e-3)
    assert_allclose(fitted.parameters_["w"], [0.5, -0.5], atol=1e-3)
    turned = Regressor(module, features=("a", "k"), solver="lbfgs").fit(np.column_stack([a, k]), y)
    assert_allclose(turned.parameters_["w"], fitted.parameters_["w"], atol=1e-3)
    with pytest.raises(ValueError, match="k: expected whole numbers"):
        fitted.fit(np.column_stack([k + 0.5, a]), y)
    with pytest.raises(SymflowError, match="model has no train\n    hint: minimize"):
        Regressor(module).fit(np.column_stack([k, a]), y)


# --- scikit-learn's tools ------------------------------------------------------------------------


def test_a_grid_search_over_a_pipeline(rows: Any) -> None:
    X, y = rows
    pipeline = make_pipeline(StandardScaler(), Regressor(perceptron, steps=50))
    grid = {
        "regressor__options": [{"hidden": 2}, {"hidden": 6}],
        "regressor__learning_rate": [None, 0.001],
    }
    search = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    assert search.best_params_["regressor__learning_rate"] is None
    assert search.best_score_ > 0.8
    width = search.best_estimator_[-1].parameters_["w1"].shape[1]
    assert width == search.best_params_["regressor__options"]["hidden"]


def test_cross_validation_of_a_module_in_processes(
    breast_cancer: Any, generated: Callable[[str], ModuleType]
) -> None:
    X, y = breast_cancer[0]
    estimator = Classifier(generated("logistic_regression"), steps=30)
    assert np.mean(cross_val_score(estimator, X, y, n_jobs=2)) > 0.95


@pytest.mark.parametrize("fitted", [False, True])
def test_pickles_hold_the_module(
    diabetes: Any, compiled: Callable[[str], ModuleType], fitted: bool
) -> None:
    X, y = diabetes[0]
    module = compiled((ROOT / "examples" / "mlp_regression.py").read_text())
    estimator = Regressor(module, steps=10)
    if fitted:
        estimator.fit(X, y)
    pickled = pickle.dumps(estimator)
    Path(module.__file__ or "").unlink()
    loaded = pickle.loads(pickled)
    if not fitted:
        loaded.fit(X, y)
        estimator = loaded
    assert_array_equal(loaded.predict(X), estimator.predict(X))
    assert repr(loaded) == "Regressor(model=Generated(name='model'), steps=10)"
    assert clone(loaded).fit(X, y).n_iter_ == 10


def test_a_clone_has_the_same_module(generated: Callable[[str], ModuleType]) -> None:
    module = generated("mlp_regression")
    estimator = Regressor(module, steps=7, options={})
    copy = clone(estimator)
    assert copy.model is module
    assert copy.get_params() == estimator.get_params()
    assert copy.options is not estimator.options


def test_names_of_features_are_kept(rows: Any) -> None:
    X, y = rows
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    fitted = Regressor(linear, steps=5).fit(frame, y)
    assert list(fitted.feature_names_in_) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(frame[["b", "a", "c"]])


def test_a_factory_may_be_any_function(rows: Any) -> None:
    X, y = rows
    fitted = Regressor(partial(perceptron, hidden=3), steps=5).fit(X, y)
    assert fitted.parameters_["w1"].shape == (3, 3)
    assert fitted.generated_.name == "perceptron"
    local = Regressor(lambda **sizes: linear(**sizes), steps=5).fit(X, y)
    assert local.generated_.name == "model"


# --- mistakes ------------------------------------------------------------------------------------


def no_tensor(n_features: int) -> None:
    sf.placeholder(shape=("n", n_features), name="x")


def no_loss(n_features: int) -> sf.Tensor:
    return 2.0 * sf.placeholder(shape=("n", n_features), name="x")


def no_probability(n_features: int, n_classes: int) -> sf.Tensor:
    return 10.0 + softmax(n_features, n_classes)


def no_target(n_features: int) -> sf.Tensor:
    x = sf.placeholder(shape=("n", n_features), name="x")
    prediction = x @ sf.Variable(sf.zeros(n_features), name="w")
    sf.train.GradientDescentOptimizer(0.1).minimize(sf.reduce_sum(prediction))
    return prediction


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (Regressor(), "model: expected a generated module, a path or a function .* got None"),
        (Regressor("gone.py"), "gone.py: No such file"),
        (Regressor(np), "numpy is no generated module with a loss"),
        (Regressor(no_tensor), r"test_estimators.py:\d+: no_tensor returns NoneType, no tensor"),
        (Regressor(no_loss), r"test_estimators.py:\d+: no_loss minimizes nothing\n    def no_loss"),
        (Regressor(no_target), "The loss reads x; prediction reads x\n    hint: "),
        (
            Classifier(no_probability),
            r"probability gives no probabilities.*\n    hint: sf.softmax\(logits\)",
        ),
        (Regressor(linear, output="w"), "output: 'w' is none of prediction"),
        (Regressor(linear, features="z"), "the inputs of the loss are x, y; 'z' is none"),
        (Regressor(linear, target="z"), "the inputs of the loss are x, y; 'z' is none"),
        (Regressor(ROOT / "examples" / "digits.py", options={"a": 1}), "options are for a factory"),
        (Regressor(ROOT / "generated" / "lstm.py", output="probability"), r"rows come first"),
        (
            Regressor(ROOT / "generated" / "rosenbrock.py"),
            "The loss reads nothing; there is no other function",
        ),
    ],
)
def test_a_model_that_cannot_be_used(estimator: Any, message: str) -> None:
    X = np.arange(8.0).reshape(4, 2)
    with pytest.raises(SymflowError, match=message):
        estimator.fit(X, [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (Classifier(logistic), "tells 2 classes apart, and y has 3"),
        (Classifier(ROOT / "generated" / "digits.py"), "expected 64 columns, got 2"),
        (Regressor(linear, solver="newton"), "solver: expected one of .* got 'newton'"),
        (Regressor(linear, solver="lbfgs", batch_size=2), "batch_size is for solver='descent'"),
        (Regressor(linear, batch_size=9), "batch_size: expected 1 to 4, got 9"),
        (Regressor(linear, steps=-1), "steps"),
    ],
)
def test_data_or_arguments_that_do_not_fit(estimator: Any, message: str) -> None:
    X = np.arange(8.0).reshape(4, 2)
    with pytest.raises(ValueError, match=message):
        estimator.fit(X, [0, 1, 0, 2])


def test_which_function_predicts_must_be_clear(compiled: Callable[[str], ModuleType]) -> None:
    module = compiled(TWO_INPUTS.replace("prediction", "told"))
    X, y = np.zeros((4, 3)), np.arange(4.0)
    message = "level reads k; told reads k, a\n    hint: call .* prediction, or give output="
    with pytest.raises(SymflowError, match=message):
        Regressor(module, solver="lbfgs").fit(X, y)
    assert Regressor(module, solver="lbfgs", output="told").fit(X, y).roles_.target == "y"
    with pytest.raises(SymflowError, match="level reads k, the loss k, a, y"):
        Regressor(module, solver="lbfgs", output="level").fit(X, y)


def test_without_scikit_learn_one_line_tells_how_to_get_it() -> None:
    code = "import sys; sys.modules['sklearn'] = None; import symflow.estimators"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: symflow.estimators needs scikit-learn; "
        "hint: pip install 'symflow[sklearn]'"
    )
