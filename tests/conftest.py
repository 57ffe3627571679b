"""Settings of all tests."""

from hypothesis import settings

# Time on a busy machine says nothing of the code, and a failure should come back when the tests run again.
settings.register_profile("rarescreen", deadline=None, derandomize=True)
settings.load_profile("rarescreen")
