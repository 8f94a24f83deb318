"""The command line: `scenograph COMMAND …`. A door, not a room.

Every command parses its words, calls the library and prints. Nothing heavy is imported before a command runs, so that
help answers at once. Exit status: 0 done, 2 the user's mistake (one line on stderr), 1 anything else.
"""

from scenograph.cli.door import main, reference

__all__ = ["main", "reference"]
