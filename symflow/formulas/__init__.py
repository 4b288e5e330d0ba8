"""Formulas for people: read from a program once, written as text, LaTeX or MathML.

    tree.py       what a formula consists of: sums, fractions, Σ, entries of tensors, ...
    algebra.py    SymPy expressions as trees
    moving.py     what is no kernel: views, windows, solvers
    reading.py    the tensors of a program as equations
    selection.py  which of them have a name, and get a line; the rest is written where it is read
    lines.py      a program in lines
    text.py       name[i, j] = Σ_k x[i, k]·w[k, j]
    latex.py      the same as LaTeX
    mathml.py     the same as presentation MathML, for HTML
    spelling.py   names as mathematics spells them
    wrapping.py   a long text in lines

A tensor in terms of the others, all called by their labels:

    mathml.equation(Reader(program).equation(tensor))
"""
