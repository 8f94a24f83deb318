"""Image to layout: embedded detectors, open-vocabulary hub detectors, and an echo for tests and plumbing."""
