"""Formulas for people: read from a program once, written as text, LaTeX or MathML.

tree.py      what a formula consists of: sums, fractions, Σ, entries of tensors, ...
reading.py   a program's tensors as equations; what nobody named is written where it is read
algebra.py   SymPy expressions as trees
moving.py    what is no kernel: views, windows, solvers
text.py      name[i, j] = Σ_k x[i, k]·w[k, j]
latex.py     \\mathrm{name}_{i,j} = \\sum_{k} x_{i,k} w_{k,j}
mathml.py    the same as presentation MathML, for HTML

reader = Reader(program)
mathml.equation(reader.equation(tensor))
"""
