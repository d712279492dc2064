"""Questions about a scene: English in many wordings, short answers, and how much detail each one needs; and listings.

A digit is a word ("three"): one piece of the vocabulary that follows the word it belongs to, so that a lookup is one hop. Listings are the
captions of this world: they teach what questions alone do not, that a word finds the rows with the same word.
``level`` is "coarse" (the blurred picture is enough), "medium" (symbols of two to three patches) or "fine" (marks of
about one patch, packed side by side).
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from .scene import DIGIT_WORDS, PLACES, Scene

_COLOUR = ("colour", "color")
_OPENINGS = ("", "", "", "", "Look at the picture. ", "Please tell me: ", "Look closely. ", "A quick question: ")
_ENDINGS = ("", "", "", "", "", " Answer with one word.", " Keep it short.")

_WORDINGS: dict[str, tuple[str, ...]] = {
    "background": ("What {c} is the background?", "Which {c} does the background have?", "Name the {c} of the background.",
                   "What is the {c} of the wall behind everything?", "The wall in the back has which {c}?"),
    "light": ("Is the picture bright or dark?", "Is the scene dark or bright?", "How is the light, bright or dark?",
              "Was this taken in bright or in dark light?", "Bright or dark: how does the whole scene look?"),
    "side": ("On which side is the big shape?", "Where is the large shape?", "Where in the picture does the big shape stand?",
             "The large shape is on which side of the picture?", "Which side of the picture holds the biggest shape?"),
    "large colour": ("What {c} is the big shape?", "Which {c} does the large shape have?", "Name the {c} of the biggest shape.",
                     "The large shape is painted in which {c}?"),
    "large kind": ("Is the big shape a circle, a square or a triangle?", "What kind of shape is the large one?",
                   "What is the biggest shape, a square, a circle or a triangle?", "What form does the large shape have?"),
    "symbol kind": ("What is the {x} symbol?", "Which symbol is {x}?", "What does the {x} symbol show?",
                    "Name the symbol that is {x}.", "The symbol painted {x}: what is it?"),
    "symbol colour": ("What {c} is the {x}?", "Which {c} does the {x} have?", "Name the {c} of the {x} symbol.",
                      "The {x} is painted in which {c}?"),
    "tag digit": ("What digit is on the {x} tag?", "Which number is on the {x} tag?", "Read the digit on the {x} label.",
                  "What number does the {x} label show?", "The small {x} tag has which digit?",
                  "Find the {x} tag. What number is on it?"),
    "tag colour": ("What {c} is the tag with the digit {x}?", "Which {c} is the label that says {x}?",
                   "Name the {c} of the tag with number {x}.", "The number {x} is on a tag of which {c}?",
                   "Which tag shows the digit {x}? Name its {c}."),
    "strip": ("What number is printed on the paper strip?", "Read the paper strip.", "Which digits are on the paper strip?",
              "What does the paper strip say?", "Read the number on the strip of paper."),
}
LEVELS = {"background": "coarse", "light": "coarse", "side": "coarse", "large colour": "coarse", "large kind": "coarse",
          "symbol kind": "medium", "symbol colour": "medium", "tag digit": "fine", "tag colour": "fine", "strip": "fine",
          "listing": "listing"}


@dataclass(frozen=True)
class Question:
    topic: str
    text: str
    answer: str

    @property
    def level(self) -> str:
        return LEVELS[self.topic]


def wording(rng: random.Random, topic: str, subject: str = "", plain: bool = False) -> str:
    """One of the wordings; a ``plain`` one without the talk around it."""
    text = rng.choice(_WORDINGS[topic]).format(c=rng.choice(_COLOUR), x=subject)
    return text if plain else rng.choice(_OPENINGS) + text + rng.choice(_ENDINGS)


def facts(scene: Scene) -> list[tuple[str, str, str]]:
    """Everything that can be asked: (topic, what is asked about, answer). Only unambiguous questions."""
    result = [("background", "", scene.background), ("light", "", "bright" if scene.bright else "dark"), ("side", "", scene.side)]
    tag_digits = Counter(item.kind for item in scene.items if item.role == "tag")
    for item in scene.items:
        if item.role == "large":
            result += [("large colour", "", item.colour), ("large kind", "", item.kind)]
        elif item.role == "symbol":
            result += [("symbol kind", item.colour, item.kind), ("symbol colour", item.kind, item.colour)]
        elif item.role == "tag":
            digit = DIGIT_WORDS[int(item.kind)]
            result.append(("tag digit", item.colour, digit))
            if tag_digits[item.kind] == 1:
                result.append(("tag colour", digit, item.colour))
    if scene.strip:
        result.append(("strip", "", " ".join(DIGIT_WORDS[int(digit)] for digit in scene.strip)))
    return result


def ask(scene: Scene, rng: random.Random, count: int, shares: dict[str, float], plain: bool = False) -> list[Question]:
    """``count`` questions, the level drawn with the given shares, none asked twice while others are left."""
    by_level: dict[str, list] = {"coarse": [], "medium": [], "fine": []}
    for fact in facts(scene):
        by_level[LEVELS[fact[0]]].append(fact)
    pools: dict[str, list] = {level: [] for level in by_level}
    questions = []
    for _ in range(count):
        level = rng.choices(list(shares), list(shares.values()))[0]
        level = level if by_level[level] else "coarse"
        if not pools[level]:
            pools[level] = rng.sample(by_level[level], len(by_level[level]))
        topic, subject, answer = pools[level].pop()
        questions.append(Question(topic, wording(rng, topic, subject, plain), answer))
    return questions


# How often each listing is asked for; every question needs one that lists the same things in the order in which they are asked.
_LISTINGS = {"tags by colour": 2.5, "tags by digit": 1.5, "symbols by colour": 1.0, "symbols by kind": 1.0, "scene": 0.6, "strip": 0.6}
_LISTING_TEXTS = {
    "tags by colour": "List the tags.", "tags by digit": "List the tags by their digits.", "symbols by colour": "List the symbols by colour.",
    "symbols by kind": "List the symbols.", "scene": "Describe the scene.", "strip": "List the digits of the paper strip.",
}


def _listed(scene: Scene, listing: str) -> list[str]:
    """The parts of a listing, in no order."""
    known = facts(scene)
    topic = {"tags by colour": "tag digit", "tags by digit": "tag colour", "symbols by colour": "symbol kind", "symbols by kind": "symbol colour"}
    if listing in topic:
        return [f"{subject} {answer}" for name, subject, answer in known if name == topic[listing]]
    answers = {name: answer for name, _, answer in known}
    if listing == "strip":
        return [f"{place} {digit}" for place, digit in zip(PLACES, answers["strip"].split())] if scene.strip else []
    shape = f"shape {answers['large colour']} {answers['large kind']} {answers['side']}"
    return [f"background {answers['background']}", shape, f"light {answers['light']}"]


def list_all(scene: Scene, rng: random.Random, count: int) -> list[Question]:
    """``count`` listings, their parts in random order; where a picture has none of what is drawn, the scene is listed."""
    result = []
    for listing in rng.choices(list(_LISTINGS), list(_LISTINGS.values()), k=count):
        parts = _listed(scene, listing)
        if not parts:
            listing, parts = "scene", _listed(scene, "scene")
        rng.shuffle(parts)
        result.append(Question("listing", _LISTING_TEXTS[listing], ", ".join(parts)))
    return result
