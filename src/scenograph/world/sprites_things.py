"""Drawings of vehicles, furniture and household things, as lists of figures in free design units, back to front.

`random` moves small proportions only (number of windows, leg length), never what the thing is.
"""

from __future__ import annotations

from random import Random

from scenograph.world.figures import Part, Role, box, curve, ellipse, mirror, polygon, rounded, sector, stroke

__all__ = ["airplane", "boat", "book", "bottle", "bus", "car", "chair", "cup", "potted_plant", "tv", "umbrella"]


def _wheel(x: float, y: float, r: float) -> list[Part]:
    return [(Role.TYRE, ellipse(x, y, r)), (Role.METAL, ellipse(x, y, r * 0.52)), (Role.TYRE, ellipse(x, y, r * 0.16))]


def car(random: Random) -> list[Part]:
    """A saloon car from the side, facing right."""
    roof, wheel, boot = random.uniform(0, 6), random.uniform(12, 14.5), random.uniform(24, 32)
    return [
        (Role.BODY, curve(4, 34, boot, 29, 48, roof + 2, 96, roof, 128, 28, 164, 33, 178, 42, 180, 62,
                          172, 68, 8, 68, 0, 60)),
        (Role.GLASS, polygon(46, 28, 57, roof + 8, 82, roof + 6, 82, 29)),
        (Role.GLASS, polygon(88, 29, 88, roof + 6, 98, roof + 7, 119, 29)),
        (Role.SHADE, stroke(polygon(85, 30, 85, 64), 1.8)), (Role.SHADE, box(4, 54, 176, 57)),
        (Role.INK, rounded(91, 36, 101, 39.5, 1.5)),
        (Role.FLAME, ellipse(173, 43, 5, 4.5)), (Role.TOPPING, rounded(0, 38, 6, 48, 2)),
        (Role.METAL, rounded(162, 60, 182, 67, 3)), (Role.METAL, rounded(-2, 60, 16, 67, 3)),
        *_wheel(42, 67, wheel), *_wheel(138, 67, wheel),
    ]  # fmt: skip


def bus(random: Random) -> list[Part]:
    """A long city bus from the side, facing right: a row of windows, a door, a flat front."""
    count, top = random.choice((4, 5)), random.uniform(11, 14)
    pitch = 128 / count
    panes = [rounded(8 + i * pitch, top, 8 + (i + 0.8) * pitch, top + 20, 3) for i in range(count)]
    return [
        (Role.BODY, rounded(0, 0, 180, 86, 9)),
        *[(Role.GLASS, pane) for pane in panes],
        (Role.GLASS, box(141, top, 148.5, 76)), (Role.GLASS, box(150.5, top, 158, 76)),
        (Role.GLASS, rounded(167, top, 181, top + 30, 3)),
        (Role.TINT, box(0, 45, 135, 48)),
        (Role.FLAME, rounded(173, 62, 181, 70, 3)), (Role.TOPPING, rounded(0, 58, 5, 70, 2)),
        (Role.METAL, rounded(-2, 80, 182, 86, 3)),
        *_wheel(36, 86, 14), *_wheel(114, 86, 14),
    ]  # fmt: skip


def boat(random: Random) -> list[Part]:
    """A sailing boat: hull and mainsail carry the colour, the jib is pale."""
    mast, hull = random.uniform(57, 62), random.uniform(70, 73)
    return [
        (Role.WOOD, box(mast - 1.8, 3, mast + 2.2, hull + 2)),
        (Role.ACCENT, polygon(mast - 1.5, 0, mast + 15, 4.5, mast - 1.5, 9)),
        (Role.BODY, polygon(mast - 3, 9, mast - 3, hull - 5, 0, hull - 5)),
        (Role.PALE, polygon(mast + 4, 22, mast + 4, hull - 5, 100, hull - 5)),
        (Role.BODY, curve(0, hull, 28, hull + 1, 80, hull + 1, 110, hull - 2, 104, hull + 16, 92, hull + 30,
                          50, hull + 31, 18, hull + 30, 6, hull + 16)),
        (Role.PALE, polygon(3, hull + 6, 106, hull + 6, 104.8, hull + 10, 4.5, hull + 10)),
    ]  # fmt: skip


