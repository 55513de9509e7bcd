"""Tests under `image/` need TorchServe and the network formats: `make test-images` runs them inside the image."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("ts") else ["image"]
