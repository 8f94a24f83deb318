"""Arbitrary valid boxes, texts, instances and layouts for hypothesis."""

from hypothesis import strategies as st

from scenograph.layout import Box, Instance, Layout

THINNEST = 1e-6  # a thinner box may lose its area to rounding on the way through pixels

sizes = st.tuples(st.integers(1, 5000), st.integers(1, 5000))
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(lambda text: text.strip())
words = st.sampled_from(
    ["dog", "cat", "Black", "Ωmega", "café", "teddy bear", "a", "the", "and", ",", "two", "猫", "-", "."]
)
captions = st.lists(words, min_size=1, max_size=12).map(" ".join)


@st.composite
def spans(draw: st.DrawFn) -> tuple[float, float]:
    """Two ends of a side, in order and at least `THINNEST` apart."""
    low = draw(st.floats(0, 1 - THINNEST))
    return low, draw(st.floats(low + THINNEST, 1))


boxes = st.tuples(spans(), spans()).map(lambda sides: Box(sides[0][0], sides[1][0], sides[0][1], sides[1][1]))


def instances(text: st.SearchStrategy[str] = texts) -> st.SearchStrategy[Instance]:
    """Instances with any of their optional fields set or not."""
    maybe = st.none() | text
    scores = st.none() | st.floats(0, 1)
    return st.builds(Instance, caption=text, box=boxes, label=maybe, phrase=maybe, score=scores, negative=maybe)


def layouts(text: st.SearchStrategy[str] = texts) -> st.SearchStrategy[Layout]:
    """Layouts of none to six instances."""
    listed = st.lists(instances(text), max_size=6).map(tuple)
    return st.builds(Layout, caption=text, instances=listed, size=st.none() | sizes)
