"""Text → Layout: planners, and the repair of layouts that are not what was asked.

    plan             Plan and the Planner protocol
    grammar/         reads regular English without any model: prompt → Statement
    arrange          Statement → Layout: placement as linear constraints
    framing          how it sits on the canvas
    repair           a broken layout → a valid one that keeps the statement, with the list of changes
    language_model   any OpenAI-compatible endpoint
    local_model      any local causal LM, decoded under the layout grammar
    examples         in-context examples, chosen by similarity

Modules are imported by name: the language models need libraries that the rest does not.
"""
