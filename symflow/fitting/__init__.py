"""Training and predicting from files of data: what `symflow train` and `symflow predict` do.

tables.py       a file → named fields: columns of a table, or arrays of an .npz
matching.py     fields → the inputs of a module's function, checked
modules.py      a model or a module → what can be trained or evaluated
checkpoints.py  where a run stands → a file, and back
run.py          the training itself: interrupts, validation, files written on the way
progress.py     what is seen of it meanwhile
pictures.py     what is seen of it afterwards
predictions.py  a module's function → a table of its values
"""
