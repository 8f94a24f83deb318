"""Layouts and pictures made visible: boxes with readable labels, pictures side by side, contact sheets. Pillow only.

These pictures are for people, in reports and on the command line; nothing reads them back. The built-in font has Latin
letters only.
"""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from scenograph.errors import ImageError
from scenograph.layout import Instance, Layout

__all__ = ["PALETTE", "contact_sheet", "draw_layout", "side_by_side"]

RGB = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]  # left, top, right, bottom in pixels
Pixels = tuple[int, int, int, int]  # the same, on the pixel grid and inclusive

# Twelve hues that stay apart on photographs and on white; instances take them in order.
PALETTE: tuple[RGB, ...] = (
    (230, 57, 70), (29, 120, 214), (42, 157, 72), (245, 146, 10), (142, 68, 189), (0, 168, 181),
    (222, 60, 148), (122, 90, 60), (240, 200, 20), (76, 86, 196), (132, 176, 20), (96, 108, 122),
)  # fmt: skip
PAPER: RGB = (250, 249, 246)
INK: RGB = (38, 40, 46)
FAINT: RGB = (222, 220, 214)


def draw_layout(
    layout: Layout, image: Image.Image | None = None, *, size: tuple[int, int] | None = None
) -> Image.Image:
    """The boxes of `layout`, numbered and labelled, over `image` or over blank paper.

    Args:
        image: the picture to draw on; it is not changed.
        size: (width, height) of the result in pixels; None takes the image's, else the layout's, else 512 x 512. Labels
            need about 256 pixels to be readable, so small pictures are best enlarged here.

    Raises:
        ImageError: `size` is not positive.
    """
    size = size or (image.size if image else layout.size or (512, 512))
    if min(size) < 1:
        raise ImageError(f"size is {size}; expected (width, height) in pixels, both at least 1")
    picture = Image.new("RGB", size, "white") if image is None else _flat(image).resize(size, Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture, "RGBA")
    boxes = [_pixels(instance, size) for instance in layout.instances]
    if image is None:
        draw.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=FAINT)
        for index, box in enumerate(boxes):
            draw.rectangle(box, fill=(*_colour(index), 40))
    for index, box in enumerate(boxes):
        _outline(draw, box, _colour(index), stroke=max(2, round(min(size) / 220)))
    _label(draw, layout, boxes, size)
    return picture


