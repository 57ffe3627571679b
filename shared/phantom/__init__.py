"""Phantom skin, drawn from random numbers alone.

These are phantoms: nothing in them was photographed, and no figure that comes from them says anything about medicine.
"""

from shared.phantom.cohort import Phantom, render_other_lesions, render_phantom

__all__ = ["Phantom", "render_other_lesions", "render_phantom"]
