"""Many random models, on all cores; every failure is printed as a model file.

python tests/fuzz.py [N] [--seed SEED] [--kind users | graphs]

users   models that look like what users write, as modules in all styles (`user_models.py`)
graphs  even-handed graphs in a Session (`random_graphs.py`); failures are shrunk
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from multiprocessing import Pool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from abstract_models import Model, text
from graph_comparison import differences
from random_graphs import random_model
from shrinking import shrunk
from user_models import complaint as user_complaint
from user_models import user_model

DIGITS_EVERY = 10
"""One graph in so many is held to 50 digits whether or not anything differs."""


def complaint(model: Model, digits: bool = False) -> str | None:
    """What is wrong with a model; a crash is a complaint too."""
    try:
        return differences(model, digits)
    except Exception as error:
        return crash(error)


def crash(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.name}: {error}"


def kind(found: str | None) -> str | None:
    """Complaints of one kind are taken for the same fault while a model shrinks."""
    return None if found is None else found.split(":")[0].split(" in ")[0]


def report(seed: int) -> str | None:
    """None for a sound graph, else its smallest failing form as a model file."""
    model = random_model(seed)
    found = complaint(model, seed % DIGITS_EVERY == 0)
    if found is None:
        return None
    smaller = shrunk(model, lambda candidate: kind(complaint(candidate, True)) == kind(found))
    by = ", ".join(f"node {one}" for one in smaller.by)
    said = complaint(smaller, True) or found
    return f"# seed {seed}, order {smaller.order}, by {by}\n# {said}\n{text(smaller)}"


def report_user(seed: int) -> str | None:
    """None for a model whose modules are right, else the model file and what is wrong."""
    model = user_model(seed)
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = user_complaint(model, Path(folder))
    except Exception as error:
        found = crash(error)
    if found is None:
        return None
    left_out = f", without {', '.join(model.without)}" if model.without else ""
    return f"# seed {seed}, {model.model.dtype}{left_out}\n# {found}\n{model.text}"


REPORTS = {"users": report_user, "graphs": report}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the first model")
    parser.add_argument("--kind", choices=REPORTS, default="users")
    arguments = parser.parse_args()
    start, failures = time.perf_counter(), 0
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    with Pool(os.cpu_count(), maxtasksperchild=50) as pool:
        for done, found in enumerate(pool.imap(REPORTS[arguments.kind], seeds, chunksize=20), 1):
            if found is not None:
                failures += 1
                print(f"\n{found}", flush=True)
            if done % 1000 == 0:
                seconds = time.perf_counter() - start
                print(f"{done} models, {failures} failures, {seconds:.0f} s", file=sys.stderr)
    seconds = time.perf_counter() - start
    print(
        f"{arguments.count} {arguments.kind} from seed {arguments.seed}: "
        f"{failures} failures, {seconds:.0f} s"
    )
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