def airplane(random: Random) -> list[Part]:
    """A jet airliner from the side, flying right: tail fin, swept wing, row of windows."""
    fin, count = random.uniform(0, 6), random.choice((6, 7, 8))
    return [
        (Role.SHADE, polygon(92, 40, 72, 10, 84, 10, 122, 40)),
        (Role.BODY, polygon(8, 44, 0, fin, 17, fin, 44, 38, 44, 48)),
        (Role.BODY, curve(2, 42, 40, 36, 110, 34, 150, 35, 174, 44, 182, 53, 172, 61,
                          150, 65, 100, 66, 50, 60, 16, 50)),
        (Role.GLASS, polygon(158, 40, 168, 43, 175, 50, 160, 50)),
        *[(Role.GLASS, ellipse(48 + i * 100 / count, 46, 3.4)) for i in range(count)],
        (Role.SHADE, polygon(2, 46, 34, 46, 8, 57, -6, 57)),
        (Role.METAL, rounded(84, 68, 108, 79, 5)),
        (Role.OUTLINE, polygon(80, 54, 125, 54, 76, 95, 53, 95)), (Role.BODY, polygon(84, 57, 117, 57, 74, 92, 59, 92)),
    ]  # fmt: skip


def chair(random: Random) -> list[Part]:
    """A wooden-style chair seen slightly from its front right, every part in the object's colour."""
    count, foot = random.choice((2, 3)), random.uniform(98, 104)
    gap = 34 / count
    slats = [box(15 + (i + 0.22) * gap, 15, 15 + (i + 0.78) * gap, 42) for i in range(count)]
    return [
        (Role.SHADE, box(16, 56, 23, foot - 10)), (Role.SHADE, box(53, 56, 60, foot - 10)),
        (Role.BODY, rounded(6, 0, 58, 52, 5)),
        *[(Role.HOLE, slat) for slat in slats],
        (Role.BODY, polygon(6, 48, 58, 48, 70, 64, 2, 64)), (Role.SHADE, box(2, 63, 70, 70)),
        (Role.BODY, box(2, 66, 11, foot)), (Role.BODY, box(61, 66, 70, foot)),
    ]  # fmt: skip


def tv(random: Random) -> list[Part]:
    """A television set with aerials, screen, two knobs and short legs; the case carries the colour."""
    left, right, knob = random.uniform(22, 34), random.uniform(84, 96), random.uniform(5, 6.4)
    return [
        (Role.INK, stroke(polygon(56, 26, left, 3), 2.6)), (Role.INK, stroke(polygon(62, 26, right, 3), 2.6)),
        (Role.INK, ellipse(left, 3, 3)), (Role.INK, ellipse(right, 3, 3)),
        (Role.WOOD, polygon(18, 88, 28, 88, 20, 102, 13, 102)),
        (Role.WOOD, polygon(97, 88, 107, 88, 112, 102, 105, 102)),
        (Role.BODY, rounded(0, 22, 125, 95, 8)),
        (Role.INK, rounded(13, 36, 79, 81, 9)), (Role.SCREEN, rounded(15.5, 38.5, 76.5, 78.5, 8)),
        (Role.GLASS, polygon(25, 42, 39, 42, 25, 64, 19, 64, 19, 50)),
        (Role.PALE, ellipse(103, 44, knob)), (Role.PALE, ellipse(103, 60, knob)),
        (Role.INK, stroke(polygon(103, 40, 103, 45), 1.6)), (Role.INK, stroke(polygon(103, 60, 107, 60), 1.6)),
        *[(Role.INK, box(95, y, 112, y + 2)) for y in (72, 77, 82)],
    ]  # fmt: skip


def umbrella(random: Random) -> list[Part]:
    """An open umbrella: scalloped canopy with ribs, a crook handle."""
    hook, rim = random.uniform(6, 8), random.uniform(52, 56)
    scallops = [sector(x, rim + 1, 10, 7, 180, 360) for x in (10, 30, 50, 70, 90)]
    ribs = [stroke(curve(50, 7, 50 + d * 0.75, 28, 50 + d, rim - 3, closed=False), 1.8) for d in (-30, -10, 10, 30)]
    return [
        (Role.BODY, sector(50, rim, 50, rim - 6, 180, 360)),
        *[(Role.HOLE, scallop) for scallop in scallops],
        *[(Role.SHADE, rib) for rib in ribs],
        (Role.WOOD, stroke(curve(50, rim - 6, 50, 74, 50, 92, 50 + hook, 100, 50 + 2 * hook, 92, closed=False), 4.4)),
        (Role.WOOD, stroke(polygon(50, 1, 50, 8), 3.4)),
    ]  # fmt: skip


