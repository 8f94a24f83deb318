"""The exceptions a user can meet, all of them under one root, and the warning.

Every message says what came, what was expected and what to do about it, on one line: the command line prints it as it
is and exits with status 2. A mistake of ours is not in this tree; it is an assertion or whatever Python raises.

    ScenographError
    ├── LayoutError       a box, an instance, a layout or a layout file is not valid
    ├── PlanError         a prompt cannot be planned, or the planner's endpoint or model does not answer
    ├── PhraseError       a phrase is not in the prompt, or lies beyond the text encoder's window
    ├── CheckpointError   a model is missing, unreachable, damaged or of an unknown family
    ├── GuidanceError     a guidance cannot be composed or does not fit the model it should steer
    ├── ImageError        a picture cannot be read, has the wrong size, or carries no recipe
    ├── DependencyError   an optional library is needed and not installed
    ├── ResultError       a results file or a score is malformed, or two of them cannot be compared
    ├── WorldError        a word, a scene or a split the small world does not know
    ├── DatasetError      a data set of pictures cannot be read, built or reviewed
    └── TrainingError     a training recipe, data set or checkpoint cannot be used, or the loss became non-finite
"""

__all__ = [
    "CheckpointError",
    "DatasetError",
    "DependencyError",
    "GuidanceError",
    "ImageError",
    "LayoutError",
    "PhraseError",
    "PlanError",
    "ResultError",
    "ScenographError",
    "ScenographWarning",
    "TrainingError",
    "WorldError",
]


class ScenographError(Exception):
    """The root: catch it to catch every mistake that scenograph explains."""


class LayoutError(ScenographError, ValueError):
    """A box, an instance, a layout or a layout file is not valid."""


class PhraseError(ScenographError, ValueError):
    """A phrase is not in the prompt, or lies beyond the text encoder's window."""


class PlanError(ScenographError, ValueError):
    """A prompt cannot be planned, or the planner's endpoint or model does not answer."""


class CheckpointError(ScenographError):
    """A model is missing, unreachable, damaged or of an unknown family."""


class GuidanceError(ScenographError, ValueError):
    """A guidance cannot be composed, or does not fit the model it should steer."""


class ImageError(ScenographError, ValueError):
    """A picture cannot be read, has the wrong size, or carries no recipe."""


class DependencyError(ScenographError, ImportError):
    """An optional library is needed and not installed."""


class ResultError(ScenographError, ValueError):
    """A results file or a score is malformed, or two of them cannot be compared."""


class WorldError(ScenographError, ValueError):
    """A word, a scene or a split the small world does not know."""


class DatasetError(ScenographError, ValueError):
    """A data set of pictures cannot be read, built or reviewed."""


class TrainingError(ScenographError):
    """A training recipe, data set or checkpoint cannot be used, or the loss became non-finite."""


class ScenographWarning(UserWarning):
    """What goes on and is likely to disappoint; the command line prints it as one line, those of libraries with -v."""
