"""How large a thing usually stands in a picture: by noun for COCO's classes, by the kind of word for all others.

`MEASURED` comes from 1455 pictures of COCO val2017 with 2-6 boxes over 2 % of their area, by

    python -m scenograph.recipes.noun_sizes coco_layouts.jsonl

which fits every box's extent as its noun's times its picture's (median polish), so that a cup seen from near and a bus
seen from afar are compared at one distance. What photographers keep far away is corrected by hand in `CORRECTED`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from scenograph.layout.words import head_noun

__all__ = ["CORRECTED", "MEASURED", "is_mount", "is_sky", "typical_size"]

MEASURED = """
airplane 0.35 2.67, apple 0.19 1.07, backpack 0.23 0.75, banana 0.33 1.22, baseball bat 0.20 1.16,
baseball glove 0.14 0.91, bear 0.35 0.91, bed 0.63 1.45, bench 0.36 1.72, bicycle 0.31 0.81, bird 0.23 0.96,
boat 0.28 1.82, book 0.23 1.09, bottle 0.23 0.42, bowl 0.35 1.29, broccoli 0.18 1.06, bus 0.42 1.20, cake 0.32 1.36,
car 0.26 1.52, carrot 0.17 1.18, cat 0.36 1.07, cell phone 0.21 0.68, chair 0.26 0.81, clock 0.33 0.88,
couch 0.40 1.33, cow 0.33 1.02, cup 0.23 0.73, dining table 0.55 1.53, dog 0.38 1.13, donut 0.28 1.13,
elephant 0.52 0.97, fire hydrant 0.38 0.51, fork 0.25 1.37, frisbee 0.17 1.32, giraffe 0.35 0.77, handbag 0.20 0.64,
horse 0.43 0.88, hot dog 0.26 1.06, keyboard 0.25 2.62, kite 0.30 1.30, knife 0.24 1.61, laptop 0.36 1.27,
microwave 0.24 1.06, motorcycle 0.46 1.06, mouse 0.16 2.35, orange 0.28 1.26, oven 0.35 1.04, parking meter 0.25 0.49,
person 0.38 0.59, pizza 0.38 1.84, potted plant 0.29 0.83, refrigerator 0.34 0.53, remote 0.20 0.86,
sandwich 0.33 1.27, scissors 0.32 1.16, sheep 0.30 1.25, sink 0.29 2.06, skateboard 0.19 1.56, skis 0.24 3.77,
snowboard 0.20 5.85, spoon 0.21 1.10, sports ball 0.17 1.14, stop sign 0.44 0.96, suitcase 0.27 1.17,
surfboard 0.27 1.76, teddy bear 0.38 0.82, tennis racket 0.19 0.81, tie 0.15 0.32, toilet 0.38 0.81,
traffic light 0.26 0.48, train 0.51 2.15, truck 0.33 1.45, tv 0.29 1.13, umbrella 0.33 1.75, vase 0.25 0.56,
wine glass 0.23 0.46, zebra 0.40 0.94
"""
"""Noun, extent (the square root of the area, as a fraction of the canvas) and aspect (width by height)."""

CORRECTED = """
airplane 0.48 2.40, banana 0.20 1.22, bear 0.46 1.05, bicycle 0.36 1.35, boat 0.42 1.80, car 0.42 1.60, chair 0.30 0.75,
clock 0.24 1.00, cow 0.42 1.25, donut 0.18 1.10, fire hydrant 0.28 0.51, giraffe 0.52 0.60, mouse 0.14 1.30,
orange 0.18 1.05, pizza 0.32 1.50, refrigerator 0.42 0.53, scissors 0.20 1.16, sheep 0.35 1.25, snowboard 0.24 3.50,
bowl 0.26 1.40, dining table 0.52 1.60, stop sign 0.27 0.80, toaster 0.22 1.15, toothbrush 0.14 2.00,
baseball glove 0.17 0.95, hair drier 0.20 1.10, truck 0.46 1.50, bed 0.58 1.45, tv 0.33 1.40, laptop 0.30 1.27
"""
"""By hand: close-ups, distance and cropping make these implausible beside others, or COCO has too few of them."""

# Kinds of words: extent, aspect, nouns. The first that holds the noun decides.
KINDS = """
0.38 0.54: man woman boy girl child kid baby lady guy adult player rider skier surfer snowboarder farmer chef waiter
  policeman soldier dancer bride groom astronaut king queen teacher student doctor nurse worker cyclist skateboarder
  people friend family bicyclist clown wizard knight robot statue mannequin snowman scarecrow ghost angel pilot
0.45 1.25: bull buffalo camel donkey moose deer pony ox rhino rhinoceros hippo hippopotamus dinosaur dragon whale shark
  tiger lion panda gorilla crocodile alligator unicorn ostrich leopard cheetah bison
0.32 1.15: puppy wolf fox pig goat lamb calf monkey kangaroo seal penguin turkey peacock swan goose raccoon koala
0.22 1.15: kitten rabbit bunny squirrel duck chicken hen rooster frog turtle tortoise lizard snake fish owl eagle parrot
  pigeon seagull crow hamster rat otter octopus dolphin flamingo hedgehog animal pet goldfish duckling chick
0.12 1.20: bee butterfly ant spider fly insect bug beetle snail ladybug dragonfly worm mosquito crab shrimp
0.46 1.70: van ship yacht tram trolley helicopter tractor wagon carriage ambulance taxi cab vehicle jeep spaceship
  rocket sailboat submarine sedan bulldozer plane jet aircraft trailer locomotive limousine
