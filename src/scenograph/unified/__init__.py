"""One autoregressive transformer that paints, grounds, plans and understands (EchoGen; MIGLoRA, Stage I).

    tokens.py     Layout ↔ text tokens, exact both ways     letterbox.py  any canvas ↔ the model's square
    sequence.py   the tasks as token sequences              batch.py      sequences → padded tensors
    mask.py       who may look at whom in one sequence      model.py      transformers' Janus: two sizes, loading
    passes.py     embeddings, states, text and image heads  pictures.py   pictures ↔ pixels ↔ image tokens
    grammar.py    which token may come next in a layout     sampler.py    drawing images and layouts, with log-probs
    scoring.py    teacher-forced passes with gradients      losses.py     what stages 1 and 2 minimise

Nothing here trains: the stages are stories in `scenograph.training`.
"""
