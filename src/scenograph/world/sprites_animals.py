"""Drawings of the living nouns (person, animals) and the teddy bear, as lists of figures in free design units.

Each function returns the parts from back to front; `random` moves small proportions only, never what the thing is.
"""

from __future__ import annotations

from random import Random

from scenograph.world.figures import Part, Role, box, curve, ellipse, mirror, polygon, rounded, sector, stroke

__all__ = ["bird", "cat", "dog", "elephant", "giraffe", "person", "teddy_bear"]


def _both(*parts: Part, axis: float = 50) -> list[Part]:
    """Each part followed by its mirror image."""
    return [(role, figure) for role, points in parts for figure in (points, mirror(points, axis))]


def _eye(x: float, y: float, r: float) -> list[Part]:
    return [(Role.PALE, ellipse(x, y, r)), (Role.INK, ellipse(x + 0.2 * r, y, r * 0.62))]


def person(random: Random) -> list[Part]:
    """A standing person from the front; shirt and trousers carry the colour."""
    waist, spread, hair = random.uniform(63, 68), random.uniform(0, 4), random.uniform(12, 17)
    arm = stroke(polygon(36, 41, 32 - spread, 54, 29 - spread, 68), 10, 8.5)
    hand, shoe = ellipse(28 - spread, 73, 4.8), rounded(31, 104, 48, 111, 3.5)
    leg = polygon(50, waist, 36, waist, 35, 105, 47.5, 105, 50, waist + 16)
    return [
        *_both((Role.SKIN, hand), (Role.BODY, arm), (Role.INK, shoe), (Role.BODY, leg)),
        (Role.SKIN, box(45.5, 26, 54.5, 38)),
        (Role.BODY, curve(36, 36, 44, 33.5, 56, 33.5, 64, 36, 66, 44, 64, 56, 65, waist + 2,
                          35, waist + 2, 36, 56, 34, 44)),
        *_both((Role.OUTLINE, stroke(polygon(36.5, 46, 36, 62), 1.6))),
        (Role.INK, box(35.4, waist - 0.5, 64.6, waist + 3)),
        (Role.SKIN, polygon(45, 33, 55, 33, 50, 40)),
        (Role.HAIR, ellipse(50, 14, 13.5, 14)),
        (Role.SKIN, ellipse(50, 18, 11, 12)),
        (Role.HAIR, sector(50, 13, 12.5, hair * 0.65, 180, 360)),
        *_both((Role.INK, ellipse(45.8, 18, 1.8))),
        (Role.TOPPING, stroke(curve(46.5, 23.5, 50, 25, 53.5, 23.5, closed=False), 1.8)),
    ]  # fmt: skip


def dog(random: Random) -> list[Part]:
    """A standing dog from the side, facing right: floppy ear, long snout, raised tail, collar."""
    foot, ear, tail = random.uniform(97, 103), random.uniform(42, 50), random.uniform(12, 22)
    return [
        (Role.SHADE, rounded(31, 60, 42, foot - 2, 4)), (Role.SHADE, rounded(80, 60, 91, foot - 2, 4)),
        (Role.BODY, stroke(curve(18, 52, 8, 42, 4, 30, 7, tail, closed=False), 10, 6)),
        (Role.BODY, curve(14, 50, 30, 42, 60, 44, 84, 38, 94, 48, 92, 66, 80, 74, 56, 70, 34, 74, 18, 72)),
        (Role.BODY, rounded(17, 58, 31, foot, 4)), (Role.BODY, rounded(70, 58, 83, foot, 4)),
        (Role.SHADE, rounded(17, foot - 4, 34, foot, 3)), (Role.SHADE, rounded(70, foot - 4, 86, foot, 3)),
        (Role.BODY, polygon(70, 46, 80, 22, 104, 34, 93, 62)),
        (Role.BODY, ellipse(95, 22, 19, 17)),
        (Role.BODY, rounded(96, 19, 129, 37, 8)),
        (Role.PINK, rounded(112, 33, 119, 45, 3.4)),
        (Role.SHADE, stroke(polygon(104, 34, 125, 34), 2.2)),
        (Role.INK, ellipse(126, 21, 5.5, 4.5)),
        *_eye(102, 15, 4.4),
        (Role.ACCENT, stroke(polygon(75, 42, 97, 50), 5.5)),
        (Role.SHADE, curve(82, 8, 92, 10, 93, 26, 88, ear, 78, ear - 2, 74, 26)),
    ]  # fmt: skip


