"""`symflow check` sees what is wrong with a module: the faults of `planted_faults.txt`.

A part of them by default, all with --long.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner
from fault_models import EXAMPLES, MODELS, model_file
from planted_faults import FAULTS, Edit, Fault

from symflow.arithmetic import undistributed
from symflow.cli import main
from symflow.compilation import Compilation, Style
from symflow.files import compilation, compile_files, write
from symflow.modules import Generated
from symflow.validation import validating
from symflow.validation.validating import CHECKS, Expectation, Validation, expectation

GROUPS = tuple(dict.fromkeys((one.model, one.style) for one in FAULTS))
SLOW = ("digits", "digits_cnn", "lstm")
"""Models whose expectation takes some seconds."""

PART = 4
"""One in so many is planted by default."""


@cache
@undistributed
def _compiled(model: str, style: Style, folder: Path) -> tuple[Compilation, Generated]:
    run = compilation(model_file(model, folder), {}, None, (), style)
    return run, Generated.compiled(run)


@cache
def _expected(model: str, folder: Path) -> Expectation:
    """What both styles of a model are compared with."""
    return expectation(_compiled(model, "fast", folder)[0])


@undistributed
def _finding(model: str, style: Style, module: ModuleType, folder: Path) -> str | None:
    """The first thing that is wrong, by the checks that are quick to find anything."""
    run, _ = _compiled(model, style, folder)
    validation = Validation(run, module, _expected(model, folder))
    findings = (one for check in reversed(CHECKS) for one in check(validation) if not one.note)
    return next(map(str, findings), None)


@undistributed
def _planted(fault: Fault, folder: Path) -> ModuleType:
    _, generated = _compiled(fault.model, fault.style, folder)
    return dataclasses.replace(generated, text=fault.planted(generated.text)).module


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(autouse=True)
def _nobody_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rule has made these modules wrong, and to look for one takes time."""
    monkeypatch.setattr(validating, "blamed", lambda *_: "")


def _chosen(model: str, style: Style, long: bool) -> list[Fault]:
    """The faults of a module that are planted, the same ones each time."""
    kinds: Counter[str] = Counter()
    found = []
    for fault in FAULTS:
        kinds[fault.kind] += 1
        part = model not in SLOW and kinds[fault.kind] % PART == 1
        if (fault.model, fault.style) == (model, style) and (long or part):
            found.append(fault)
    return found


@pytest.mark.parametrize(("model", "style"), GROUPS)
def test_faults_are_found(model: str, style: Style, folder: Path, long: bool) -> None:
    """All but those that say why they are not."""
    missed = []
    for fault in _chosen(model, style, long):
        found = _finding(model, style, _planted(fault, folder), folder)
        if bool(found) == bool(fault.survives):
            missed.append(f"{fault}: {found}")
    assert not missed


@pytest.mark.parametrize(("model", "style"), GROUPS)
def test_nothing_is_found_where_nothing_is_wrong(
    model: str, style: Style, folder: Path, long: bool
) -> None:
    if long or model not in SLOW:
        assert _finding(model, style, _compiled(model, style, folder)[1].module, folder) is None


@pytest.mark.parametrize(("model", "style"), GROUPS)
def test_faults_are_what_they_say(model: str, style: Style, folder: Path) -> None:
    """Each edit finds its place, and changes what the module means."""
    text = _compiled(model, style, folder)[1].text
    for fault in FAULTS:
        if (fault.model, fault.style) == (model, style):
            assert fault.planted(text) != text


def test_the_table() -> None:
    kinds = Counter(one.kind for one in FAULTS)
    assert len(kinds) == 12
    assert min(kinds.values()) >= 10
    assert len({str(one) for one in FAULTS}) == len(FAULTS)
    caught = [one for one in FAULTS if not one.survives]
    assert len(caught) >= 110
    assert len(caught) / len(FAULTS) > 0.96
    assert {one.model for one in FAULTS} == {*MODELS, *EXAMPLES}


def test_an_edit_that_finds_no_place_is_an_error() -> None:
    text = "def f():\n    return 1 + 1\n\n\ndef g():\n    return 2\n"
    assert Edit("f", "1 + 1", "3").applied(text) == text.replace("1 + 1", "3")
    for edit in (Edit("f", "2", "3"), Edit("f", "1", "3"), Edit("h", "2", "3")):
        with pytest.raises(LookupError):
            edit.applied(text)
    same = Fault("", "", "", "fast", "", (Edit("g", "return 2", "return (2)"),))
    with pytest.raises(LookupError, match="means what it meant"):
        same.planted(text)


@pytest.mark.parametrize(
    "name", ["three threads", "momentum is not kept", "saved in single precision"]
)
def test_the_command(name: str, tmp_path: Path) -> None:
    (fault,) = (one for one in FAULTS if one.name == name)
    model = model_file(fault.model, tmp_path)
    write(compile_files(model, tmp_path / "out", {}, None, (), fault.style))
    module = tmp_path / "out" / model.name
    arguments = ["check", str(model), str(module)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    module.write_text(fault.planted(module.read_text()))
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "wrong: " in result.output


def main_of_table(words: list[str], folder: Path) -> None:
    """Plant the faults that have all words, and print what is found of each."""
    for fault in FAULTS:
        if all(word in str(fault) for word in words):
            found = _finding(fault.model, fault.style, _planted(fault, folder), folder)
            print(f"{fault}\n    {found or f'nothing: {fault.survives}'}")


if __name__ == "__main__":
    import tempfile

    validating.blamed = lambda *_: ""  # type: ignore[attr-defined]
    main_of_table(sys.argv[1:], Path(tempfile.mkdtemp()))
