"""`symflow train`: a model or a module, and a file of data, in; parameters out."""

from __future__ import annotations

import itertools
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from symflow.commands.options import data_options, finite, given_shapes, shapes_option

if TYPE_CHECKING:
    from symflow.fitting.checkpoints import Checkpoint
    from symflow.fitting.modules import Module
    from symflow.fitting.run import Outcome, Plan

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("train")
@click.argument("path", metavar="MODEL_OR_MODULE", type=click.Path(path_type=Path))
@data_options
@click.option("--steps", type=click.IntRange(min=0), help="Updates in all.  [default: 1000]")
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0.0),
    callback=finite,
    help="A fixed one, in place of the model's.",
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Rows per update; all if not given.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0.0),
    callback=finite,
    help="Stop when the norm of the gradient is so small.  [default: 0]",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Of initial values, order of the rows, and rows held out.  [default: 0]",
)
@click.option("--threads", type=click.IntRange(min=1), help="That work on blocks of rows.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    help="What is computed in.  [default: the model's]",
)
@click.option(
    "--validation",
    metavar="FRACTION|FILE",
    help="Rows whose loss is watched and that are not trained on: a part, or a file.",
)
@click.option("--start", type=FILE, help="Begin from these parameters.")
@click.option("--save", type=FILE, help="Write parameters, and where the run stands, to this .npz.")
@click.option(
    "--resume",
    type=FILE,
    help="Go on with a run that was saved; it is saved there again if not --save says where.",
)
@click.option(
    "--plot", type=FILE, help="Draw the losses, and what else can be seen: .png, .svg, .pdf"
)
@shapes_option
@click.pass_context
def command(context: click.Context, /, path: Path, shapes: tuple[str, ...], **given: Any) -> None:
    """Train a model, or a generated module, on a file of data.

    \b
    symflow train model.py --data data.csv --save trained.npz --plot fit.png
    symflow train model.py --data data.csv --map x=age,bmi,bp --map y=target
    symflow train model.py --data rows.npz --validation 0.2 --batch-size 50
    symflow train model.py --data data.csv --resume trained.npz --steps 5000

    Data are .npz, .csv, .tsv (also with .gz) or .parquet files. An input x of the loss takes the
    column x, or the columns x_0, x_1, ...; --map says it where names differ: columns, patterns
    such as pixel_*, or all from one to another, age..s6.

    Ctrl-C stops after the step and saves what was reached, once more quits at once. A run that is
    resumed ends with the same bits as one that was never interrupted.
    """
    from symflow.fitting.checkpoints import save
    from symflow.fitting.interrupts import Interrupts
    from symflow.fitting.modules import trainable
    from symflow.fitting.progress import Progress
    from symflow.fitting.run import trained
    from symflow.writing import check_apart, check_writable

    if given["plot"] is not None:
        from symflow.fitting.pictures import check_drawable

        check_drawable(given["plot"])
    module = trainable(path, given_shapes(shapes))
    inputs = _inputs(module, given)
    for option in ("save", "resume", "plot"):
        if given[option] is not None and (option != "resume" or given["save"] is None):
            check_writable(given[option], inputs)
    if given["plot"] is not None:
        check_apart(given["plot"], {"--resume": given["resume"]})
        check_apart(given["plot"], {"--save": given["save"]}, "written too")
        inputs["--plot"] = given["plot"]
    plan, start = _planned(module, given)
    stream = sys.stderr if sys.stderr.isatty() else sys.stdout
    progress = Progress(start.state.step, plan.record.steps, stream)
    with Interrupts() as stop:
        outcome = trained(plan, start, stop, progress)
        target = given["save"] or given["resume"]
        if target is None and outcome.reason == "stopped":
            target = _unused(f"{path.stem}.interrupted", inputs)
        if target is not None:
            save(target, outcome.checkpoint)
    _report(plan, outcome, start.state.step)
    if target is not None:
        click.echo(f"wrote {target}")
    if given["plot"] is not None:
        from symflow.fitting.pictures import draw

        draw(given["plot"], plan, outcome.checkpoint)
        click.echo(f"wrote {given['plot']}")
    if outcome.reason == "stopped":
        click.echo(f"interrupted; go on with:\n  {_again(context, target)}", err=True)
        context.exit(stop.status)


def _inputs(module: Module, given: dict[str, Any]) -> dict[str, Path | None]:
    """What is read, and must not be written over."""
    validation = given["validation"]
    rows = None if validation is None or _fraction(validation) is not None else Path(validation)
    files = {"--data": given["data"], "--validation": rows, "--start": given["start"]}
    return {**module.files, **files}


def _unused(stem: str, inputs: Mapping[str, Path | None]) -> Path:
    """A name for what was reached, when none was given; not that of what was read."""
    from symflow.writing import is_same

    read = [one for one in inputs.values() if one is not None]
    names = itertools.chain([""], map("-{}".format, itertools.count(2)))
    paths = (Path(f"{stem}{name}.npz") for name in names)
    return next(path for path in paths if not any(is_same(path, one) for one in read))


def _planned(module: Module, given: dict[str, Any]) -> tuple[Plan, Checkpoint]:
    """What is asked for, and where it starts."""
    import numpy as np

    from symflow.errors import SymflowError
    from symflow.fitting.checkpoints import (
        Checkpoint,
        History,
        Record,
        check_same,
        data_digest,
        load,
    )
    from symflow.fitting.run import Plan, in_precision

    if given["resume"] is not None and given["start"] is not None:
        raise click.UsageError("give --start or --resume, not both")
    if given["batch_size"] is not None and not module.takes("batch_size"):
        raise SymflowError(f"{module.path}: --batch-size: the loss has no rows to take some of")
    if given["threads"] is not None and not module.takes("threads"):
        raise SymflowError(f"{module.path}: --threads: nothing here is computed in blocks of rows")
    old = load(given["resume"], module) if given["resume"] is not None else None

    def choice(name: str, default: Any) -> Any:
        if given[name] is not None:
            return given[name]
        return default if old is None else getattr(old.record, name)

    seed = choice("seed", 0)
    dtype = choice("dtype", None)
    if old is not None:
        parameters = old.parameters
    elif given["start"] is not None:
        parameters = module.loaded(given["start"])
        kind = np.dtype(dtype) if dtype is not None else parameters[0].dtype
        parameters = type(parameters)(*(one.astype(kind) for one in parameters))
    else:
        chosen = {} if dtype is None else {"dtype": np.dtype(dtype)}
        parameters = module.module.initial_parameters(seed, **chosen)
    data, held = _data(module, given, seed)
    precision = parameters[0].dtype
    record = Record(
        module=module.digest,
        data=data_digest(data),
        seed=seed,
        batch_size=choice("batch_size", None),
        dtype=dtype or precision.name,
        steps=choice("steps", 1000),
        learning_rate=choice("learning_rate", None),
        tolerance=choice("tolerance", 0.0),
    )
    data = in_precision(data, module.integers, precision)
    held = None if held is None else in_precision(held, module.integers, precision)
    plan = Plan(module, record, data, held, given["threads"], given["save"] or given["resume"])
    if old is None:
        state = module.module.train(parameters, **data, steps=0).state
        return plan, Checkpoint(record, parameters, state, History())
    check_same(given["resume"], old.record, record)
    if old.state.step >= record.steps:
        raise SymflowError(
            f"{given['resume']}: {old.state.step} updates are made already, and --steps is "
            f"{record.steps}, in all; hint: more --steps"
        )
    return plan, old


def _data(module: Module, given: dict[str, Any], seed: int) -> tuple[Any, Any]:
    """The rows to train on, and those held out, if there are any."""
    from symflow.errors import SymflowError
    from symflow.fitting.matching import arrays, described, matched, parsed
    from symflow.fitting.run import split
    from symflow.fitting.tables import table

    inputs = module.inputs("train")
    if not inputs:
        if given["data"] is not None:
            raise SymflowError(f"{module.path}: --data: the loss reads no data")
        return {}, None
    if given["data"] is None:
        raise click.UsageError(f"--data is needed: the loss reads {', '.join(inputs)}")
    maps = parsed(given["maps"])
    source = table(given["data"])
    matches = matched(source, inputs, maps)
    click.echo(f"{source.path}:")
    for line in described(source, matches):
        click.echo(line)
    data = arrays(source, matches, module.integers)
    if given["validation"] is None:
        return data, None
    fraction = _fraction(given["validation"])
    if fraction is not None:
        return split(inputs, data, fraction, seed)
    other = table(Path(given["validation"]))
    return data, arrays(other, matched(other, inputs, maps), module.integers)


def _fraction(text: str) -> float | None:
    """A part of the rows; None where the text is the name of a file."""
    try:
        fraction = float(text)
    except ValueError:
        return None
    if not 0.0 < fraction < 1.0:
        raise click.BadParameter(f"{text} is no part between 0 and 1", param_hint="--validation")
    return fraction


def _report(plan: Plan, outcome: Outcome, first_step: int) -> None:
    """How it went since a step, in a few lines, and the parameters where they are few."""
    import numpy as np

    from symflow.fitting.progress import spoken
    from symflow.fitting.run import loss_on, smaller_steps

    here = outcome.checkpoint
    why = {
        "steps": "",
        "tolerance": f"; the gradient is below {plan.record.tolerance:g}",
        "stopped": "; interrupted",
    }
    loss = loss_on(plan.module, here.parameters, plan.data)
    first = f", {here.history.losses[0]:.6g} at first" if here.history.losses else ""
    held = ""
    if plan.held is not None:
        held = f"; held out {loss_on(plan.module, here.parameters, plan.held):.6g}"
    made = here.state.step - first_step
    in_all = f", {here.state.step} in all" if first_step else ""
    click.echo(
        f"{made} updates{in_all}, {spoken(outcome.seconds)}{why[outcome.reason]}: "
        f"loss {loss:.6g}{first}{held}"
    )
    if here.history.losses and not loss <= here.history.losses[0]:
        click.echo(f"the loss has grown; {smaller_steps(plan)}", err=True)
    if sum(np.size(one) for one in here.parameters) <= 12:
        for name, value in here.parameters._asdict().items():
            click.echo(f"  {name} = {np.array2string(value, precision=8, separator=', ')}")


def _again(context: click.Context, saved: Path) -> str:
    """The command that goes on with the run."""
    words = ["symflow", "train"]
    for parameter in context.command.params:
        name = parameter.name or ""
        value = context.params[name]
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not given or name in ("resume", "start"):
            continue
        if isinstance(parameter, click.Argument):
            words.append(str(value))
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [parameter.opts[0], str(one)]
    return shlex.join([*words, "--resume", str(saved)])
