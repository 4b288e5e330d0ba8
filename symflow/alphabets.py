"""Names of the user's and names of the compiler's, told apart until a module is written.

A user may call things as they like: `p`, `rate`, `np`, `sum`. So do generated functions, of their
own variables. While a module is made, what the user named is therefore spelled in alphabets of its
own, one for tensors and one for sizes: no name of one kind can be mistaken for one of another, and
there is no list of names that are taken. Only the first letter differs, so that lines keep their
length. `hygiene.py` spells all of it in plain letters at the end.
"""

from __future__ import annotations

import re
import string

_LETTERS = string.ascii_letters + "_"
_FIRST = 0x17000
"""Of the letters of Tangut, which has not been written since the sixteenth century."""

_TENSOR = {ord(one): chr(_FIRST + ord(one)) for one in _LETTERS}
_SIZE = {ord(one): chr(_FIRST + 0x100 + ord(one)) for one in _LETTERS}
_PLAIN = {ord(to): chr(of) for table in (_TENSOR, _SIZE) for of, to in table.items()}
_FOREIGN = rf"[{chr(_FIRST)}-{chr(_FIRST + 0x1FF)}]"

MARKED = re.compile(rf"\w*{_FOREIGN}\w*")
"""A name with a part that the user gave."""


def tensor_name(name: str) -> str:
    """The name of a tensor, spelled as one of the user's."""
    text = plain(name)
    return text[:1].translate(_TENSOR) + text[1:]


def size_name(size: object) -> str:
    """The name of a size, spelled as one of the user's."""
    text = plain(str(size))
    return text[:1].translate(_SIZE) + text[1:]


def plain(text: str) -> str:
    """A text in plain letters."""
    return text if text.isascii() else text.translate(_PLAIN)