def cat(random: Random) -> list[Part]:
    """A sitting cat from the front: pointed ears, whiskers, tail curled up at its side."""
    ear, tail = random.uniform(-2, 4), random.uniform(30, 44)
    outer, inner = polygon(25, 30, 26, ear, 47, 15), polygon(29, 22, 30, ear + 7, 40, 15)
    whiskers = [stroke(polygon(39, y, 17, y + d), 1.7) for y, d in ((33, -4), (36, 0), (39, 5))]
    paw = ellipse(41, 96, 9, 5.5)
    return [
        (Role.BODY, stroke(curve(62, 94, 88, 96, 100, 82, 97, 62, 90, 50, 94, tail, closed=False), 11, 8)),
        (Role.BODY, curve(36, 44, 64, 44, 74, 70, 78, 90, 70, 100, 30, 100, 22, 90, 26, 70)),
        (Role.SHADE, stroke(polygon(50, 76, 50, 98), 2)),
        (Role.SHADE, stroke(curve(30, 98, 28, 84, 34, 74, closed=False), 2)),
        (Role.SHADE, stroke(curve(70, 98, 72, 84, 66, 74, closed=False), 2)),
        (Role.TINT, paw), (Role.TINT, mirror(paw, 50)),
        (Role.BODY, outer), (Role.BODY, mirror(outer, 50)),
        (Role.PINK, inner), (Role.PINK, mirror(inner, 50)),
        (Role.BODY, ellipse(50, 31, 27, 22)),
        *[(Role.PALE, curve(x - 6, 27, x, 22.5, x + 6, 27, x, 31)) for x in (39, 61)],
        (Role.INK, ellipse(39, 27, 2.3, 4)), (Role.INK, ellipse(61, 27, 2.3, 4)),
        *[(Role.INK, part) for w in whiskers for part in (w, mirror(w, 50))],
        (Role.PINK, polygon(46, 34, 54, 34, 50, 39)),
        (Role.INK, stroke(curve(43, 42, 47, 44, 50, 39.5, 53, 44, 57, 42, closed=False), 1.8)),
    ]  # fmt: skip


def elephant(random: Random) -> list[Part]:
    """An elephant from the side, facing right: great ear, trunk to the ground, tusk, pillar legs."""
    foot, ear, tip = random.uniform(96, 102), random.uniform(17, 21), random.uniform(78, 90)
    legs = [rounded(x, 58, x + 18, foot, 4) for x in (12, 62)]
    far = [rounded(x, 58, x + 16, foot - 2, 4) for x in (32, 48)]
    return [
        (Role.SHADE, stroke(curve(10, 34, 3, 46, 4, 62, closed=False), 4, 3)), (Role.INK, ellipse(4, 64, 3, 5)),
        *[(Role.SHADE, leg) for leg in far],
        (Role.BODY, curve(8, 44, 16, 20, 44, 12, 76, 16, 92, 36, 88, 64, 72, 74, 28, 74, 10, 66)),
        *[(Role.BODY, leg) for leg in legs],
        *[(Role.PALE, sector(x, foot - 0.5, 3, 4, 180, 360)) for x in (17, 25, 67, 75)],
        (Role.BODY, stroke(curve(108, 32, 117, 48, 118, 66, 117, tip, 124, tip + 7, 130, tip, closed=False), 22, 7)),
        (Role.BODY, ellipse(97, 30, 22, 24)),
        (Role.PALE, stroke(curve(105, 50, 111, 60, 122, 60, closed=False), 6, 2.5)),
        (Role.SHADE, curve(90, 8, 74, 10, 66, 26, 70, 30 + ear * 1.2, 82, 36 + ear, 93, 42, 97, 24)),
        (Role.TINT, curve(88, 15, 78, 16, 72, 27, 75, 26 + ear, 83, 30 + ear, 89, 37, 91, 24)),
        *_eye(107, 24, 3.6),
    ]  # fmt: skip


