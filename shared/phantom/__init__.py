"""Phantom skin, drawn from random numbers alone.

These are phantoms: nothing in them was photographed, and no figure that comes from them says anything about medicine.

The classes are told apart by shape, not by colour: a logistic regression on colour histograms has 58 to 68 % accuracy
(948 pictures, five folds, seeds 0 to 2), the paper's custom CNN at 32 px within five epochs 94 to 97 % (190 test
pictures, same seeds). `benchmarks/phantom_difficulty.py` prints these; `docs/phantom.md` has the table and the model.
"""

from shared.phantom.cohort import Phantom, render_other_lesions, render_phantom

__all__ = ["Phantom", "render_other_lesions", "render_phantom"]
