"""`symflow explain`: a model told to a person.

content.py    what there is to say: inputs, parameters, model, gradients, training
training.py   an optimizer as equations
terminal.py   as text in columns
paper.py      as LaTeX to paste
"""
