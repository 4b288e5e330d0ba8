"""Validation of a generated module against the program as it was written.

written     the reference: the graph lowered and differentiated, with no rule, no sharing
floats      that program in float64, one operation after the other, under random rounding
points      where modules are tested: zeros, ties, extremes, borders of conditions
limits      what a program tends to where it is not finite itself
findings    what is found, and how it is shown
validating  a module against a run of the compiler
naive       the program in float64 as the reference, where that is enough: rows, float32, training
cases       data of all numbers of rows at which a module can change its ways
functions   every function at these, by threads, and again
threads     threads led line by line into the order that does most harm
training    `train`, step by step, against `trajectories`
contract    names, refusals, initial parameters, files
blame       the rule, or the stage, that made a module wrong
"""
