"""Readers and builders of layout data."""
