"""The words that the grammar knows, read once from the plain tables in `words/`.

A word has one or more of these kinds, by which `tokens` decides what it is in its place: N noun, A adjective, V finite
verb, B a verb's base form, S its -s form, G its -ing form, P its past participle, R adverb.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.resources import files

from scenograph.layout.words import INVARIANT, IRREGULAR, SINGULARS, singular

__all__ = [
    "ADVERBS",
    "COMPOUNDS",
    "COUNTS",
    "FUNCTION",
    "KINDS",
    "MEASURES",
    "NOTHING",
    "PHRASES",
    "VERBISH",
    "coco_name",
    "is_colour",
    "is_plural",
    "is_verbish",
    "kinds_of",
    "kinds_of_noun",
    "known_noun",
    "noun_of",
]

ADVERBS = frozenset(
    """
    very really quite rather so too also just almost nearly together apart again already still yet ever even only not
    slightly fully partially partly mostly currently now here there then away outdoors indoors upright sideways upwards
    downwards forward forwards backward backwards overhead nearby ahead underfoot abroad alike altogether somewhere
    everywhere anywhere once twice straight high low close hard fast well atop half all how why perhaps maybe
    simultaneously instead besides indeed back aside inward outward upside-down long more most as each both either
    extremely around
    """.split()
)
AUXILIARIES = frozenset(
    "is are was were be been being am 's 're has have had do does did can could will would may might must should "
    "shall get gets got getting".split()
)
FUNCTION = {
    **dict.fromkeys("the this that".split(), "DET"),
    **dict.fromkeys("its his her their my your our whose someone's somebody's".split(), "POSS"),
}
# Misspellings of the benchmarks and of captions that a rule on endings does not mend.
SPELLING = {
    "buss": "bus", "scissorss": "scissors", "mouses": "mouse", "skiis": "skis", "knifes": "knife", "toliet": "toilet",
    "brocolli": "broccoli", "siting": "sitting", "blacksplash": "backsplash", "foots": "foot",
    "toliets": "toilet", "childs": "child", "persons": "person", "tvs": "tv", "cacti": "cactus", "womans": "woman",
    "televisons": "television", "refridgerator": "refrigerator", "motocycle": "motorcycle", "umbrealla": "umbrella",
    "giraff": "giraffe", "girafee": "giraffe", "sandwitch": "sandwich", "mans": "man", "mens": "man", "geeses": "goose",
    "yoyos": "yoyo", "selfies": "selfie", "veggies": "veggie", "hoodies": "hoodie", "brownies": "brownie",
    "smoothies": "smoothie", "foxs": "fox", "boxs": "box", "oxes": "ox", "dices": "dice", "deers": "deer",
    "octopi": "octopus", "passersby": "passerby", "fungi": "fungus", "strawberrys": "strawberry", "wolfs": "wolf",
    "shelfs": "shelf", "scarfs": "scarf", "leafs": "leaf", "axes": "axe", "canoes": "canoe",
    "horseshoes": "horseshoe", "mangoes": "mango", "echoes": "echo", "quizzes": "quiz", "lenses": "lens",
    "waltzes": "waltz", "caches": "cache", "aches": "ache", "headaches": "headache",
    "mustaches": "mustache", "moustaches": "moustache", "policemen": "policeman", "firemen": "fireman",
    "fishermen": "fisherman", "snowmen": "snowman", "gentlemen": "gentleman", "craftsmen": "craftsman",
    "businessmen": "businessman", "grandchildren": "grandchild", "firewomen": "firewoman", "businesswomen":
    "businesswoman", "policewomen": "policewoman", "bookshelves": "bookshelf", "housewives": "housewife",
    "werewolves": "werewolf", "penknives": "penknife", "dormice": "dormouse", "halves": "half", "dwarves": "dwarf",
    "elves": "elf", "hooves": "hoof", "wharves": "wharf", "torpedoes": "torpedo", "volcanoes": "volcano",
    "mosquitoes": "mosquito", "buffaloes": "buffalo", "flamingoes": "flamingo", "dominoes": "domino", "lice": "louse",
    "busses": "bus", "gases": "gas", "cactuses": "cactus", "octopuses": "octopus",
    "viruses": "virus", "irises": "iris", "canvases": "canvas", "atlases": "atlas", "crocuses": "crocus",
    "hippopotamuses": "hippopotamus", "platypuses": "platypus", "rhinoceroses": "rhinoceros",
}  # fmt: skip
ALWAYS_ONE = frozenset("us bus gas bass boss grass glass dress class cross pass mass chess lens news".split())
NOTHING: frozenset[str] = frozenset()
# Nouns that are verbs as soon as they agree with the noun before ("a bird stands on ...", "two birds fly over ...").
VERBISH = frozenset(
    """
    stand fly watch park ride face walk play rest sail race land swing drive drink float surf hang look lean sleep run
    jump point lay lie sit wait feed view show display work dance climb pass graze fight talk smile touch catch hold
    hunt travel rise cover fill work
    """.split()
)
COLOURS = frozenset(
    "red green blue yellow orange purple pink brown black white gray grey gold silver tan beige".split()
)
ABSTRACT_ENDINGS = ("ness", "ism", "ity", "tion", "sion", "ance", "ence", "ment", "ure", "dom", "hood", "ship")
SUFFIX_A = (
    "ous",
    "ful",
    "less",
    "ish",
    "able",
    "ible",
    "-shaped",
    "-colored",
    "-sized",
    "-like",
    "-style",
    "ical",
    "-old",
)


def _lines(name: str) -> Iterator[tuple[str, str]]:
    """(key, rest) of each "key: rest" line of a table; the key is empty where a line has none."""
    text = (files(__package__) / "words" / name).read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            key, colon, rest = line.partition(":")
            yield (key.strip(), rest) if colon else ("", line)


def _table(name: str) -> dict[str, str]:
    """Word → key of a table whose lines are "key: word word two_words"; the first line that has a word decides."""
    found: dict[str, str] = {}
    for key, rest in _lines(name):
        for word in rest.split():
            found.setdefault(word.replace("_", " "), key)
    return found


def _verbs() -> dict[str, set[str]]:
    forms: dict[str, set[str]] = defaultdict(set)
    for _, rest in _lines("verbs.txt"):
        for entry in rest.split():
            base, *irregular = entry.split(",")
            forms[base].add("B")
            forms[_third_person(base)].add("S")
            stem = base + base[-1] if _doubles(base) else base
            forms[_joined(stem, "ing")].add("G")
            past = irregular or [_joined(stem, "ed")]
            forms[past[0]] |= {"V"} if len(past) > 1 and past[1] != past[0] else {"V", "P"}
            forms[past[-1]].add("P")
    return forms


def _third_person(base: str) -> str:
    if base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ies"
    return base + ("es" if base.endswith(("s", "x", "z", "ch", "sh", "o")) else "s")


def _doubles(base: str) -> bool:
    """Whether the last consonant doubles ("sit", "sitting")."""
    vowels = sum(letter in "aeiou" for letter in base)
    short = vowels == 1 or base.endswith(("quip", "mit", "fer", "gin", "cur", "pel", "bel", "trol", "quit", "quat"))
    return len(base) > 2 and short and base[-1] not in "aeiouwxyh" and base[-2] in "aeiou" and base[-3:-1] != "ee"


def _joined(stem: str, ending: str) -> str:
    if stem.endswith("ie") and ending == "ing":
        return stem[:-2] + "ying"
    if stem.endswith("e") and not (ending == "ing" and stem.endswith(("ee", "ye", "oe"))):
        return stem[:-1] + ending
    if ending == "ed" and stem.endswith("y") and stem[-2] not in "aeiou":
        return stem[:-1] + "ied"
    return stem + ending


def _phrases() -> dict[str, tuple[tuple[int, ...], dict[tuple[str, ...], tuple[str, str]]]]:
    """First word → the lengths, longest first, and the (class, value) of the word groups that are read as one."""
    found: dict[str, dict[tuple[str, ...], tuple[str, str]]] = defaultdict(dict)

    def put(wording: str, kind: str, value: str) -> None:
        words = tuple(wording.split())
        found[words[0]].setdefault(words, (kind, value))

    for name, rest in _lines("relations.txt"):
        kind = "RELATION_IT" if name.endswith(" it") else "RELATION"
        for wording in rest.split(","):
            put(wording, kind, name.removesuffix(" it"))
    for count, rest in _lines("counts.txt"):
        for wording in rest.split(","):
            put(wording, "COUNT", count)
    for kind, rest in _lines("phrases.txt"):
        for wording in rest.split(","):
            put(wording, kind, wording.strip())
    return {
        first: (tuple(sorted({len(words) for words in group}, reverse=True)), group) for first, group in found.items()
    }


def _kinds() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = defaultdict(frozenset)
    for key, rest in _lines("kinds.txt"):
        for word in rest.split():
            found[word.replace("_", " ")] |= {key}
    return dict(found)


KINDS = _kinds()
MEASURES = _table("measures.txt")
COMPOUNDS = {
    name.replace("_", " "): (meant or name).replace("_", " ")
    for _, rest in _lines("compounds.txt")
    for name, _, meant in (entry.partition("=") for entry in rest.split())
}
PHRASES = _phrases()
COUNTS = {wording.strip(): count for count, rest in _lines("counts.txt") for wording in rest.split(",")}
_VERBS = _verbs()
_ADJECTIVES = frozenset(word for _, rest in _lines("adjectives.txt") for word in rest.split())
_PLAIN_NOUNS = [word for _, rest in _lines("nouns.txt") for word in rest.split()]
_FIXED_NOUNS = frozenset(w for w in _PLAIN_NOUNS if w.endswith(("ing", "ings", "ed", "ly")) and w not in VERBISH)
_STRONG_NOUNS = frozenset(_PLAIN_NOUNS)
_CATEGORIES = _table("categories.txt")
_NOUNS = frozenset(
    {
        *_PLAIN_NOUNS,
        *KINDS,
        *MEASURES,
        *_CATEGORIES,
        *_CATEGORIES.values(),
        *IRREGULAR,
        *(last for last in (compound.split()[-1] for compound in COMPOUNDS) if last not in _ADJECTIVES),
    }
)


@lru_cache(16384)
def noun_of(word: str) -> str:
    """`word` in the singular and without the usual misspellings: "benchs" → "bench"."""
    if word in SPELLING:
        return SPELLING[word]
    if word in ALWAYS_ONE or word in SINGULARS:
        return singular(word)
    if KINDS.get(word, NOTHING) & {"pair", "abstract"}:
        return word
    if word.endswith(("ss", "is", "us")) and word[:-1] in _NOUNS:
        return word[:-1]
    if word.endswith("ies") and word[:-1] in _NOUNS:
        return word[:-1]
    return singular(word)


@lru_cache(16384)
def is_plural(word: str) -> bool:
    """Whether `word` is a plural that differs from its singular."""
    if word in ("people", "cattle"):
        return True
    return word not in INVARIANT and noun_of(word) != word and not word.endswith("toliet")


@lru_cache(16384)
def is_verbish(word: str) -> bool:
    """Whether a word that can be noun and verb is a verb where it agrees with the noun before it."""
    base = word[:-2] if word.endswith("es") and word[:-2] in VERBISH else word.removesuffix("s")
    base = "fly" if word == "flies" else base
    return base in VERBISH or noun_of(word) not in _STRONG_NOUNS


def is_colour(word: str) -> bool:
    """Whether `word` is one of the common colours."""
    return word in COLOURS


@lru_cache(16384)
def kinds_of_noun(noun: str) -> frozenset[str]:
    """The kinds of words/kinds.txt that a noun has; what no table has is abstract by its ending ("happiness")."""
    kinds = KINDS.get(noun)
    if kinds is not None:
        return kinds
    unknown = " " not in noun and noun not in _NOUNS and len(noun) > 5
    return frozenset({"abstract"}) if unknown and noun.endswith(ABSTRACT_ENDINGS) else NOTHING


def known_noun(word: str) -> bool:
    """Whether the tables have `word` as a noun, in the singular or the plural."""
    return word in _NOUNS or noun_of(word) in _NOUNS


@lru_cache(16384)
def kinds_of(word: str) -> str:
    """Everything that `word`, lower case, can be (see the module); "" when only its place can tell."""
    if word in AUXILIARIES:
        return "X"
    if word in _FIXED_NOUNS or noun_of(word) in _FIXED_NOUNS:
        return "N" + "".join(sorted(_VERBS.get(word, set()) & {"G"}) if word == "painting" else "")
    kinds = "".join(sorted(_VERBS.get(word, ())))
    kinds += "A" * (word in _ADJECTIVES) + "N" * known_noun(word)
    if kinds and kinds != "N":
        return kinds if not (word in ADVERBS and kinds in ("A",)) else "AR"
    if word in ADVERBS:
        return "R"
    return kinds or _kind_by_ending(word)


def _kind_by_ending(word: str) -> str:
    if word.startswith("un") and word[2:] in _VERBS:
        return "AP"
    if "-" in word:
        last = word.rpartition("-")[2]
        if known_noun(last) and not word.endswith(SUFFIX_A):
            return "AN"
        return "A"
    if word.endswith("ly") and len(word) > 4:
        return "R"
    if word.endswith("ing") and len(word) > 5:
        return "G"
    if word.endswith("ed") and len(word) > 4:
        return "PV"
    if word.endswith(SUFFIX_A) and len(word) > 5:
        return "A"
    return ""


@cache
def coco_name(noun: str) -> str | None:
    """The COCO category that a noun plainly is one of ("kitten" → "cat", "sofa" → "couch"); None when of none."""
    word = noun_of(noun.lower().strip()) if " " not in noun else noun.lower().strip()
    if word in _CATEGORIES.values():
        return word
    if word in _CATEGORIES:
        return _CATEGORIES[word]
    first, _, last = word.rpartition(" ")
    return coco_name(last) if first and last != "bear" else None


# zebra, kite … stand in the table without synonyms, so they are no values yet.
_CATEGORIES.update({key: key for key, _ in _lines("categories.txt")})
