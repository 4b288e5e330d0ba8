"""What validation finds, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from symflow.errors import Location


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a module, or, as a note, no better than what was written.

    function  of the module: "loss", "gradients", "loss_and_gradients", "prediction", "train", ...
    array     what of its result: a parameter's name for gradients, "" where there is but one thing
    point     the name of the point at which it is worst
    told      what is wrong, in a line
    blame     the rule or the stage, "" where it was not looked for
    origin    the model's line
    note      whether the module is no worse there than the program as it was written
    """

    function: str
    array: str
    point: str
    told: str
    blame: str = ""
    origin: Location | None = None
    note: bool = False

    def __str__(self) -> str:
        of = f"{self.function}: {self.array}" if self.array else self.function
        where = f"{self.origin}: " if self.origin else ""
        return f"{of}: {where}{self.told} at {self.point}" + (
            f"; {self.blame}" if self.blame else ""
        )


@dataclass(frozen=True)
class Report:
    """All that was found of a module.

    limits  what was left out, and why: "3 of 40 points: ..."
    """

    findings: tuple[Finding, ...] = ()
    limits: tuple[str, ...] = field(default=())

    @property
    def errors(self) -> Sequence[Finding]:
        return [one for one in self.findings if not one.note]

    @property
    def ok(self) -> bool:
        return not self.errors
