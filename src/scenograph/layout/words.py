"""The few English facts a layout needs: the head noun of a caption, singular and plural, and where a phrase stands.

Small rules over a noun phrase, not a parser: good for "a black dog with a collar" and for all COCO and LVIS style
names; whoever needs another class writes `label` into the layout.
"""

import re

__all__ = ["bare", "head_noun", "occurrences", "plural", "singular", "without_article"]

COMPOUNDS = frozenset(
    noun.replace("_", " ")
    for noun in """
    traffic_light fire_hydrant stop_sign parking_meter sports_ball baseball_bat baseball_glove tennis_racket wine_glass
    hot_dog potted_plant dining_table cell_phone teddy_bear hair_drier hair_dryer ice_cream polar_bear street_sign
    coffee_cup coffee_table washing_machine swimming_pool rolling_pin cutting_board
    """.split()
)
# A noun phrase ends before these ...
STOPS = frozenset(
    """
    with without in on at by of for from to into onto near next beside besides behind under underneath below
    beneath over above between among amid inside outside through across along around against atop toward
    towards within upon off up down during before after as like than that which who whose whom where when
    while because and or but is are was were has have had can be sits stands lies sleeps runs walks eats holds
    wears rides jumps flies plays looks . , ; : ( [ { – — -
    """.split()
)
# ... unless the word before still only describes ("a black and white cat", "a small, round table").
DESCRIBING = frozenset(
    """
    a an the this that these those some any several many few two three four five six seven eight nine ten one
    its his her their my your our very other another red green blue yellow orange purple pink brown black
    white gray grey cyan magenta gold golden silver beige turquoise violet dark light bright pale big large
    small little tiny huge giant tall short long wide narrow old young new round square flat striped dotted
    spotted checkered plain wooden metal plastic glass stone leather fluffy furry shiny beautiful cute happy
    """.split()
)
# "a slice of pizza": what stands in the box is the pizza.
MEASURES = frozenset(
    """
    slice piece pair bunch group couple herd flock lot set row pile stack bit type kind picture photo
    photograph image drawing painting view close-up
    """.split()
)
NOT_VERBS = frozenset(
    """
    bed sled shed seed weed building ring king string wing ceiling painting railing clothing thing earring
    awning wedding pudding icing duckling
    """.split()
)
INVARIANT = frozenset(
    """
    scissors skis sheep fish deer aircraft pants jeans shorts trousers clothes stairs goggles headphones
    binoculars sunglasses pliers tongs lens gas canvas broccoli species series news
    """.split()
)
IRREGULAR = {
    "person": "people", "man": "men", "woman": "women", "child": "children", "mouse": "mice", "goose": "geese",
    "foot": "feet", "tooth": "teeth", "ox": "oxen", "bus": "buses", "knife": "knives", "wolf": "wolves",
    "leaf": "leaves", "loaf": "loaves", "shelf": "shelves", "scarf": "scarves", "calf": "calves", "half": "halves",
    "wife": "wives", "thief": "thieves", "potato": "potatoes", "tomato": "tomatoes", "hero": "heroes",
    "tie": "ties", "pie": "pies", "movie": "movies", "cookie": "cookies", "zombie": "zombies",
}  # fmt: skip
SINGULARS = {many: one for one, many in IRREGULAR.items()}

# A letter or digit continues a word; kana and ideographs do not, because their scripts put no spaces between words.
LETTER = re.compile(r"[^\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|[\u0300-\u036f]")  # or a combining accent


def bare(text: str) -> str:
    """`text` without the white space and closing punctuation around it."""
    return text.strip(" \t\r\n.,;:!?") or text.strip()


def without_article(text: str) -> str:
    """`text` without a leading a, an or the."""
    return re.sub(r"^(a|an|the)\s+(?=\S)", "", text, flags=re.IGNORECASE)


def occurrences(phrase: str, text: str) -> list[tuple[int, int]]:
    """Character spans (start, stop) of `phrase` in `text`: whole words, any case, any white space between them."""
    words = re.compile(r"\s+".join(map(re.escape, phrase.split())), re.IGNORECASE)
    spans, place = [], 0
    # Each phrase is a pattern of its own: with the letters beside it in it, compiling it would cost most of the time.
    while words.pattern and (match := words.search(text, place)):
        start, stop = match.span()
        inside_a_word = (start > 0 and LETTER.match(text, start - 1)) or LETTER.match(text, stop)
        if not inside_a_word:
            spans.append((start, stop))
        place = start + 1 if inside_a_word else stop
    return spans


def head_noun(caption: str) -> str:
    """The noun that `caption` is about, in lower case and the singular: "two black dogs with collars" → "dog".

    Two-word nouns stay together ("a red tennis racket" → "tennis racket"). Without any word the
    caption itself.
    """
    phrase = _noun_phrase(re.findall(r"[^\W_](?:[\w'’-]*\w)?|[.,;:([{–—]", caption.lower()))
    while len(phrase) > 1 and phrase[-1].isdigit():  # "person 2"
        phrase.pop()
    if not phrase:
        return bare(caption).lower()
    head = singular(re.sub(r"['’]s?$", "", phrase[-1]))
    compound = " ".join([*phrase[-2:-1], head])
    return compound if compound in COMPOUNDS else head


def _noun_phrase(words: list[str]) -> list[str]:
    """The words up to and with the head noun of the first noun phrase."""
    phrase: list[str] = []
    for index, word in enumerate(words):
        following = words[index + 1] if index + 1 < len(words) else ""
        if not phrase:
            if word not in STOPS:
                phrase.append(word)
            continue
        described = phrase[-1] in DESCRIBING
        if word == "of" and singular(phrase[-1]) in MEASURES:
            phrase.clear()
        elif word in {"and", "or", ","} and described and following not in {"a", "an", "the"}:
            continue
        elif word in STOPS or (not described and _is_verb(word, following)):
            break
        else:
            phrase.append(word)
    return phrase


def _is_verb(word: str, following: str) -> bool:
    """Whether `word`, standing after a noun, is a participle that says what the noun does or what was done to it."""
    if word in NOT_VERBS or word in DESCRIBING or f"{word} {singular(following)}" in COMPOUNDS:
        return False
    return word.endswith("ing") or (word.endswith("ed") and (not following or following in STOPS))


def singular(noun: str) -> str:
    """`noun` in the singular, by a small rule on its ending and a table; unchanged when it is no plural."""
    if noun in SINGULARS:
        return SINGULARS[noun]
    if noun in INVARIANT or len(noun) < 3 or not noun.endswith("s") or noun.endswith(("ss", "us", "is")):
        return noun
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    return noun[:-2] if noun.endswith(("sses", "shes", "ches", "xes", "zzes")) else noun[:-1]


def plural(noun: str) -> str:
    """`noun` in the plural, by a small rule on the ending of its last word and a table."""
    before, space, last = noun.rpartition(" ")
    if last.lower() in IRREGULAR:
        return before + space + IRREGULAR[last.lower()]
    if last.lower() in INVARIANT:
        return noun
    if re.search(r"[^aeiou]y$", last, re.IGNORECASE):
        return noun[:-1] + "ies"
    return noun + ("es" if re.search(r"(s|x|z|ch|sh)$", last, re.IGNORECASE) else "s")
