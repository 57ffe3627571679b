"""Phantom skin, drawn from random numbers alone.

These are phantoms: nothing in them was photographed, and no figure that comes from them says anything about medicine.
"""

from shared.phantom.cohort import render_other_lesions

__all__ = ["render_other_lesions"]
