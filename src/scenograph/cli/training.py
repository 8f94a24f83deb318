"""`scenograph train`: the embedded models, or gated layers on one's own pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from scenograph.cli.habits import SEED, note, say, volume
from scenograph.errors import TrainingError
from scenograph.files import is_writable_folder

__all__ = ["ABLATIONS", "OWN", "TRAININGS", "train"]

# A test holds them equal to recipes.embedded.ORDER, which costs an import of torch.
TRAININGS = (
    *("tokenizer", "text-b", "vae", "text-a", "reader-a", "detector-a", "clip-a"),
    *("tiny-sd", "clip-b", "reader-b", "detector-b", "tiny-gligen", "tiny-goal"),
    *("vq", "janus-pmtp", "janus-djo", "tiny-janus"),
)
# Rows of EchoGen's tables; a test holds them equal to recipes.echogen_rows.ABLATIONS.
ABLATIONS = (
    *("janus-unlooped", "janus-cycle", "janus-random", "janus-planned", "janus-masks"),
    *("entry-1000", "entry-1000-djo", "entry-1000-cycle", "entry-4000", "entry-4000-djo", "entry-4000-cycle"),
    *("entry-all-djo", "entry-all-cycle"),
)
OWN = ("gligen", "goal")

_OWN_OPTIONS = (
    click.option(
        "--data",
        metavar="SOURCE",
        help="gligen and goal: coco:ANNOTATIONS.json, or layouts:FILE.jsonl whose layouts have an image each.",
    ),
    click.option("--images", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the data's pictures."),
    click.option("--captions", type=click.Path(path_type=Path), metavar="FILE", help="COCO captions of the pictures."),
    click.option("--model", metavar="NAME", help="The checkpoint to train; for goal a GLIGEN."),
    click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where the trained model goes."),
    click.option("--delta", is_flag=True, help="Write only what differs from --model, as scenograph loads it."),
    click.option("--resolution", type=click.IntRange(min=8), help="Pixels; default the checkpoint's own."),
    click.option("--fit", type=click.Choice(["crop", "letterbox"]), help="Cut squares out (default), or add bars."),
    click.option("--mirror", is_flag=True, help="Also take pictures mirrored, where no word says left or right."),
    click.option("--batch", type=click.IntRange(min=1), help="Pictures a step and process; default 4."),
    click.option("--lr", type=float, help="Learning rate; default 5e-5."),
    click.option("--accumulate", type=click.IntRange(min=1), help="Steps whose gradients are added up."),
    click.option("--mixed-precision", type=click.Choice(["no", "fp16", "bf16"]), help="Default no."),
    click.option("--checkpointing", is_flag=True, help="Compute activations twice, in less memory."),
    click.option("--seed", type=SEED, help="Default 0."),
    click.option(
        "--hints",
        type=click.FloatRange(min=0),
        help="gligen: weight of two losses that say where boxes are, for short trainings; new gates then begin ajar. "
        "Default 0, as published; tiny-gligen had 0.05.",
    ),
    click.option("--alpha", type=click.FloatRange(min=0), help="goal: weight of the semantic alignment, default 0.01."),
    click.option(
        "--beta", type=click.FloatRange(min=0), help="goal: weight of the attention alignment, default 0.001."
    ),
    click.option(
        "--grounded",
        type=click.FloatRange(0, 1, min_open=True),
        help="goal: share of the steps that will be painted with boxes (--gligen-beta), default 1; the others are "
        "trained without them.",
    ),
    click.option("--clip", metavar="NAME", help="goal: the CLIP that aligns; default openai/clip-vit-large-patch14."),
)


def _own_options(command: Any) -> Any:
    for option in reversed(_OWN_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("name")
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder for data, checkpoints and logs; a training continues where it stopped.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Training steps instead of the recipe's.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; default all.")
@click.option("--warm", is_flag=True, help="Begin with the shipped weights where the folder holds no checkpoint.")
@_own_options
@volume
def train(name: str, run: Path, steps: int | None, threads: int | None, warm: bool, **own: Any) -> None:
    """Train models.

    NAME is an embedded model, or all of them in their order: the weights go into the package. Or it is a row of
    EchoGen's tables: janus-unlooped (stage 2 without its loop), janus-cycle (stages 1 and 3), janus-random and
    janus-planned (layouts of stage 3), janus-masks (stage 1, candidate layouts as masks), entry-1000-djo and its like
    (stages entered early). Or it is gligen or goal, which train gated layers on pictures of your own, given by --data,
    --model and --out; under `accelerate launch` with `-m scenograph` they run in several processes.
    """
    given = {key: value for key, value in own.items() if value is not None and value is not False}
    if name in OWN:
        _train_own(name, run, steps, threads, given, warm=warm)
        return
    if name not in ("all", *TRAININGS, *ABLATIONS):
        known = ", ".join((*TRAININGS, *ABLATIONS, *OWN))
        raise TrainingError(f"no training {name!r}; expected all or one of: {known}")
    if given:
        option = next(iter(given)).replace("_", "-")
        raise TrainingError(f"--{option} belongs to {' and '.join(OWN)}; the embedded {name!r} has its own recipe")
    if name in ABLATIONS:
        if warm:
            raise TrainingError(f"--warm belongs to published models; {name!r} is a row of a table and begins anew")
        from scenograph.recipes.echogen_rows import train_ablation

        say(str(train_ablation(name, run, steps=steps, threads=threads)))
        return
    from scenograph.recipes.embedded import train_embedded

    for each in TRAININGS if name == "all" else (name,):
        note(f"training {each}")
        say(str(train_embedded(each, run, steps=steps, threads=threads, warm=warm)))


def _train_own(
    name: str, run: Path, steps: int | None, threads: int | None, given: dict[str, Any], *, warm: bool
) -> None:
    missing = [f"--{key}" for key in ("data", "model", "out") if key not in given]
    if missing:
        raise TrainingError(f"train {name} lacks {', '.join(missing)}; expected your pictures, a model and a folder")
    owners = {"hints": "gligen"} | dict.fromkeys(("alpha", "beta", "grounded", "clip"), "goal")
    for key, owner in owners.items():
        if key in given and name != owner:
            raise TrainingError(f"--{key} belongs to {owner}; {name} has no such loss")
    if Path(given["out"]).exists():
        raise TrainingError(f"--out {str(given['out'])!r} exists; name a new folder")
    if not is_writable_folder(Path(given["out"]).parent):
        raise TrainingError(f"cannot write to {str(given['out'])!r}; expected a place in a folder you may write to")
    if warm:
        raise TrainingError(f"--warm belongs to embedded models; {name!r} begins with --model")
    from scenograph.recipes.own_data import train_on_data

    if steps is not None:
        given["steps"] = steps
    say(str(train_on_data(name, run=run, threads=threads, **given)))
