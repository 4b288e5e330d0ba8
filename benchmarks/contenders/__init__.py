"""One module per library, each with `builders(workload, data) -> Builders` and `VERSION`.

They are imported in a process of their own: see `child.py`.
"""

LIBRARIES = ("symflow", "jax", "torch", "autograd", "pytensor", "casadi", "interpreter")
