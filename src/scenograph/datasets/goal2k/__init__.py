"""GOAL2K: pictures with prompts and boxes for GOAL's fine-tuning, built in stages that continue where they stopped.

    words       objects and what may be said of them, of COCO and of the small world
    templates   prompts of six categories made of those words
    prompts     stage 1: template prompts and captions with several objects
    rewording   stage 1, optional: a language model words them anew
    painting    stage 2: a picture of every prompt, by a painter; `endpoint` asks an image endpoint
    grounding   stage 3: boxes of every picture, by a grounder
    review      stage 4: a person accepts, fixes or rejects, in a text file beside contact sheets
    build       all of it, and stage 5: the data set with its manifest

The recipe is the paper's (GOAL, section 3.5): template prompts and COCO captions, DALL-E 3, GroundingDINO, and a manual
check of every pair.
"""