0.34 1.30: scooter moped cart canoe kayak wheelchair stroller bike sled motorbike tricycle raft
0.42 1.60: sofa table desk counter dresser crib stage island bathtub tub workbench piano countertop bunk altar shelf
  mattress bookcase bar rug carpet mat
0.42 0.65: cabinet wardrobe closet bookshelf door fridge stove fireplace dishwasher washer dryer curtain window mirror
  locker elevator booth tent gate stall
0.30 0.80: stool armchair ottoman nightstand recliner rocker highchair seat throne trunk chest crate barrel basket box
  bucket bin trashcan can hamper grill drum guitar violin cello easel fan heater printer
0.60 1.20: house building barn church castle temple tower skyscraper cottage cabin school hospital factory store shop
  hotel palace mansion stadium station mall lighthouse mountain hill hut garage shed cathedral pyramid windmill bridge
0.50 0.60: tree palm pine bush fountain cactus monument flagpole lamppost streetlight pole sculpture billboard
0.55 4.00: wire fence wall railing log branch bench-seat train-track track rope shelf-board plank curb pier dock ledge
  line cable rail
0.62 2.20: river lake pond pool field lawn beach road street ocean sea sand grass water meadow garden sidewalk court
  puddle path floor ice snow hay ground hillside
0.16 1.80: pen pencil brush chopstick wand straw key comb ruler crayon marker needle screwdriver hammer wrench cigarette
  spatula sunglasses glasses goggles watch bracelet belt
0.24 1.30: tray plate dish pan pot saucer platter wok skillet pillow cushion towel blanket hat helmet cap shoe boot
  sneaker slipper sandal bread pie salad steak burger hamburger spaghetti pasta rice noodle soup radio speaker camera
  cushion briefcase purse bag wallet drawing calendar drone monitor screen typewriter shirt jacket coat dress
0.24 0.75: lamp candle lantern mug glass jar jug kettle pitcher teapot coffee vase flower rose tulip bouquet plant fern
  doll toy trophy phone telephone blender coffeemaker balloon notebook picture painting photo photograph poster frame
  sign guitar-case lollipop cupcake popsicle flag
0.15 1.05: ball egg lemon lime peach pear tomato onion potato strawberry grape cherry mushroom cookie muffin bagel coin
  ring button stone rock shell leaf dice star marble napkin coaster soap sponge acorn pumpkin croissant donut-hole cube
  sphere pyramid-toy controller mouse-pad basketball baseball football
0.22 1.00: sun moon
0.40 2.00: cloud rainbow
"""

MOUNTS = frozenset(
    """horse pony donkey camel elephant cow bull bicycle bike motorcycle motorbike scooter moped couch sofa bed chair
    bench armchair stool seat throne sled swing hammock recliner cushion pillow mattress boat canoe kayak""".split()
)
SKY = frozenset(
    """bird airplane plane jet helicopter kite cloud sun moon star rainbow balloon butterfly bee eagle seagull drone
    rocket aircraft dragonfly owl ufo parachute chandelier""".split()
)
BIGGER = {"giant": 1.5, "huge": 1.45, "enormous": 1.5, "big": 1.25, "large": 1.25, "oversized": 1.4}
SMALLER = {"small": 0.72, "little": 0.75, "tiny": 0.55, "miniature": 0.55, "mini": 0.65, "baby": 0.7, "short": 0.85}
STRETCHED = {"tall": 0.72, "long": 1.45, "wide": 1.35, "narrow": 0.7, "thin": 0.7, "flat": 1.4, "square": None}


def _table(*texts: str) -> dict[str, tuple[float, float]]:
    rows = [row.split() for text in texts for row in text.replace("\n", " ").split(",")]
    return {" ".join(noun): (float(extent), float(aspect)) for *noun, extent, aspect in rows}


def _kinds() -> dict[str, tuple[float, float]]:
    table: dict[str, tuple[float, float]] = {}
    kind = (0.3, 1.0)
    for word in KINDS.split():
        if word[0].isdigit():
            kind = (kind[1], float(word[:-1])) if word.endswith(":") else (0.0, float(word))
        else:
            table.setdefault(word, kind)
    return table


_SIZES = _kinds() | _table(MEASURED, CORRECTED)


@lru_cache(4096)
def _usual(noun: str) -> tuple[float, float]:
    last = noun.split()[-1] if noun.split() else noun
    head = head_noun(noun) if noun.strip() else noun
    return _SIZES.get(noun) or _SIZES.get(head) or _SIZES.get(last) or (0.3, 1.0)


def typical_size(noun: str, attributes: Sequence[str] = ()) -> tuple[float, float]:
    """(extent, aspect) of a noun: the square root of its area in a square picture, and its width by its height.

    Words of size and form among `attributes` ("huge", "tiny", "tall", "long") change it; an unknown noun gets the size
    of its last word, else (0.3, 1.0).
    """
    extent, aspect = _usual(noun)
    for attribute in attributes:
        word = attribute.lower()
        extent *= BIGGER.get(word, 1.0) * SMALLER.get(word, 1.0)
        if word in STRETCHED:
            stretch = STRETCHED[word]
            aspect = 1.0 if stretch is None else aspect * stretch
    return min(0.9, max(0.08, extent)), min(5.0, max(0.25, aspect))


def is_mount(noun: str) -> bool:
    """Whether what is on it sits rather than stands: on a horse, on a chair."""
    return noun.rpartition(" ")[2] in MOUNTS


def is_sky(noun: str) -> bool:
    """Whether it is usually seen in the upper part of a picture."""
    return noun.rpartition(" ")[2] in SKY
