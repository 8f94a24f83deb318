"""Sprites: tight to their box, deterministic, of the asked colour, with textures and shapes that can be told apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from scenograph.errors import WorldError
from scenograph.world.contact_sheet import contact_sheet, fitted
from scenograph.world.figures import Role
from scenograph.world.sprites import VARIANTS, _outline, _paint, draw_background, draw_sprite
from scenograph.world.textures import palette
from scenograph.world.vocabulary import BACKGROUNDS, COLOURS, NOUNS, SHAPED_NOUNS, SHAPES, TEXTURES

SIZES = ((8, 8), (128, 128), (13, 90), (101, 17), (48, 40), (8, 128), (128, 8))
KINDS = [(noun, shape) for noun in NOUNS for shape in ((None, *SHAPES) if noun in SHAPED_NOUNS else (None,))]


def _alpha(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image)[..., 3]


def _silhouette(noun: str, shape: str | None = None) -> NDArray[np.bool_]:
    return _alpha(draw_sprite(noun, (48, 48), colour="red", shape=shape)) > 127


def _is_tight(image: Image.Image, size: tuple[int, int]) -> bool:
    box = image.getchannel("A").getbbox()
    assert image.size == size and box is not None
    return box[0] <= 1 and box[1] <= 1 and box[2] >= size[0] - 1 and box[3] >= size[1] - 1


@pytest.mark.parametrize(("noun", "shape"), KINDS)
def test_a_drawing_touches_all_four_edges(noun: str, shape: str | None) -> None:
    for i, size in enumerate(SIZES):
        texture, flip = TEXTURES[i % 4], i % 2 == 1
        sprite = draw_sprite(noun, size, colour="blue", texture=texture, shape=shape, flip=flip, variant=i)
        assert sprite.mode == "RGBA"
        assert _is_tight(sprite, size), (noun, shape, size, sprite.getchannel("A").getbbox())


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    size=st.tuples(st.integers(8, 128), st.integers(8, 128)),
    colour=st.sampled_from(list(COLOURS)),
    texture=st.sampled_from(TEXTURES),
    flip=st.booleans(),
    variant=st.integers(-(10**9), 10**9),
)
def test_any_sprite_is_tight_and_the_same_twice(
    kind: tuple[str, str | None], size: tuple[int, int], colour: str, texture: str, flip: bool, variant: int
) -> None:
    noun, shape = kind
    one = draw_sprite(noun, size, colour=colour, texture=texture, shape=shape, flip=flip, variant=variant)
    two = draw_sprite(noun, size, colour=colour, texture=texture, shape=shape, flip=flip, variant=variant)
    assert _is_tight(one, size)
    assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize("colour", COLOURS)
def test_the_asked_colour_is_the_one_seen(colour: str) -> None:
    """Plain: the median opaque pixel is nearest to it. Textured: most of the vivid pixels are near it."""
    names, table = list(COLOURS), np.array(list(COLOURS.values()))
    for noun, shape in KINDS:
        for texture in TEXTURES:
            sprite = np.asarray(draw_sprite(noun, (52, 44), colour=colour, texture=texture, shape=shape))
            solid = sprite[sprite[..., 3] > 200][:, :3].astype(float)
            distance = np.linalg.norm(solid[:, None] - table, axis=-1)
            votes = np.bincount(distance.argmin(axis=1)[distance.min(axis=1) < 60], minlength=len(names))
            if colour not in ("black", "white"):  # eyes, icing, tyres are black and white on everything
                votes[[names.index("black"), names.index("white")]] = 0
            if texture == "plain":
                votes = -np.linalg.norm(table - np.median(solid, axis=0), axis=-1)
            assert names[int(votes.argmax())] == colour, (noun, shape, texture, votes)


@pytest.mark.parametrize(("noun", "shape"), KINDS)
def test_the_main_colour_covers_the_drawing(noun: str, shape: str | None) -> None:
    for variant in range(0, VARIANTS, 7):
        roles = _paint(noun, shape, variant, (52, 44))
        _outline(roles, (52, 44))
        assert (roles == Role.BODY).sum() / (roles > 0).sum() >= 0.45


@pytest.mark.parametrize("colour", COLOURS)
def test_textures_differ_in_a_good_part_of_the_body(colour: str) -> None:
    for noun in ("apple", "bus", "cat", "umbrella"):
        drawn = [np.asarray(draw_sprite(noun, (40, 40), colour=colour, texture=t)).astype(int) for t in TEXTURES]
        solid = drawn[0][..., 3] > 200
        for i, one in enumerate(drawn):
            for two in drawn[i + 1 :]:
                changed = (np.abs(one - two).max(axis=-1) > 40) & solid
                assert changed.sum() > 0.10 * solid.sum(), (noun, colour)


def test_the_second_tone_keeps_its_distance_from_the_first() -> None:
    for colour in COLOURS:
        tones = palette(colour).view(np.uint8).reshape(-1, 4)[[Role.BODY, Role.SECOND], :3].astype(int)
        assert np.abs(tones[0] - tones[1]).max() >= 70


@pytest.mark.parametrize("noun", SHAPED_NOUNS)
def test_shapes_change_the_silhouette(noun: str) -> None:
    outlines = [_silhouette(noun, shape) for shape in SHAPES]
    for i, one in enumerate(outlines):
        for two in outlines[i + 1 :]:
            assert (one & two).sum() / (one | two).sum() < 0.9


def test_no_two_nouns_share_a_silhouette() -> None:
    outlines = {noun: _silhouette(noun) for noun in NOUNS}
    for one in NOUNS:
        for two in NOUNS:
            if one < two:
                overlap = (outlines[one] & outlines[two]).sum() / (outlines[one] | outlines[two]).sum()
                assert overlap < 0.92, (one, two, overlap)


def test_flip_mirrors_and_variants_differ() -> None:
    for noun in NOUNS:
        plain = draw_sprite(noun, (50, 40), colour="green")
        assert draw_sprite(noun, (50, 40), colour="green", flip=True).tobytes() == ImageOps.mirror(plain).tobytes()
        variants = {draw_sprite(noun, (64, 64), colour="green", variant=v).tobytes() for v in range(12)}
        assert len(variants) > 3, noun


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_backgrounds_fill_any_size_and_are_copies(name: str) -> None:
    for size in ((128, 128), (96, 40), (7, 200)):
        image = draw_background(name, size, variant=3)
        assert image.mode == "RGB" and image.size == size
    first = draw_background(name, (128, 128), variant=1)
    kept = first.tobytes()
    first.paste((255, 0, 0), (0, 0, 128, 128))
    assert draw_background(name, (128, 128), variant=1).tobytes() == kept
    assert draw_background(name, (128, 128), variant=2).tobytes() != kept


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_objects_stand_out_from_backgrounds(name: str) -> None:
    """Either the fill or the outline of every colour is far from the background's mean in each of its thirds."""
    background = np.asarray(draw_background(name, (128, 128))).astype(float)
    for colour in COLOURS:
        tones = palette(colour).view(np.uint8).reshape(-1, 4)[[Role.BODY, Role.OUTLINE], :3].astype(float)
        for third in np.array_split(background, 3):
            mean = third.mean(axis=(0, 1))
            assert np.linalg.norm(tones - mean, axis=1).max() > 60, (name, colour)


@pytest.mark.parametrize(
    "asked",
    [
        {"noun": "unicorn"},
        {"colour": "mauve"},
        {"texture": "furry"},
        {"noun": "clock", "shape": "oval"},
        {"noun": "dog", "shape": "round"},
        {"size_wh": (0, 10)},
    ],
)
def test_unknown_words_raise(asked: dict[str, object]) -> None:
    call: dict[str, object] = {"noun": "cat", "size_wh": (20, 20), "colour": "red", **asked}
    with pytest.raises(WorldError, match="expected"):
        draw_sprite(**call)  # type: ignore[arg-type]


def test_unknown_backgrounds_raise() -> None:
    with pytest.raises(WorldError, match="meadow"):
        draw_background("moon", (128, 128))
    with pytest.raises(WorldError, match="at least 1 pixel"):
        draw_background("room", (128, 0))


def test_the_contact_sheet_shows_each_noun_once() -> None:
    sheet, order = contact_sheet(seed=1)
    assert sorted(order) == sorted(NOUNS)
    assert sheet.size == (6 * 68 * 3, 4 * 68 * 3)
    assert contact_sheet(seed=2)[1] != order
    assert fitted("bus", 60) == (60, 33)
