"""How many candidates the tests of `synth select` have, and which of them are copies of photographs."""

COUNT = 40
COPIES = [8, 20]
