"""Light and camera: from a patch of skin to an 8-bit picture."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.phantom.fields import Field, box_matrix, fractal_noise, optics_matrix, spline_matrix
from shared.phantom.skin import Skin, reflectance, working_grid

_NOISE_CELLS = 64  # sensor noise belongs to the scene, so that the same picture at another size carries the same noise


@dataclass(frozen=True)
class Camera:
    """What one clinic's camera does to every picture; ranges are (lowest, highest), drawn anew for each picture."""

    white_balance: tuple[float, float, float] = (0.03, 0.0, -0.02)  # log gains of red, green, blue
    white_balance_spread: float = 0.05
    exposure: tuple[float, float] = (0.25, 0.36)  # mean luminance that the automatic exposure aims at, linear
    contrast: tuple[float, float] = (0.95, 1.15)
    blur: tuple[float, float] = (0.004, 0.011)  # in sides
    sharpening: tuple[float, float] = (0.0, 0.25)
    noise: tuple[float, float] = (0.006, 0.016)  # standard deviation, display units 0..1
    vignetting: tuple[float, float] = (0.03, 0.22)


STUDY_CAMERA = Camera()
EXTERNAL_CAMERA = Camera(
    white_balance=(-0.09, 0.02, 0.10),
    exposure=(0.30, 0.44),
    contrast=(0.78, 0.94),
    blur=(0.008, 0.016),
    sharpening=(0.5, 0.9),
    noise=(0.014, 0.030),
    vignetting=(0.0, 0.08),
)


def photograph(rng: np.random.Generator, skin: Skin, camera: Camera, size: int) -> npt.NDArray[np.uint8]:
    """Return the picture of `skin`, [size, size, 3] uint8 sRGB; the draws do not depend on `size`."""
    scene = _lit(rng, skin, camera)  # [3, G, G] linear
    blur = rng.uniform(*camera.blur)
    optics = optics_matrix(size, working_grid(size), blur)
    picture = optics @ scene @ optics.T
    sharpening = rng.uniform(*camera.sharpening)
    if sharpening > 0:
        wide = optics_matrix(size, working_grid(size), blur + 0.02)
        picture = picture + np.float32(sharpening) * (picture - wide @ scene @ wide.T)
    return _developed(rng, picture, camera, size)


def _lit(rng: np.random.Generator, skin: Skin, camera: Camera) -> Field:
    """Light the relief from one side, unevenly, and darken the corners; [3, G, G] linear."""
    slope_y, slope_x = np.gradient(skin.relief, 1 / skin.grid)
    to_x, to_y = skin.light
    # Ground that falls off towards the lamp faces it.
    facing = -(slope_x * np.float32(to_x) + slope_y * np.float32(to_y))
    # Light that wanders under the surface softens every shadow.
    shading = 1 + np.float32(0.42) * np.tanh(np.float32(rng.uniform(1.4, 2.2)) * facing)
    across = (skin.x - np.float32(0.5)) * np.float32(to_x) + (skin.y - np.float32(0.5)) * np.float32(to_y)
    bowl = (across - np.float32(rng.uniform(-0.3, 0.3))) ** 2
    uneven = np.float32(rng.uniform(0.0, 0.45)) * across - np.float32(rng.uniform(0.0, 0.7)) * bowl
    uneven = uneven + np.float32(0.04) * fractal_noise(rng, skin.grid, (2, 4))
    corner = (skin.x - np.float32(0.5)) ** 2 + (skin.y - np.float32(0.5)) ** 2
    falloff = 1 - np.float32(rng.uniform(*camera.vignetting)) * 2 * corner
    sheen = np.float32(rng.uniform(0.0, 0.05)) * np.clip(facing + np.float32(0.15), 0, 1) + skin.sparkle
    light = np.exp(uneven) * falloff
    scene: Field = (reflectance(skin) * shading + sheen) * light
    return scene


def _developed(rng: np.random.Generator, picture: Field, camera: Camera, size: int) -> npt.NDArray[np.uint8]:
    """Expose, balance, apply the tone curve and add noise; [3, S, S] linear to [S, S, 3] uint8."""
    balance = np.array(camera.white_balance) + rng.normal(0, camera.white_balance_spread, 3)
    aim = rng.uniform(*camera.exposure)
    # The automatic exposure goes a third of the way, so that dark skin stays dark.
    gain = (aim / max(float(picture.mean()), 1e-3)) ** 0.33
    display = srgb(np.clip(picture * np.exp(balance)[:, None, None].astype(np.float32) * np.float32(gain), 0, None))
    contrast = np.float32(rng.uniform(*camera.contrast))
    display = (display - np.float32(0.5)) * contrast + np.float32(0.5)
    grain = box_matrix(size, working_grid(size)) @ spline_matrix(working_grid(size), _NOISE_CELLS)
    lattice = rng.standard_normal((4, _NOISE_CELLS + 3, _NOISE_CELLS + 3), dtype=np.float32)
    noise = grain @ (np.float32(0.8) * lattice[:1] + np.float32(0.6) * lattice[1:]) @ grain.T  # grey and coloured
    display = display + np.float32(2 * rng.uniform(*camera.noise)) * noise
    return np.ascontiguousarray(np.rint(np.clip(display, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))


def srgb(linear: Field) -> Field:
    """Return sRGB display values for linear ones (IEC 61966-2-1), with a soft shoulder above 0.8."""
    display = np.where(
        linear <= np.float32(0.0031308),
        np.float32(12.92) * linear,
        np.float32(1.055) * np.maximum(linear, np.float32(0.0031308)) ** np.float32(1 / 2.4) - np.float32(0.055),
    )
    over = np.maximum(display - np.float32(0.8), 0)
    return np.minimum(display, np.float32(0.8)) + np.float32(0.2) * (1 - np.exp(-over / np.float32(0.2)))
