"""The small world: COCO nouns as parametric vector sprites, with exact truth and a frozen train/test split."""
