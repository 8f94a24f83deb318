"""Settings for every test: no network, and the same hypothesis examples in every run."""

import os

import hypothesis

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

hypothesis.settings.register_profile("scenograph", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("scenograph")
