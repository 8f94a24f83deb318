"""Names → loaded parts: families of backbones, embedded weights, foreign checkpoints converted to safetensors.

    load_pipeline("stable-diffusion-v1-5/stable-diffusion-v1-5")   -> (FAMILIES["sd"], StableDiffusionPipeline)

A new backbone is one row in `families.py`. Importing this package does not import torch.
"""