def side_by_side(
    images: Sequence[Image.Image], captions: Sequence[str] = (), *, height: int | None = None, gap: int = 12
) -> Image.Image:
    """Pictures in one row at one height, each with its caption below.

    Args:
        captions: one per picture, or none at all; long ones wrap.
        height: of every picture, in pixels; None takes the tallest.

    Raises:
        ImageError: no pictures, or another number of captions.
    """
    if not images or len(captions) not in (0, len(images)):
        raise ImageError(
            f"got {len(images)} images and {len(captions)} captions; expected at least one image, a caption each"
        )
    height = height or max(image.height for image in images)
    widths = [max(1, round(image.width * height / image.height)) for image in images]
    font = _font(max(12, height // 24))
    texts = [_wrapped(caption, font, width) for caption, width in zip(captions, widths, strict=False)]
    below = max((_text_size(text, font)[1] for text in texts), default=0)
    sheet = Image.new("RGB", (sum(widths) + gap * (len(images) + 1), height + below + gap * (3 if texts else 2)), PAPER)
    draw = ImageDraw.Draw(sheet)
    left = gap
    for index, (image, width) in enumerate(zip(images, widths, strict=True)):
        sheet.paste(_flat(image).resize((width, height), Image.Resampling.LANCZOS), (left, gap))
        if texts:
            draw.multiline_text((left + width / 2, height + 2 * gap), texts[index], INK, font, "ma", align="center")
        left += width + gap
    return sheet


def contact_sheet(
    rows: Sequence[Sequence[Image.Image | None]],
    *,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    cell: tuple[int, int] | None = None,
    gap: int = 8,
) -> Image.Image:
    """A grid of pictures with labels at the left and at the top; None leaves a place empty.

    Args:
        rows: pictures, row by row; rows may differ in length.
        row_labels: one per row, or none at all; long ones wrap.
        column_labels: one per column, or none at all.
        cell: (width, height) of a place in pixels; pictures are scaled to fit, never stretched. None takes the largest.

    Raises:
        ImageError: no pictures, or another number of labels.
    """
    columns = max((len(row) for row in rows), default=0)
    pictures = [image for row in rows for image in row if image]
    if not pictures or len(row_labels) not in (0, len(rows)) or len(column_labels) not in (0, columns):
        got = f"got {len(pictures)} images in {len(rows)} rows and {columns} columns"
        raise ImageError(
            f"{got}, {len(row_labels)} row and {len(column_labels)} column labels; expected one label each or none"
        )
    width, height = cell or (max(image.width for image in pictures), max(image.height for image in pictures))
    font = _font(max(13, min(width, height) // 18))
    titles = [_wrapped(text, font, width) for text in column_labels]
    names = [_wrapped(text, font, round(width * 0.9)) for text in row_labels]
    top = gap + max((_text_size(text, font)[1] + gap for text in titles), default=0)
    left = gap + max((_text_size(text, font)[0] + gap for text in names), default=0)
    sheet = Image.new("RGB", (left + columns * (width + gap), top + len(rows) * (height + gap)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, text in enumerate(titles):
        draw.multiline_text(
            (left + column * (width + gap) + width / 2, top - gap), text, INK, font, "md", align="center"
        )
    for row, text in enumerate(names):
        draw.multiline_text((left - gap, top + row * (height + gap) + height / 2), text, INK, font, "rm", align="right")
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            _place(sheet, image, (left + column * (width + gap), top + row * (height + gap)), (width, height))
    return sheet


def _place(sheet: Image.Image, image: Image.Image | None, corner: tuple[int, int], cell: tuple[int, int]) -> None:
    """Paste `image` into the middle of a cell, as large as fits; an empty cell is only framed."""
    if image is None:
        ImageDraw.Draw(sheet).rectangle((*corner, corner[0] + cell[0] - 1, corner[1] + cell[1] - 1), outline=FAINT)
        return
    scale = min(cell[0] / image.width, cell[1] / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    fitted = _flat(image).resize(size, Image.Resampling.LANCZOS)
    sheet.paste(fitted, (corner[0] + (cell[0] - size[0]) // 2, corner[1] + (cell[1] - size[1]) // 2))


def _flat(image: Image.Image) -> Image.Image:
    """`image` as RGB, with transparent parts on paper."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, (*PAPER, 255)), rgba).convert("RGB")


def _colour(index: int) -> RGB:
    return PALETTE[index % len(PALETTE)]


def _pixels(instance: Instance, size: tuple[int, int]) -> Pixels:
    """The instance's box as whole pixels, both corners inside the picture."""
    x0, y0, x1, y1 = (round(side) for side in instance.box.to_pixels(size))
    x0, y0 = min(x0, size[0] - 1), min(y0, size[1] - 1)
    return x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)


def _outline(draw: ImageDraw.ImageDraw, box: Pixels, colour: RGB, stroke: int) -> None:
    """A frame of `stroke` pixels inside the box, and a pale hairline within, so that it shows on its own colour too."""
    x0, y0, x1, y1 = box
    if min(x1 - x0, y1 - y0) > 2 * stroke + 2:
        draw.rectangle((x0 + stroke, y0 + stroke, x1 - stroke, y1 - stroke), outline=(255, 255, 255, 130))
    draw.rectangle(box, outline=colour, width=stroke)


def _label(draw: ImageDraw.ImageDraw, layout: Layout, boxes: Sequence[Pixels], size: tuple[int, int]) -> None:
    """A chip "1 dog" for every box, always on the canvas, and off the other chips as long as there is room."""
    font = _font(max(11, round(min(size) / 27)))
    pad = max(2, round(font.size / 5))
    taken: list[Rectangle] = []
    for index, (instance, box) in enumerate(zip(layout.instances, boxes, strict=True)):
        score = "" if instance.score is None else f" {instance.score:.2f}"
        text = _shortened(f"{index + 1} {' '.join(instance.label.split())}{score}", font, size[0] - 2 * pad)
        width, height = font.getlength(text) + 2 * pad, sum(font.getmetrics()) + 2 * pad
        chip = _chip(box, (width, height), size, taken)
        taken.append(chip)
        colour = _colour(index)
        draw.rounded_rectangle(chip, radius=pad, fill=colour)
        bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 150
        draw.text((chip[0] + pad, chip[1] + pad), text, INK if bright else "white", font)


def _chip(box: Pixels, chip: tuple[float, float], size: tuple[int, int], taken: Sequence[Rectangle]) -> Rectangle:
    """Where to put a chip of a given size: in a corner of its box, or beside a box too small for it."""
    (x0, y0, x1, y1), (width, height) = box, chip
    right, bottom = x1 + 1 - width, y1 + 1 - height
    inside = [(x0, y0), (right, y0), (x0, bottom), (right, bottom)]
    beside = [(x0, y0 - height), (x0, y1 + 1), (right, y0 - height), (right, y1 + 1), (x1 + 1, y0), (x0 - width, y0)]
    roomy = width <= x1 - x0 and 2 * height <= y1 - y0
    avoided = taken if roomy else [*taken, box]
    spots = []
    for x, y in inside + beside if roomy else beside + inside:
        left, top = max(0, min(x, size[0] - 1 - width)), max(0, min(y, size[1] - 1 - height))
        spots.append((left, top, left + width, top + height))
    return min(spots, key=lambda spot: sum(_shared_area(spot, other) for other in avoided))


def _shared_area(a: Rectangle, b: Rectangle) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise ImageError("this Pillow has no FreeType, so labels cannot be drawn; install a stock Pillow wheel")
    return font


def _text_size(text: str, font: ImageFont.FreeTypeFont) -> tuple[int, int]:
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text or " ", font)
    return int(right - left) + 1, int(bottom - min(top, 0)) + 1


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """`text`, or as much of its beginning as fits into `width` pixels, with an ellipsis."""
    if font.getlength(text) <= width:
        return text
    while len(text) > 1 and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """`text` broken between words into lines of at most `width` pixels; a longer word is shortened."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(_shortened(line, font, width) for line in lines)
