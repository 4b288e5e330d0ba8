"""What a regressor and a classifier have in common: parameters, fitting, cloning, pickling."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from symflow.errors import SymflowError
from symflow.estimators.building import generated
from symflow.estimators.roles import Roles, roles, spread
from symflow.flat import flat
from symflow.modules import Generated

Array = NDArray[Any]
SOLVERS = ("descent", "lbfgs")


class ModuleEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """An estimator around a generated module. See `Regressor` and `Classifier`."""

    usual = ""  # the name of the function that predicts

    def __init__(
        self,
        model: Any = None,
        *,
        options: Any = None,
        features: Any = None,
        target: Any = None,
        output: Any = None,
        solver: str = "descent",
        steps: int = 1000,
        learning_rate: Any = None,
        tolerance: float = 0.0,
        batch_size: int | None = None,
        threads: int = 1,
        warm_start: bool = False,
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.options = options
        self.features = features
        self.target = target
        self.output = output
        self.solver = solver
        self.steps = steps
        self.learning_rate = learning_rate
        self.tolerance = tolerance
        self.batch_size = batch_size
        self.threads = threads
        self.warm_start = warm_start
        self.random_state = random_state

    @property
    def module_(self) -> ModuleType:
        """The generated module, imported."""
        check_is_fitted(self)
        module: ModuleType = self.generated_.module
        return module

    def _built(self, sizes: dict[str, int]) -> tuple[Generated, Roles]:
        """The module for data of these sizes, and what its inputs are for."""
        if self.solver not in SOLVERS:
            raise ValueError(f"solver: expected one of {SOLVERS}, got {self.solver!r}")
        made = generated(self.model, self.usual, self.options, sizes)
        return made, roles(made.module, self.features, self.target, self.output, self.usual)

    def _start(self, made: Generated, seed: int | None) -> Any:
        """The parameters to start from: the last ones after a warm start, if they fit."""
        start = made.module.initial_parameters(seed=seed)
        if not self.warm_start or not hasattr(self, "parameters_"):
            return start
        last = self.parameters_
        if {name: value.shape for name, value in last.items()} != {
            name: value.shape for name, value in start._asdict().items()
        }:
            raise ValueError("warm_start: the parameters have other names or shapes than last time")
        return type(start)(**last)

    def _seed(self) -> int | None:
        """A seed for the module; None is its own."""
        if self.random_state is None or isinstance(self.random_state, (int, np.integer)):
            return None if self.random_state is None else int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))

    def _trained(
        self, made: Generated, start: Any, seed: int | None, inputs: dict[str, Array]
    ) -> None:
        """Train, and keep what comes of it."""
        state = None
        if self.solver == "lbfgs":
            found, losses, count = self._minimized(made.module, start, inputs)
        elif not hasattr(made.module, "train"):
            raise SymflowError(
                f"{made.name} has no train",
                hint="minimize the loss in the model, or use solver='lbfgs'",
            )
        else:
            result = made.module.train(start, **inputs, **self._training(made.module, seed))
            found, losses, count = result.parameters, result.losses, result.steps
            state = getattr(result, "state", None)  # a module of an earlier symflow has none
        self.generated_ = made
        self.state_ = None if state is None else _plain(state)
        self.parameters_ = dict(found._asdict())
        self.losses_ = losses
        self.n_iter_ = count

    def _training(self, module: ModuleType, seed: int | None) -> dict[str, Any]:
        """Arguments of the module's `train`: those that it takes."""
        taken = inspect.signature(module.train).parameters
        wanted = {
            "steps": self.steps,
            "learning_rate": self.learning_rate,
            "tolerance": self.tolerance,
            "batch_size": self.batch_size,
            "seed": seed or 0,
            "threads": self.threads,
            "state": self._last_state(module),
        }
        if self.batch_size is not None and "batch_size" not in taken:
            raise SymflowError("batch_size: the module trains on all rows at once")
        return {
            name: value for name, value in wanted.items() if name in taken and value is not None
        }

    def _last_state(self, module: ModuleType) -> Any:
        """The state of the optimizer to go on from after a warm start; None to begin anew."""
        last = getattr(self, "state_", None)
        if not self.warm_start or last is None or set(last) != {*module.TrainingState._fields}:
            return None
        kept = {name: value for name, value in last.items() if name != "step"}
        parts = {name: module.Parameters(**value) for name, value in kept.items()}
        return module.TrainingState(step=last["step"], **parts)

    def _minimized(
        self, module: ModuleType, start: Any, inputs: dict[str, Array]
    ) -> tuple[Any, list[float], int]:
        """The parameters that L-BFGS finds, the losses on its way, and its iterations."""
        for name in ("batch_size", "learning_rate"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} is for solver='descent'")
        problem = flat(module, parameters=start, threads=self.threads, **inputs)
        losses: list[float] = []
        stop = {"gtol": self.tolerance, "ftol": 0.0} if self.tolerance > 0.0 else {}

        def note(vector: Array) -> None:
            losses.append(problem.fun(vector))

        result = minimize(
            problem.fun_and_jac,
            problem.x0,
            jac=True,
            method="L-BFGS-B",
            callback=note,
            options={"maxiter": self.steps, **stop},
        )
        return problem.parameters(result.x), losses, int(result.nit)

    def _output(self, X: Array) -> Array:
        """What the module computes for rows that have been checked."""
        module = self.generated_.module
        parameters = module.Parameters(**self.parameters_)
        inputs = spread(module, self.roles_.features, X)
        result: Array = getattr(module, self.roles_.output)(parameters, **inputs)
        return result

    def _checked(self, X: Any) -> Array:
        """X for a prediction, checked against what has been fitted."""
        check_is_fitted(self)
        checked: Array = validate_data(self, X, reset=False, dtype=[np.float64, np.float32])
        return checked

    # --- copies ----------------------------------------------------------------------------------

    def __sklearn_clone__(self) -> Any:
        """A clone with the same model: modules cannot be copied, and need not be."""
        bare = object.__new__(type(self))
        bare.__dict__.update(vars(self), model=None)
        fresh = super(ModuleEstimator, bare).__sklearn_clone__()
        fresh.model = self.model
        return fresh

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: a module that was given goes as its text."""
        state = dict(super().__getstate__())
        if isinstance(self.model, ModuleType):
            state["model"] = generated(self.model, "", None, {})
        return state


def _plain(state: Any) -> dict[str, Any]:
    """The state of an optimizer in types that can be pickled: arrays by name, and the step."""
    fields = state._asdict()
    step = fields.pop("step")
    return {"step": step, **{name: dict(value._asdict()) for name, value in fields.items()}}
