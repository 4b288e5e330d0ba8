"""Pictures of a run: its losses, and, where there are few numbers to show, what was fitted and how.

    losses   always
    fit      of one input per row and one value: the data, and what is predicted around them
    descent  of one parameter that is a number: the loss above it, and the steps along it;
             of two: the loss as a map, and the path across it

`figure` returns the Figure, so that it can be tested, or shown in a notebook.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from symflow.errors import SymflowError
from symflow.fitting.checkpoints import Checkpoint
from symflow.fitting.modules import Module, row_axes, row_count
from symflow.fitting.run import Plan, loss_on
from symflow.writing import write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[Any]
Panel = Callable[["Axes"], None]

BLUE, ORANGE, GREY, PALE = "#2563a8", "#d1495b", "#6b7280", "#b9cbe3"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that pictures are the same everywhere
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titlelocation": "left",
    "axes.labelcolor": "#374151",
    "axes.edgecolor": "#9ca3af",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "svg.hashsalt": "symflow",
    "path.simplify": True,
}
GRID = 81
"""Points of the map of a loss, along each side."""

MANY = 2000
"""Points of the data that are drawn; of more, as many are taken evenly."""

KINDS = (".png", ".svg", ".pdf")


def check_drawable(path: Path) -> None:
    """Raise SymflowError where there would be no picture, before a long training."""
    if path.suffix.lower() not in KINDS:
        raise SymflowError(f"--plot {path}: a picture is {', '.join(KINDS)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError)
        raise SymflowError(
            "--plot: pictures are drawn by matplotlib, which "
            f"{'is not installed' if missing else f'cannot be imported: {error}'}; "
            "hint: pip install 'symflow[plot]'"
        ) from None


def draw(path: Path, plan: Plan, run: Checkpoint) -> None:
    """Write the picture of a run; an existing file is replaced at once or not at all."""
    kind = path.suffix.lower().removeprefix(".")
    undated = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    content = io.BytesIO()
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure(plan, run).savefig(content, format=kind, dpi=144, metadata=undated[kind])
    write({path: content.getvalue()})


def figure(plan: Plan, run: Checkpoint) -> Figure:
    """All panels that a run has something to show in, side by side."""
    import matplotlib
    from matplotlib.figure import Figure

    panels = [one for one in (_losses(plan, run), _fit(plan, run), _descent(plan, run)) if one]
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(0.6 + 4.6 * len(panels), 3.9), layout="constrained")
        for at, panel in enumerate(panels):
            panel(drawn.add_subplot(1, len(panels), at + 1))
    return drawn


# --- losses --------------------------------------------------------------------------------------


def _losses(plan: Plan, run: Checkpoint) -> Panel | None:
    history = run.history
    if not history.losses:
        return None
    from matplotlib.ticker import MaxNLocator

    def panel(axes: Axes) -> None:
        losses = np.array(history.losses)
        steps = np.arange(len(losses))
        axes.set_title("Loss")
        axes.set_xlabel("updates")
        per_pass = _per_pass(plan)
        if per_pass > 1:
            axes.plot(steps, losses, color=PALE, linewidth=0.8, label="mini-batches")
            whole = len(losses) // per_pass * per_pass
            means = losses[:whole].reshape(-1, per_pass).mean(axis=1)
            middles = (np.arange(len(means)) + 0.5) * per_pass
            axes.plot(middles, means, color=BLUE, linewidth=1.8, label="mean per pass")
        else:
            axes.plot(steps, losses, color=BLUE, linewidth=1.8, label="training")
        shown = [losses]
        if history.validation:
            order = sorted(history.validation)
            held = np.array([history.validation[at] for at in order])
            axes.plot(order, held, color=ORANGE, linewidth=1.8, label="held out")
            shown.append(held)
        if per_pass > 1 or history.validation:
            axes.legend(frameon=False)
        _scale(axes, np.concatenate(shown))
        axes.margins(x=0.01)
        axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))

    return panel


def _per_pass(plan: Plan) -> int:
    """How many mini-batches a pass over the data has; 1 where there are none."""
    if plan.record.batch_size is None:
        return 1
    count = row_count(plan.data, row_axes(plan.module.inputs("train")))
    return (count or 1) // plan.record.batch_size


def _scale(axes: Axes, losses: Array) -> None:
    """A logarithmic axis where the losses are positive, and their sizes are far apart."""
    finite = losses[np.isfinite(losses)]
    if finite.size and finite.min() > 0.0 and finite.max() > 20.0 * finite.min():
        axes.set_yscale("log")
        axes.set_ylabel("log scale")


# --- fit -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fitted:
    """A function of one number per row, and the input of the loss that it is to come near."""

    function: str
    feature: str
    target: str
    x: Array
    y: Array


def fitted(module: Module, data: Mapping[str, Array]) -> Fitted | None:
    """What can be drawn as data and a line through them, if there is such a thing."""
    inputs = module.inputs("train")
    count = row_count(data, row_axes(inputs))
    columns = [
        name for name, array in data.items() if count is not None and array.size == count > 1
    ]
    if len(columns) != 2 or len(inputs) != 2 or module.integers.intersection(columns):
        return None
    for function in reversed(module.functions):
        read = list(module.inputs(function))
        if len(read) != 1 or read[0] not in columns:
            continue
        values = getattr(module.module, function)(module.module.initial_parameters(), data[read[0]])
        if np.size(values) == count:
            target = next(name for name in columns if name != read[0])
            return Fitted(
                function, read[0], target, np.ravel(data[read[0]]), np.ravel(data[target])
            )
    return None


def _fit(plan: Plan, run: Checkpoint) -> Panel | None:
    module = plan.module
    found = fitted(module, plan.data)
    if found is None:
        return None
    shape = plan.data[found.feature].shape
    function = getattr(module.module, found.function)

    def panel(axes: Axes) -> None:
        line = np.linspace(found.x.min(), found.x.max(), 400)
        inputs = line.reshape([len(line) if size > 1 else 1 for size in shape])
        with np.errstate(all="ignore"):
            values = np.ravel(function(run.parameters, inputs))
        each = max(1, -(-len(found.x) // MANY))
        axes.set_title("Data and fit")
        axes.set_xlabel(found.feature)
        axes.set_ylabel(found.target)
        axes.plot(
            found.x[::each],
            found.y[::each],
            linestyle="",
            marker="o",
            markersize=3.5,
            markeredgewidth=0.0,
            alpha=0.6,
            color=BLUE,
            label=found.target,
        )
        axes.plot(line, values, color=ORANGE, linewidth=2.0, label=f"{found.function}, fitted")
        axes.legend(frameon=False)

    return panel


# --- descent -------------------------------------------------------------------------------------


def _descent(plan: Plan, run: Checkpoint) -> Panel | None:
    path = [*run.history.path, _entries(run.parameters)]
    if len(path) < 2 or len(path[0]) > 2:
        return None
    names = _entry_names(run.parameters)
    points = np.array(path)
    if len(names) == 1:
        return lambda axes: _curve(axes, plan, run, names, points)
    return lambda axes: _map(axes, plan, run, names, points)


def _entries(parameters: Sequence[Array]) -> tuple[float, ...]:
    return tuple(float(entry) for one in parameters for entry in np.ravel(one))


def _entry_names(parameters: Any) -> list[str]:
    """`w`, or `w[0]` and `w[1]`."""
    names: list[str] = []
    for name, value in parameters._asdict().items():
        indices = np.ndindex(value.shape)
        several = np.size(value) > 1
        names += [f"{name}[{', '.join(map(str, at))}]" if several else name for at in indices]
    return names


def _loss_at(plan: Plan, like: Any, point: Sequence[float]) -> float:
    """The loss where the entries of the parameters are those of a point."""
    arrays, at = [], 0
    for one in like:
        entries = point[at : at + one.size]
        arrays.append(np.array(entries, one.dtype).reshape(one.shape))
        at += one.size
    return loss_on(plan.module, type(like)(*arrays), plan.data)


def _around(values: Array, least: float = 0.0) -> tuple[float, float]:
    """An interval around values: a quarter of their extent wider on each side, or of `least`."""
    low, high = float(values.min()), float(values.max())
    extent = max(high - low, least) or max(1.0, abs(low))
    beside = 0.25 * extent + 0.5 * (extent - (high - low))
    return low - beside, high + beside


def _curve(axes: Axes, plan: Plan, run: Checkpoint, names: list[str], points: Array) -> None:
    steps = points[:, 0]
    low, high = _around(steps)
    line = np.linspace(low, high, 400)
    axes.set_title("Descent along the loss")
    axes.set_xlabel(names[0])
    axes.set_ylabel("loss")
    axes.plot(line, [_loss_at(plan, run.parameters, [one]) for one in line], color=BLUE)
    heights = [_loss_at(plan, run.parameters, [one]) for one in steps]
    axes.plot(steps, heights, color=ORANGE, linewidth=1.2, marker="o", markersize=_dots(points))
    _ends(axes, (steps[0], heights[0]), (steps[-1], heights[-1]))


def _map(axes: Axes, plan: Plan, run: Checkpoint, names: list[str], points: Array) -> None:
    least = 0.5 * float(np.ptp(points, axis=0).max())  # a bowl is seen as one, not as stripes
    sides = [np.linspace(*_around(points[:, at], least), GRID) for at in (0, 1)]
    heights = np.array(
        [[_loss_at(plan, run.parameters, (one, other)) for one in sides[0]] for other in sides[1]]
    )
    axes.set_title("Descent across the loss, dark where high")
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    levels = _levels(heights)
    if levels is not None:
        axes.contourf(*sides, heights, levels=levels, cmap="Blues", extend="both", alpha=0.75)
        axes.contour(*sides, heights, levels=levels, colors="white", linewidths=0.6)
    axes.plot(*points.T, color=ORANGE, linewidth=1.4, marker="o", markersize=_dots(points))
    _ends(axes, tuple(points[0]), tuple(points[-1]))


def _levels(heights: Array) -> Array | None:
    """Levels that lie the closer, the lower; None where the loss is flat or nowhere finite."""
    finite = heights[np.isfinite(heights)]
    if not finite.size or finite.max() <= finite.min():
        return None
    low, high = float(finite.min()), float(finite.max())
    levels: Array = low + (high - low) * np.linspace(0.0, 1.0, 16)[1:] ** 3
    return levels


def _dots(points: Array) -> float:
    """The size of the dots for the steps: none where they would run together."""
    return 3.5 if len(points) <= 200 else 0.0


def _ends(axes: Axes, start: tuple[float, ...], end: tuple[float, ...]) -> None:
    """Where the descent began and ended."""
    style: dict[str, Any] = {"marker": "o", "markersize": 8.0, "linestyle": "", "zorder": 5}
    axes.plot(*start, **style, markerfacecolor="white", markeredgecolor=ORANGE, label="start")
    axes.plot(*end, **style, color=ORANGE, markeredgecolor="white", label="end")
    axes.legend(edgecolor="none", facecolor="white", framealpha=0.8)
