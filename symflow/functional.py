"""A module of the fast style as functions that write to no place.

Buffers hold real numbers, and are written again and again. A derivative by the complex step wants
complex ones, and a diagnosis wants to see what each statement has computed. So `_loss` and
`_loss_and_gradients` are made anew from what the module does: `np.add(x, b, x)` is read as
`x = np.add(x, b)`, and a block of rows is all rows. Nothing else is changed, and every statement
keeps its line.
"""

from __future__ import annotations

import ast
import copy
from types import ModuleType

import numpy as np

READ_BY_NAME = frozenset({"sums", "gradients", "rate", "fixed", "work", "works", "rows", "block"})
"""Names by which functions of a module are understood here: nothing of the user's has them there.

So has no array that a function is given to write to, whose name begins with `_out_`.
"""


def functional(module: ModuleType, tree: ast.Module) -> tuple[ModuleType, ast.Module]:
    """The module and its tree without places; the same two if it writes to none."""
    functions = {one.name: one for one in tree.body if isinstance(one, ast.FunctionDef)}
    if "_evaluate" not in functions:
        return module, tree
    body = _spliced(functions)
    evaluate = functions["_evaluate"]
    arguments = copy.deepcopy(evaluate.args)
    names = [one.arg for one in arguments.args]
    arguments.args = arguments.args[1 : names.index(_choice(evaluate))]  # no workspaces, no choice
    arguments.defaults = []
    made = [
        _Products().visit(_function("_loss", arguments, _until_loss(body))),
        _Products().visit(_function("_loss_and_gradients", arguments, _to_the_end(body))),
    ]
    changed = ast.Module([*(one for one in tree.body if not _is_remade(one)), *made], [])
    ast.fix_missing_locations(changed)
    result = ModuleType(module.__name__)
    result.__file__ = module.__file__
    result.__dict__.update(vars(module))
    exec(compile(ast.Module(list(made), []), module.__file__ or "", "exec"), result.__dict__)
    return result, changed


def _choice(function: ast.FunctionDef) -> str:
    """The argument that says whether gradients are wanted, or which multiple of them."""
    names = [one.arg for one in function.args.args]
    return next(one for one in ("gradients", "rate") if one in names)


