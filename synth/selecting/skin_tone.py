"""An estimate of skin tone from pixels, for audits: the individual typology angle (ITA).

ITA = arctan((L* - 50) / b*) in degrees (Chardon et al., 1991), in CIELAB of the picture's median colour, and the six
classes of Del Bino and Bernerd (2013). It is a weak estimate: light and camera change it as much as skin does, red
(inflamed) skin and lesions that fill the picture pull it, and classes say nothing of who the patient is. It is good for
one thing: to see that a filter keeps fewer of one end of the scale, whatever that end is in truth.
"""

import numpy as np
import numpy.typing as npt

from synth.scores.quality import Images

# Class and the ITA in degrees above which it begins, lightest first.
CLASSES: tuple[tuple[str, float], ...] = (
    ("very light", 55.0),
    ("light", 41.0),
    ("intermediate", 28.0),
    ("tan", 10.0),
    ("brown", -30.0),
    ("dark", -90.0),
)
DARKEST, BRIGHTEST = 20.0, 95.0  # L* of what is counted: neither the black rim of a dermatoscope nor a reflection
# sRGB to XYZ, with white at D65 (IEC 61966-2-1), and the constants of CIELAB (CIE 15:2004, 8.2.1).
_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_EPSILON, _KAPPA = 216 / 24389, 24389 / 27

Angles = npt.NDArray[np.float32]


def to_lab(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return L*, a*, b* of sRGB values [..., 3]."""
    value = rgb / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    ratio = linear @ _TO_XYZ.T / _TO_XYZ.sum(axis=1)
    f = np.where(ratio > _EPSILON, np.cbrt(ratio), (_KAPPA * ratio + 16) / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def typology_angle(images: Images) -> Angles:
    """Return the ITA in degrees of each image (a thumbnail does) [N, S, S, 3], from its median colour: float32 [N].

    Pixels darker or brighter than skin can be are left out, unless that leaves nothing.
    """
    angles = np.empty(len(images), np.float32)
    for row, image in enumerate(images):
        lab = to_lab(image.reshape(-1, 3))
        counted = (lab[:, 0] >= DARKEST) & (lab[:, 0] <= BRIGHTEST)
        lightness, _, blueness = np.median(lab[counted] if counted.any() else lab, axis=0)
        angles[row] = np.degrees(np.arctan2(lightness - 50, max(blueness, 1e-6)))
    return angles


def tone_class(angles: Angles) -> npt.NDArray[np.str_]:
    """Return the class of each ITA, [N]."""
    names = np.array([name for name, _ in CLASSES])
    above = np.asarray(angles)[:, None] > np.array([limit for _, limit in CLASSES[:-1]])
    return names[np.where(above.any(axis=1), above.argmax(axis=1), len(CLASSES) - 1)]
