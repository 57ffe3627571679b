"""The GPU's resampling kernel, run by Triton's interpreter, against the convolutions that processors use."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("interpreted_kernel.py")


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="there is no Triton for this machine")
def test_the_kernel_and_its_derivatives_are_those_of_convolutions() -> None:
    environ = os.environ | {"TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, str(WORKER)], env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 10
    for name, differences in found.items():
        for what, difference in differences.items():
            assert difference < 3e-6, (name, what)
