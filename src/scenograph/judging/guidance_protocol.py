"""The comparison of guidance methods: the same layouts and seeds painted by every method, judged by the same judges.

WinWinLay's tables (AP, AP50, CLIP-s, FID) with what they leave out: mean IoU, attribute accuracy, seconds, intervals,
paired differences, and the drawn scenes of the same layouts as the ceiling that the judges themselves set. Found and
attributes are also given apart for combinations of attributes that painters have been trained on (`…_seen`) and have
not (`…_held_out`). Shares of the ceiling count from 0, those of CLIP-s from what drawn scenes get with the captions of
other layouts (`clip_s_floor`).

Methods come as callables, so nothing here knows how painting works. Pictures are kept in a folder as they are made: a
broken run continues where it stopped, and one made from other layouts, seeds or settings is refused rather than mixed
in. Readings can be kept with them, so that methods may be painted and judged by several processes, one each, before
one puts the table together.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from scenograph.errors import ResultError
from scenograph.files import write_whole
from scenograph.judging.attributes import Reader, attribute_tallies
from scenograph.judging.bootstrap import Estimate, Tally, difference, resamples
from scenograph.judging.clip import ClipScorer, clip_floor, clip_tally, region_clip_floor, region_clip_tally
from scenograph.judging.combinations import HALVES
from scenograph.judging.detection import Coco, Detector, canonical, detect_asked, found_tally, iou_tally
from scenograph.judging.fid import SCALE, frechet_estimate, kernel_distance
from scenograph.judging.readings import kept_reading, reading_key
from scenograph.layout import Layout

__all__ = ["CEILING", "SHARED", "Judges", "Paint", "compare", "measure", "paint_all"]

Paint = Callable[[Sequence[Layout], Sequence[int]], Sequence[Image.Image]]
Also = Callable[[str, Sequence[Image.Image]], Mapping[str, Tally]]
"""Name of a row and its pictures → more metrics, per layout."""

CEILING = "drawn scenes"
SHARED = (
    *("ap", "ap50", "ap75", "ar", "mean_iou", "found"),
    *("clip_s", "region_clip_s", "attributes", "attributes_detected"),
)
_FID_RESAMPLES = 200  # an eigendecomposition each


@dataclass(frozen=True, kw_only=True)
class Judges:
    """Who judges. For reported numbers: judges that nothing else selects, rewards or trains with."""

    detector: Detector
    reader: Reader
    clip: ClipScorer


def compare(
    layouts: Sequence[Layout],
    methods: Mapping[str, Paint],
    judges: Judges,
    *,
    reference: Sequence[Image.Image],
    folder: str | Path,
    ceiling: Sequence[Image.Image] | None = None,
    pairs: Sequence[tuple[str, str]] = (),
    settings: Mapping[str, str] = MappingProxyType({}),
    seed: int = 0,
    batch_size: int = 8,
    count: int = 1000,
    report: Callable[[str], None] = lambda line: None,
    also: Also = lambda name, images: {},
    judged_by: str | None = None,
) -> list[dict[str, Any]]:
    """Paint and judge every method; rows for a results file.

    One row per method and one for the ceiling with `<metric>`, `<metric>_ci` (95 %, layouts resampled) and, for the
    metrics of `SHARED`, `<metric>_share` in percent of the way from its floor to the ceiling; then one row "a − b" of
    paired differences for each of `pairs`.

    Args:
        methods: name → paint(layouts, seeds) → images; called with at most `batch_size` layouts at a time.
        reference: real (drawn) images for the Fréchet and kernel distances, of other scenes than `ceiling`.
        folder: where pictures are kept, one folder per method.
        ceiling: drawn images of the very same layouts.
        settings: name → whatever else determines a method's pictures; a change of it refuses the kept pictures.
        seed: layout i is painted from seed + i, and the resamples come from seed.
        count: resamples.
        also: more metrics, of the ceiling by the name CEILING; a difference has what both its methods have.
        judged_by: what readings depend on besides pictures, layouts, reference and resamples (the judges' weights and
            code, and `also`'s); readings are kept in `folder` then, and taken from there. None keeps none.

    Raises:
        ResultError: no layouts, an unknown method in a pair, lists that do not fit, or kept pictures of another run.
    """
    _check(layouts, methods, ceiling, pairs)
    asked = canonical(layouts, judges.detector.labels)
    weights_RN = resamples(len(layouts), count=count, seed=seed)
    judging = _judging(asked, judges, reference, weights_RN, also, report)

    def read(name: str, images: Sequence[Image.Image]) -> dict[str, Estimate]:
        if judged_by is None:
            return judging(name, images)
        key = reading_key(images, asked, reference, weights_RN, json.dumps([judged_by, settings.get(name)]))
        return kept_reading(Path(folder) / _slug(name), key, lambda: judging(name, images))

    best = {} if ceiling is None else read(CEILING, ceiling)
    measured: dict[str, dict[str, Estimate]] = {}
    took: dict[str, float] = {}
    for name, paint in methods.items():
        seeds = [seed + index for index in range(len(layouts))]
        kept = Path(folder) / _slug(name)
        images, took[name] = paint_all(paint, layouts, seeds, kept, settings.get(name, ""), batch_size, report)
        measured[name] = read(name, images)
    return _table(asked, measured, took, best, pairs)


def _table(
    asked: Sequence[Layout],
    measured: Mapping[str, dict[str, Estimate]],
    took: Mapping[str, float],
    ceiling: Mapping[str, Estimate],
    pairs: Sequence[tuple[str, str]],
) -> list[dict[str, Any]]:
    """Rows of the methods, of the ceiling if there is one, and of the pairs."""
    floors = {metric: one for metric, one in ceiling.items() if metric.endswith("_floor")}
    best = {metric: one for metric, one in ceiling.items() if metric not in floors}
    full = {name: reading | _shares(reading, best, floors) for name, reading in measured.items()}
    numbers = {
        f"instances_{half}": sum(counts(i) for a in asked for i in a.instances) for half, counts in HALVES.items()
    }
    rows = [_row(name, len(asked), reading) | numbers | {"seconds": took[name]} for name, reading in full.items()]
    if best:
        rows.append(_row(CEILING, len(asked), best | _shares(best, best, floors) | floors) | numbers)
    for first, second in pairs:
        gaps = {m: difference(one, b) for m, one in full[first].items() if (b := full[second].get(m))}
        rows.append(_row(f"{first} − {second}", len(asked), gaps))
    return rows


def _judging(
    asked: Sequence[Layout],
    judges: Judges,
    reference: Sequence[Image.Image],
    weights_RN: NDArray[np.int64],
    also: Also,
    report: Callable[[str], None],
) -> Callable[[str, Sequence[Image.Image]], dict[str, Estimate]]:
    """Name and pictures of a row → everything read from them; of the ceiling the floors too."""
    reference_MD = cache(lambda: judges.clip.image_features(reference))

    def judging(name: str, images: Sequence[Image.Image]) -> dict[str, Estimate]:
        report(f"{name}: judging")
        reading = measure(images, asked, judges, reference_MD(), weights_RN)
        reading |= _floors(images, asked, judges, weights_RN) if name == CEILING else {}
        return reading | {metric: tally.estimate(weights_RN) for metric, tally in also(name, images).items()}

    return judging


def measure(
    images: Sequence[Image.Image],
    asked: Sequence[Layout],
    judges: Judges,
    reference_MD: Tensor,
    weights_RN: NDArray[np.int64],
) -> dict[str, Estimate]:
    """Every metric of one set of images with its resamples. `asked` has labels the detector knows (`canonical`)."""
    seen = detect_asked(images, asked, judges.detector)
    estimates = Coco(asked, seen).estimates(weights_RN)
    tallies = {"mean_iou": iou_tally(asked, seen), "clip_s": clip_tally(images, asked, judges.clip)}
    tallies["region_clip_s"] = region_clip_tally(images, asked, judges.clip)
    tallies |= attribute_tallies(images, asked, judges.reader)
    tallies["attributes_detected"] = attribute_tallies(images, asked, judges.reader, seen=seen)["attributes"]
    tallies["found"] = found_tally(asked, seen)
    for half, counts in HALVES.items():
        tallies[f"found_{half}"] = found_tally(asked, seen, counts=counts)
        attributes = attribute_tallies(images, asked, judges.reader, seen=seen, counts=counts)
        tallies[f"attributes_detected_{half}"] = attributes["attributes"]
    estimates |= {name: tally.estimate(weights_RN) for name, tally in tallies.items()}
    features_ND = judges.clip.image_features(images)
    fid = frechet_estimate(features_ND, reference_MD, weights_RN[:_FID_RESAMPLES])
    estimates["world_fid"] = Estimate(value=SCALE * fid.value, samples_R=SCALE * fid.samples_R)
    kid = SCALE * kernel_distance(features_ND, reference_MD)
    estimates["world_kid"] = Estimate(value=kid, samples_R=np.full(1, np.nan))
    return estimates


def paint_all(
    paint: Paint,
    layouts: Sequence[Layout],
    seeds: Sequence[int],
    folder: str | Path,
    settings: str = "",
    batch_size: int = 8,
    report: Callable[[str], None] = lambda line: None,
) -> tuple[list[Image.Image], float]:
    """Paint what the folder does not have yet; all images, and the median of their seconds when they were painted: one
    that waited for something else says nothing.

    Raises ResultError when the folder holds another run, or `paint` returns another number of images.
    """
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    run = _fingerprint(layouts, seeds, settings)
    seconds = _kept(home, run)
    missing = [i for i in range(len(layouts)) if str(i) not in seconds or not _picture(home, i).exists()]
    for start in range(0, len(missing), batch_size):
        batch = missing[start : start + batch_size]
        began = time.perf_counter()
        images = paint([layouts[i] for i in batch], [seeds[i] for i in batch])
        each = (time.perf_counter() - began) / len(batch)
        if len(images) != len(batch):
            raise ResultError(
                f"painting {len(batch)} layouts for {home.name} gave {len(images)} images; expected as many"
            )
        for i, image in zip(batch, images, strict=True):
            image.save(_picture(home, i))
            seconds[str(i)] = each
        write_whole(home / "run.json", json.dumps({"run": run, "seconds": seconds}))
        report(f"{home.name}: {len(layouts) - len(missing) + start + len(batch)} of {len(layouts)}, {each:.2f} s each")
    images_all = []
    for i in range(len(layouts)):
        with Image.open(_picture(home, i)) as image:
            images_all.append(image.convert("RGB"))
    return images_all, float(np.median([seconds[str(i)] for i in range(len(layouts))]))


def _kept(home: Path, run: str) -> dict[str, float]:
    """Index → seconds of the pictures that the folder already has. Raises ResultError when they are another run's."""
    log = home / "run.json"
    if not log.exists():
        return {}
    kept = json.loads(log.read_text(encoding="utf-8"))
    if kept["run"] != run:
        raise ResultError(
            f"{home} holds pictures of other layouts, seeds or settings; remove it or choose another folder"
        )
    return {str(index): float(each) for index, each in kept["seconds"].items()}


def _floors(
    drawn: Sequence[Image.Image], asked: Sequence[Layout], judges: Judges, weights_RN: NDArray[np.int64]
) -> dict[str, Estimate]:
    """Of the metrics whose zero is not the worst."""
    return {
        "clip_s_floor": clip_floor(drawn, asked, judges.clip, weights_RN),
        "region_clip_s_floor": region_clip_floor(drawn, asked, judges.clip, weights_RN),
    }


def _shares(
    measured: Mapping[str, Estimate], best: Mapping[str, Estimate], floors: Mapping[str, Estimate]
) -> dict[str, Estimate]:
    """Percent of the way from the floor to the ceiling, resample by resample."""
    shares = {}
    for metric in SHARED:
        if metric not in best:
            continue
        floor = floors.get(f"{metric}_floor", Estimate(value=0.0, samples_R=np.zeros(1)))
        if best[metric].value - floor.value > 0:
            with np.errstate(invalid="ignore", divide="ignore"):
                way_R = (measured[metric].samples_R - floor.samples_R) / (best[metric].samples_R - floor.samples_R)
            way = (measured[metric].value - floor.value) / (best[metric].value - floor.value)
            samples_R = np.where(np.isfinite(way_R), 100 * way_R, np.nan)
            shares[f"{metric}_share"] = Estimate(value=100 * way, samples_R=samples_R)
    return shares


def _row(name: str, n: int, measured: Mapping[str, Estimate]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "n": n}
    for metric, estimate in measured.items():
        if np.isnan(estimate.value):
            continue
        row[metric] = estimate.value
        if np.isfinite(estimate.samples_R).any():
            row[f"{metric}_ci"] = list(estimate.interval)
    return row


def _check(
    layouts: Sequence[Layout],
    methods: Mapping[str, Paint],
    ceiling: Sequence[Image.Image] | None,
    pairs: Sequence[tuple[str, str]],
) -> None:
    if len(layouts) < 2:
        raise ResultError(f"a comparison needs at least 2 layouts, got {len(layouts)}")
    if ceiling is not None and len(ceiling) != len(layouts):
        raise ResultError(
            f"the ceiling needs one drawn image per layout, got {len(ceiling)} for {len(layouts)} layouts"
        )
    unknown = {name for pair in pairs for name in pair} - set(methods)
    if unknown:
        raise ResultError(f"pairs name {', '.join(sorted(unknown))}; the methods are {', '.join(methods)}")
    if len({_slug(name) for name in methods}) != len(methods) or CEILING in methods:
        raise ResultError(
            f"method names must differ in their letters and digits and not be {CEILING!r}, got {list(methods)}"
        )


def _fingerprint(layouts: Sequence[Layout], seeds: Sequence[int], settings: str) -> str:
    asked = [[layout.to_dict(), layout.prompt().text] for layout in layouts]
    text = json.dumps([asked, list(seeds), settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name)


def _picture(folder: Path, index: int) -> Path:
    return folder / f"{index:05d}.png"
