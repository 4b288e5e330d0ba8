"""Names as mathematics spells them: `alpha` is α, `w1` is w⁽¹⁾, `y_` is y′, `hidden` is upright."""

from __future__ import annotations

import re
from dataclasses import dataclass

GREEK = {
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "delta": "δ",
    "epsilon": "ε",
    "zeta": "ζ",
    "eta": "η",
    "theta": "θ",
    "iota": "ι",
    "kappa": "κ",
    "lambda": "λ",
    "lambda_": "λ",
    "mu": "μ",
    "nu": "ν",
    "xi": "ξ",
    "pi": "π",
    "rho": "ρ",
    "sigma": "σ",
    "tau": "τ",
    "phi": "φ",
    "chi": "χ",
    "psi": "ψ",
    "omega": "ω",
    "Gamma": "Γ",
    "Delta": "Δ",
    "Theta": "Θ",
    "Lambda": "Λ",
    "Xi": "Ξ",
    "Pi": "Π",
    "Sigma": "Σ",
    "Phi": "Φ",
    "Psi": "Ψ",
    "Omega": "Ω",
}
"""By their names in LaTeX; `lambda_` is how Python programs write it."""

LATEX_GREEK = {
    sign: rf"\{name.rstrip('_')}" for name, sign in GREEK.items() if name not in ("epsilon", "phi")
} | {"∞": r"\infty", "ε": r"\varepsilon", "φ": r"\varphi"}


@dataclass(frozen=True)
class Spelling:
    """A name, taken apart.

    stem    a letter, a Greek letter or a word
    mark    what tells it from others of the stem: the 1 of `w1`, the "out" of `w_out`
    primes  underscores at its end
    """

    stem: str
    mark: str = ""
    primes: int = 0

    @property
    def is_letter(self) -> bool:
        return len(self.stem) == 1


def spelling(name: str) -> Spelling:
    if name in GREEK:
        return Spelling(GREEK[name])
    bare = name.rstrip("_")
    primes = len(name) - len(bare)
    found = re.fullmatch(r"([A-Za-z]|[A-Za-z_]*[A-Za-z])_?(\d+)", bare)
    if found:
        return Spelling(_stem(found[1]), found[2], primes)
    first, _, rest = bare.partition("_")
    if len(_stem(first)) == 1 and rest and "_" not in rest:
        return Spelling(_stem(first), rest, primes)
    return Spelling(_stem(bare), "", primes)


def _stem(word: str) -> str:
    return GREEK.get(word, word)