def potted_plant(random: Random) -> list[Part]:
    """A plant with a few slender leaves in a big tapered pot; the pot carries the colour."""
    lift, lean = random.uniform(-3, 4), random.uniform(-4, 4)
    tips = ((6, 26 + lift), (24, 6), (50 + lean, 0), (76, 8), (94, 24 - lift))
    leaves = [curve(46, 54, 17 + x / 2, 27 + y / 2, x, y, 34 + x / 2, 31 + y / 2, 54, 54) for x, y in tips]
    return [
        *[(Role.LEAF, leaf) for leaf in leaves],
        *[(Role.INK, stroke(polygon(50, 52, (50 + 3 * x) / 4, (50 + 3 * y) / 4), 1.2)) for x, y in tips],
        (Role.BODY, polygon(12, 62, 88, 62, 78, 115, 22, 115)),
        (Role.SHADE, box(12, 62, 88, 67)),
        (Role.BODY, rounded(6, 49, 94, 64, 3)),
    ]  # fmt: skip


def cup(random: Random) -> list[Part]:
    """A cup with a handle on the right and coffee in it."""
    base, grip = random.uniform(8, 14), random.uniform(19, 23)
    return [
        (Role.BODY, ellipse(84, 46, grip + 6, 26)), (Role.HOLE, ellipse(85, 45, grip - 4, 15)),
        (Role.BODY, curve(2, 12, 44, 10, 86, 12, 87, 50, 86 - base, 92, 64, 98, 44, 100, 24, 98, 2 + base, 92, 1, 50)),
        (Role.TINT, ellipse(44, 13, 43, 12)), (Role.HAIR, ellipse(44, 14, 37, 8.6)),
        (Role.TINT, stroke(curve(12, 34, 13, 56, 19, 80, closed=False), 4.5)),
    ]  # fmt: skip


def bottle(random: Random) -> list[Part]:
    """A bottle: narrow neck, sloping shoulders, a cap and a label."""
    shoulder, label = random.uniform(36, 44), random.uniform(56, 62)
    side = (32, 10, 32, shoulder - 12, 27, shoulder - 2, 14, shoulder + 10, 11, shoulder + 20)
    left = polygon(*side, 11, 112)
    return [
        (Role.BODY, polygon(*left.ravel(), *mirror(left, 40)[::-1].ravel())),
        (Role.BODY, rounded(11, 96, 69, 118, 8)),
        (Role.METAL, rounded(29, 0, 51, 11, 3)), (Role.SHADE, box(31, 14, 49, 18)),
        (Role.PALE, box(11, label + 4, 69, label + 30)),
        (Role.ACCENT, ellipse(40, label + 13, 8, 6)), (Role.INK, box(24, label + 23, 56, label + 25.5)),
    ]  # fmt: skip


def book(random: Random) -> list[Part]:
    """An open book lying face up: two coloured pages with lines of text, the white edges of the leaves below."""
    rise, count = random.uniform(6, 10), random.choice((3, 4))
    page = polygon(*curve(62, 14, 48, 3, 26, 2, 4, rise, closed=False).ravel(), 4, rise + 72,
                   *curve(4, rise + 72, 26, 68, 48, 70, 62, 82, closed=False).ravel())  # fmt: skip
    under = polygon(0, rise + 4, 62, 18, 62, 94, 52, 88, 0, rise + 84)
    edge = polygon(4, rise + 72, 26, 68, 48, 70, 62, 82, 62, 89, 48, 78, 26, 75, 4, rise + 78)
    lines = []
    for i in range(count):
        y = 18 + i * 48 / (count - 1)
        lines.append(stroke(curve(12, y - 1, 26, y - 4, 42, y - 2, 53, y + 5, closed=False), 2.0))
    parts = [(Role.WOOD, under), (Role.PALE, edge), (Role.BODY, page), *[(Role.INK, line) for line in lines]]
    return [
        *[(role, figure) for role, p in parts for figure in (p, mirror(p, 62))],
        (Role.OUTLINE, stroke(polygon(62, 14, 62, 86), 2)),
    ]