def giraffe(random: Random) -> list[Part]:
    """A giraffe from the side, facing right: neck and legs as long as can be, two little horns."""
    foot, lean = random.uniform(126, 134), random.uniform(-3, 3)
    head = 62 + lean
    return [
        (Role.SHADE, stroke(curve(8, 72, 2, 82, 4, 94, closed=False), 3.4)), (Role.INK, ellipse(4, 97, 3, 6)),
        (Role.SHADE, box(19, 84, 27, foot - 2)), (Role.SHADE, box(45, 84, 53, foot - 2)),
        (Role.BODY, curve(8, 72, 20, 65, 40, 60, 54, 62, 60, 76, 54, 92, 30, 94, 10, 90)),
        (Role.BODY, polygon(8, 80, 21, 84, 19, foot, 9, foot)),
        (Role.BODY, polygon(45, 84, 58, 80, 58, foot, 48, foot)),
        (Role.SHADE, box(9, foot - 5, 19, foot)), (Role.SHADE, box(48, foot - 5, 58, foot)),
        (Role.SHADE, polygon(34, 64, head - 12, 14, head - 6, 14, 44, 66)),
        (Role.BODY, polygon(37, 66, head - 9, 14, head + 6, 18, 59, 78)),
        (Role.SHADE, stroke(polygon(head - 4, 12, head - 5, 1), 3)),
        (Role.SHADE, stroke(polygon(head + 3, 12, head + 4, 1), 3)),
        (Role.INK, ellipse(head - 5, 1.5, 3)), (Role.INK, ellipse(head + 4, 1.5, 3)),
        (Role.SHADE, curve(head - 6, 12, head - 16, 8, head - 18, 13, head - 9, 17)),
        (Role.BODY, curve(head - 9, 12, head, 8, head + 12, 12, head + 24, 19, head + 25, 26,
                          head + 12, 28, head - 4, 26)),
        (Role.SHADE, curve(head + 17, 17, head + 25, 19, head + 26, 26, head + 17, 28)),
        (Role.INK, ellipse(head + 21, 21, 1.6)),
        *_eye(head + 4, 15, 3),
    ]  # fmt: skip


def bird(random: Random) -> list[Part]:
    """A perching bird from the side, facing right: beak, folded wing, tail, two thin legs."""
    foot, wing = random.uniform(96, 102), random.uniform(-3, 4)
    toes = [stroke(polygon(x, foot - 1, x + 9, foot - 1), 3) for x in (50, 66)]
    return [
        (Role.BEAK, stroke(polygon(54, 76, 52, foot), 3.4)), (Role.BEAK, stroke(polygon(66, 76, 68, foot), 3.4)),
        *[(Role.BEAK, toe) for toe in toes],
        (Role.BODY, polygon(32, 48, 2, 42, 0, 52, 6, 54, 2, 62, 34, 68)),
        (Role.BEAK, polygon(100, 22, 118, 30, 100, 37)),
        (Role.BODY, curve(24, 54, 44, 42, 64, 34, 70, 16, 86, 8, 102, 18, 104, 34, 98, 56, 86, 76, 64, 84, 40, 78)),
        (Role.TINT, curve(101, 50, 94, 67, 80, 78, 68, 81, 84, 68, 93, 56)),
        (Role.OUTLINE, curve(77, 45 + wing, 50, 43, 30, 53, 7, 68, 34, 73, 58, 71, 77, 61 + wing)),
        (Role.BODY, curve(74, 48 + wing, 50, 46, 32, 55, 14, 67, 34, 70, 57, 68, 74, 59 + wing)),
        (Role.OUTLINE, stroke(curve(28, 64, 44, 62, 58, 57, closed=False), 2)),
        *_eye(90, 23, 5),
    ]  # fmt: skip


def teddy_bear(random: Random) -> list[Part]:
    """A sitting teddy bear from the front: round ears, pale muzzle and soles, bow tie."""
    ear, belly = random.uniform(9.5, 12.5), random.uniform(12, 15)
    sides = [
        (Role.BODY, ellipse(27, 12, ear)), (Role.PINK, ellipse(27, 12, ear * 0.55)),
        (Role.BODY, stroke(polygon(32, 54, 20, 62, 13, 74), 17, 14)),
        (Role.BODY, ellipse(25, 88, 16, 15)), (Role.PALE, ellipse(24, 89, 8.5, 8.5)),
    ]  # fmt: skip
    return [
        *[(role, part) for role, p in sides[:3] for part in (p, mirror(p, 50))],
        (Role.BODY, ellipse(50, 72, 27, 27)),
        (Role.TINT, ellipse(50, 74, belly, belly + 1)),
        *[(role, part) for role, p in sides[3:] for part in (p, mirror(p, 50))],
        (Role.BODY, ellipse(50, 28, 30, 26)),
        (Role.PALE, ellipse(50, 37, 13, 10.5)),
        (Role.INK, ellipse(50, 32, 5, 3.6)), (Role.INK, stroke(polygon(50, 34, 50, 40), 1.8)),
        (Role.INK, stroke(curve(44, 40, 50, 43.5, 56, 40, closed=False), 1.8)),
        (Role.INK, ellipse(38, 23, 3.6)), (Role.INK, ellipse(62, 23, 3.6)),
        (Role.ACCENT, polygon(50, 55, 37, 49, 37, 62)), (Role.ACCENT, polygon(50, 55, 63, 49, 63, 62)),
        (Role.ACCENT, ellipse(50, 55.5, 4)),
    ]  # fmt: skip
