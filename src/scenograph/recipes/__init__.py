"""Recipes: functions that return frozen configurations; each docstring gives command, cost and expected score."""
