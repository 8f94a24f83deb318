"""Scores over (asked layout, seen layout, image), and the benchmark protocols made of them.

    bootstrap       intervals and paired differences by resampling layouts
    statement       what a prompt states, and whether a layout keeps it
    nsr1k           the prompts and released layouts of NSR-1K; nsr1k_official, nsr1k_strict score them
    nsr1k_images    NSR-1K on pictures: counting and spatial accuracy from detections
    compbench       T2I-CompBench's box scores, of layouts or detections
    compbench_images    its scores of pictures; compbench_prompts, chunks: what its prompts ask
    compbench_world     its categories in the small world, of combinations no painter has seen
    vqa, world_vqa  probability of "yes" to a question on a picture: BLIP, the embedded judges
    depth           how near things are in a picture
    preference      PickScore
    labels          agreement of a planner's reading with prompts labelled by hand
    correction      Acc and ReAcc: are layouts right, are broken ones put right
    detection       COCO AP through pycocotools, matching, mean IoU
    attributes      the attribute reader and the accuracy of asked colours, textures and shapes
    combinations    instances whose noun, colour and texture were never seen together
    clip            CLIP-s of images and of regions, retrieval checks of a CLIP
    fid             Fréchet and kernel distances in a given feature space
    judge           one image: a score per instance
    results         results files, tables rendered from them
    guidance_protocol   the comparison of guidance methods
    referring       Ref-L4's protocol: one box for each expression
    layoutsam       LayoutSAM-Eval: questions about every box; vlm, layoutsam_world: who answers
    echogen_coco    EchoGen's COCO protocol

Nothing here paints or detects: protocols receive callables and objects. Modules are imported by name, because some
of them need torch and some do not.
"""