class _Products(ast.NodeTransformer):
    """`x.dot(y)` as `x @ y`, of which arrays of any kind can say what it means."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "dot":
            product = ast.BinOp(node.func.value, ast.MatMult(), node.args[0])
            return ast.fix_missing_locations(ast.copy_location(product, node))
        return node


def _is_remade(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name in ("_loss", "_loss_and_gradients")


def _function(name: str, arguments: ast.arguments, body: list[ast.stmt]) -> ast.FunctionDef:
    made = ast.parse(f"def {name}(): pass").body[0]
    assert isinstance(made, ast.FunctionDef)
    made.args, made.body = arguments, body
    return ast.fix_missing_locations(made)


def _spliced(functions: dict[str, ast.FunctionDef]) -> list[ast.stmt]:
    """The statements of `_evaluate`, with those of `_block` where it is called."""
    borrowed = copy.deepcopy(functions["_loss_and_gradients"].body[1])
    assert isinstance(borrowed, ast.Assign)
    if isinstance(borrowed.value, ast.Call):  # for so many threads
        sizes = [_of_all_rows(one) for one in borrowed.value.args[1:]]
        borrowed.value.args = [ast.Constant(1), *sizes]
    body: list[ast.stmt] = [borrowed, *ast.parse("fixed = None\nrate = 1.0").body]
    for statement in functions["_evaluate"].body[1:]:
        if isinstance(statement, ast.If) and "BLOCK" in _names(statement.test):
            body += _block(functions["_block"], statement)
        else:
            body += _without_place(statement)
    return body


def _of_all_rows(size: ast.expr) -> ast.expr:
    """`x.shape[0]` of `min(x.shape[0], BLOCK)`."""
    return size.args[0] if isinstance(size, ast.Call) and "BLOCK" in _names(size) else size


def _block(function: ast.FunctionDef, branch: ast.If) -> list[ast.stmt]:
    """The statements of the block for all rows, under the names that it gives its arguments."""
    *fixed, called = branch.body
    assert isinstance(called, ast.Assign)
    assert isinstance(called.value, ast.Call)
    body: list[ast.stmt] = []
    body += fixed
    choice = _choice(function)
    names = [one.arg for one in function.args.args if one.arg != choice]
    passed = [one for one in called.value.args if ast.unparse(one) != choice]
    for at, value in enumerate(passed):
        name = names.pop(0)
        target: ast.expr = ast.Name(name, ast.Store())
        if isinstance(value, ast.Starred):  # what no parameter changes
            count = len(names) + 1 - len(passed[at + 1 :])
            taken = [name, *(names.pop(0) for _ in range(count - 1))]
            target, value = (
                ast.Tuple([ast.Name(one, ast.Store()) for one in taken], ast.Store()),
                value.value,
            )
        if ast.unparse(target) != ast.unparse(value):
            body.append(ast.Assign([target], value, lineno=0))
    for statement in function.body[1:]:
        if isinstance(statement, ast.Return):
            body.append(_sums(statement))
        elif _is_stop(statement):
            stop = copy.copy(statement)
            assert isinstance(stop, ast.If)
            (given,) = stop.body
            assert isinstance(given, ast.Return)
            stop.body = [_sums(given)]
            body.append(stop)
        else:
            body += _without_place(statement)
    return body


def _sums(given: ast.Return) -> ast.Assign:
    assert given.value is not None
    return ast.copy_location(ast.Assign([ast.Name("sums", ast.Store())], given.value), given)


def _is_stop(statement: ast.stmt) -> bool:
    """Whether it is `if not gradients:` or `if rate is None:`."""
    return isinstance(statement, ast.If) and not {"gradients", "rate"}.isdisjoint(
        _names(statement.test)
    )


def _until_loss(body: list[ast.stmt]) -> list[ast.stmt]:
    """What is done where only the loss is wanted; the loss stays the number that it is."""
    found: list[ast.stmt] = []
    skipping = False
    for statement in body:
        if _is_stop(statement):
            assert isinstance(statement, ast.If)
            (given,) = statement.body
            if isinstance(given, ast.Return):
                return [*found, _loss_of(given)]
            found.append(given)
            skipping = True  # the rest of the block
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            skipping = skipping and statement.targets[0].id != "sums"
            if not skipping and statement.targets[0].id != "sums":
                found.append(statement)
        elif not skipping:
            found.append(statement)
    raise AssertionError("a function that does not say where the loss is known")


def _loss_of(given: ast.Return) -> ast.Return:
    """`return loss` of `return float(loss), None`."""
    assert isinstance(given.value, ast.Tuple)
    loss = given.value.elts[0]
    assert isinstance(loss, ast.Call)
    return ast.copy_location(ast.Return(loss.args[0]), given)


def _to_the_end(body: list[ast.stmt]) -> list[ast.stmt]:
    return [statement for statement in body if not _is_stop(statement)]


# --- places --------------------------------------------------------------------------------------


def _without_place(statement: ast.stmt) -> list[ast.stmt]:
    """The statement with the result of its call bound to a name rather than written somewhere."""
    call = getattr(statement, "value", None)
    if not isinstance(call, ast.Call):
        return [statement]
    function = ast.unparse(call.func)
    if function == "np.copyto":
        return _copied(statement, call)
    place = _place(call, function)
    if place is None:
        return [statement]
    if isinstance(place, ast.Name) and place.id.startswith("_out_"):
        return [statement]  # a row of a gradient, which nothing reads
    bare = copy.copy(call)
    bare.args = [one for one in call.args if one is not place]
    bare.keywords = [one for one in call.keywords if one.value is not place]
    if function in _COMPARISONS:  # which may have been written as numbers
        chosen = ast.parse("np.where(None, 1.0, 0.0)", mode="eval").body
        assert isinstance(chosen, ast.Call)
        chosen.args[0], bare = bare, chosen
    if isinstance(statement, ast.Assign):
        changed = ast.Assign(statement.targets, bare)
    elif isinstance(place, ast.Attribute):  # `x.T`
        assert isinstance(place.value, ast.Name)
        turned = ast.Attribute(bare, "T", ast.Load())
        changed = ast.Assign([ast.Name(place.value.id, ast.Store())], turned)
    else:
        assert isinstance(place, ast.Name)
        changed = ast.Assign([ast.Name(place.id, ast.Store())], bare)
    return [ast.fix_missing_locations(ast.copy_location(changed, statement))]


_COMPARISONS = frozenset(
    f"np.{name}"
    for name in ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")
)


def _place(call: ast.Call, function: str) -> ast.expr | None:
    """The argument that says where the result is written."""
    for keyword in call.keywords:
        if keyword.arg == "out":
            return keyword.value
    if function.endswith(".dot") and len(call.args) == 2:
        return call.args[1]
    ufunc = getattr(np, function.removeprefix("np."), None)
    if isinstance(ufunc, np.ufunc) and len(call.args) == ufunc.nin + 1:
        return call.args[-1]
    return None


def _copied(statement: ast.stmt, call: ast.Call) -> list[ast.stmt]:
    """`np.copyto(x, y, where=c)` as `x = np.where(c, y, x)`."""
    target, source = call.args
    assert isinstance(target, ast.Name)
    if not call.keywords:
        return [statement]
    chosen = ast.parse("np.where()", mode="eval").body
    assert isinstance(chosen, ast.Call)
    chosen.args = [call.keywords[0].value, source, ast.Name(target.id, ast.Load())]
    changed = ast.Assign([ast.Name(target.id, ast.Store())], chosen)
    return [ast.fix_missing_locations(ast.copy_location(changed, statement))]


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
