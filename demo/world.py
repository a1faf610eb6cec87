"""The small town of the demo: short stories in HellaSwag's form.

A story is a context whose facts decide one of four endings. Three sorts of story differ in what a reader must
keep from the context:

- *mention*: only the right ending names something the context mentions; a bag of words is enough.
- *link*: several things are mentioned; the sentence that joins a person and a thing decides.
- *order*: two things stand in one sentence or one plan; which comes first decides.

This module knows no file, tokenizer or model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

ROLES = (
    "baker", "pilot", "nurse", "farmer", "teacher", "painter", "sailor", "gardener",
    "singer", "potter", "weaver", "clerk", "smith", "guard", "tailor", "miller",
)  # fmt: skip
"""People of the town; lower case, because the query's last part is capitalised and so loses its capitals."""

OBJECT_VERBS = {
    "lantern": "lights", "drum": "beats", "kite": "flies", "flute": "plays", "ladder": "climbs",
    "map": "unfolds", "bell": "rings", "book": "reads", "blanket": "spreads", "rope": "ties",
    "tent": "opens", "cup": "fills", "basket": "empties", "saw": "sharpens", "net": "mends",
    "cart": "pushes", "pot": "stirs", "wheel": "turns", "mirror": "polishes", "scarf": "folds",
    "box": "locks", "hat": "brushes", "clock": "winds", "letter": "signs",
}  # fmt: skip
"""Things of the town, each with what people do with it."""

OBJECTS = tuple(OBJECT_VERBS)

PLACES = (
    "market", "harbour", "mill", "bridge", "library", "station", "lighthouse", "school",
    "barn", "tower", "chapel", "workshop", "well", "inn", "forge", "museum",
)  # fmt: skip

CHORES = (
    "paint the fence", "sweep the floor", "bake the bread", "feed the hens", "sing a song", "wash the windows",
    "plant the beans", "stack the wood", "carry the water", "repair the roof", "dance in a ring", "pick the apples",
)  # fmt: skip

LABELS = (
    "Village fair", "Market day", "Spring festival", "Town meeting", "Helping a neighbour", "A walk in town",
    "Harvest time", "Preparing a party", "A day by the sea", "Winter evening",
)  # fmt: skip

OPENINGS = (
    "It is a {mood} {time} in the town.",
    "The town is busy on this {mood} {time}.",
    "A {mood} {time} has begun.",
    "Nobody in the town is in a hurry this {time}.",
)
MOODS = ("windy", "sunny", "mild", "cold", "warm", "bright", "rainy", "foggy")
TIMES = ("morning", "afternoon", "evening")

FILLERS = (
    "Some children laugh nearby.", "A dog sleeps in the sun.", "The wind is getting stronger.",
    "Two old friends talk about the weather.", "A band is playing far away.", "The air smells of rain.",
    "A grey cat watches from a wall.", "Many people have come to look.", "The streets are full of flowers.",
    "Everyone is in a good mood.",
)  # fmt: skip

TAILS = (
    "and smiles at the crowd", "and hums a tune", "with great care", "and nods to a friend",
    "before anyone can help", "and takes a deep breath", "while the others wait", "and feels very proud",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What one story says, before its endings are shuffled."""

    facts: tuple[str, ...]
    """Sentences that carry the facts, in the order in which they are told."""
    start: str
    """Beginning of the last sentence (`ctx_b`); all of it in lower case."""
    ending: Callable[[str], str]
    """Gives the ending that names a given answer."""
    answers: tuple[str, str, str, str]
    """The right answer, then the three wrong ones."""


@dataclass(frozen=True, kw_only=True)
class Story:
    """One row of the data, without its number."""

    activity_label: str
    ctx_a: str
    ctx_b: str
    endings: tuple[str, str, str, str]
    label: int

    @property
    def ctx(self) -> str:
        """The context as the hub's `ctx` column has it."""
        return f"{self.ctx_a} {self.ctx_b}" if self.ctx_b else self.ctx_a

    @property
    def query(self) -> str:
        """The text that is scored: label and context, as the harness forms it."""
        return f"{self.activity_label}: {self.ctx_a} {self.ctx_b.capitalize()}".strip()

    @property
    def gold(self) -> str:
        """The right ending."""
        return self.endings[self.label]


def article(noun: str) -> str:
    """Return the noun behind "a" or "an"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def pick_four(rng: Random, words: tuple[str, ...]) -> tuple[str, str, str, str]:
    """Draw four different words."""
    first, second, third, fourth = rng.sample(words, 4)
    return first, second, third, fourth


def use_object(rng: Random) -> Callable[[str], str]:
    """Return a rule for endings in which somebody uses a thing."""
    tail = rng.choice(TAILS)
    return lambda thing: f"{OBJECT_VERBS[thing]} the {thing} {tail}."


def use_chore(rng: Random) -> Callable[[str], str]:
    """Return a rule for endings in which somebody starts a chore."""
    tail = rng.choice(TAILS)
    return lambda chore: f"to {chore} {tail}."


def use_place(verb: str, tail: str) -> Callable[[str], str]:
    """Return a rule for endings that lead to a place."""
    return lambda place: f"{verb} the {place} {tail}."


def mention_object(rng: Random) -> Scene:
    """Mention one thing, which is used in the end."""
    role = rng.choice(ROLES)
    answers = pick_four(rng, OBJECTS)
    thing = article(answers[0])
    fact = rng.choice((
        f"The {role} has brought {thing} from home.",
        f"The {role} has bought {thing} today.",
        f"A friend has given the {role} {thing}.",
    ))  # fmt: skip
    start = rng.choice((f"the {role} now", f"the {role} finally", f"the {role} stops and"))
    return Scene(facts=(fact,), start=start, ending=use_object(rng), answers=answers)


def mention_place(rng: Random) -> Scene:
    """Mention one place, to which somebody goes."""
    role, friend = rng.sample(ROLES, 2)
    answers = pick_four(rng, PLACES)
    fact = rng.choice((
        f"The {role} wants to see the {answers[0]} again.",
        f"The {friend} has good news from the {answers[0]}.",
        f"There is music at the {answers[0]} today.",
    ))  # fmt: skip
    start = rng.choice((f"the {role} takes a coat and", f"the {role} soon"))
    return Scene(facts=(fact,), start=start, ending=use_place("walks to", rng.choice(TAILS)), answers=answers)


def mention_chore(rng: Random) -> Scene:
    """Mention one chore, which begins."""
    role = rng.choice(ROLES)
    answers = pick_four(rng, CHORES)
    fact = rng.choice((f"The {role} has promised to {answers[0]}.", f"It is time to {answers[0]}."))
    start = rng.choice((f"the {role} begins", f"the {role} is happy"))
    return Scene(facts=(fact,), start=start, ending=use_chore(rng), answers=answers)


def link_object(rng: Random) -> Scene:
    """Give two people a thing each; one of them uses it."""
    role, friend = rng.sample(ROLES, 2)
    answers = pick_four(rng, OBJECTS)
    pairs = [(role, answers[0]), (friend, answers[1])]
    rng.shuffle(pairs)
    verb = rng.choice(("carries", "holds", "has found"))
    facts = tuple(f"The {person} {verb} {article(thing)}." for person, thing in pairs)
    start = rng.choice((f"the {role} now", f"the {role} finally", f"the {role} stops and"))
    return Scene(facts=facts, start=start, ending=use_object(rng), answers=answers)


def link_place(rng: Random) -> Scene:
    """Place two people; a visitor looks for one of them."""
    role, friend = rng.sample(ROLES, 2)
    answers = pick_four(rng, PLACES)
    pairs = [(role, answers[0]), (friend, answers[1])]
    rng.shuffle(pairs)
    verb = rng.choice(("is waiting", "is working", "is resting"))
    facts = tuple(f"The {person} {verb} at the {place}." for person, place in pairs)
    start = rng.choice((f"a visitor looks for the {role} and", f"a child has a letter for the {role} and"))
    return Scene(facts=facts, start=start, ending=use_place("runs to", rng.choice(TAILS)), answers=answers)


def link_person(rng: Random) -> Scene:
    """Let two people make a thing each; the prize for one thing goes to its maker."""
    answers = pick_four(rng, ROLES)
    things = rng.sample(OBJECTS, 2)
    pairs = list(zip(answers[:2], things, strict=True))
    rng.shuffle(pairs)
    verb = rng.choice(("has made", "has painted", "shows"))
    facts = tuple(f"The {person} {verb} {article(thing)}." for person, thing in pairs)
    tail = rng.choice(("who bows", "who is very proud", "who laughs with joy", "who thanks everyone"))
    start = f"the prize for the best {things[0]} goes"
    return Scene(facts=facts, start=start, ending=lambda person: f"to the {person}, {tail}.", answers=answers)


def order_object(rng: Random) -> Scene:
    """Let somebody give one thing away for another, which is used."""
    role, friend = rng.sample(ROLES, 2)
    answers = pick_four(rng, OBJECTS)
    new, old = answers[0], answers[1]
    fact = rng.choice((
        f"The {role} trades {article(old)} for {article(new)}.",
        f"The {role} asks the {friend} for {article(old)} but gets {article(new)}.",
        f"The {role} puts down {article(old)} and picks up {article(new)}.",
    ))  # fmt: skip
    start = rng.choice((f"the {role} now", f"the {role} finally", f"the {role} stops and"))
    return Scene(facts=(fact,), start=start, ending=use_object(rng), answers=answers)


def order_place(rng: Random) -> Scene:
    """Move a thing from one place to another, where it is found."""
    role, friend = rng.sample(ROLES, 2)
    answers = pick_four(rng, PLACES)
    new, old = answers[0], answers[1]
    thing = rng.choice(OBJECTS)
    fact = rng.choice((
        f"The {role} has moved a {thing} from the {old} to the {new}.",
        f"A {thing} was at the {old} but now it is at the {new}.",
    ))  # fmt: skip
    start = f"the {friend} looks for the {thing} and"
    return Scene(facts=(fact,), start=start, ending=use_place("finds it at", rng.choice(TAILS)), answers=answers)


def order_chore(rng: Random) -> Scene:
    """Plan two chores; the first is done, the second begins."""
    role = rng.choice(ROLES)
    answers = pick_four(rng, CHORES)
    then, first = answers[0], answers[1]
    facts = (f"The {role} plans to {first} and then to {then}.", "The first task is soon done.")
    start = rng.choice((f"the {role} begins", f"the {role} is ready"))
    return Scene(facts=facts, start=start, ending=use_chore(rng), answers=answers)


SORTS: dict[str, tuple[Callable[[Random], Scene], ...]] = {
    "mention": (mention_object, mention_place, mention_chore),
    "link": (link_object, link_place, link_person),
    "order": (order_object, order_place, order_chore),
}
SORT_WEIGHTS = {"mention": 0.40, "link": 0.36, "order": 0.24}


def tell_context(rng: Random, scene: Scene) -> tuple[str, str]:
    """Return `ctx_a` and `ctx_b`: an opening, the facts, at times a filler, the last sentence's beginning.

    In one story of ten the last sentence's beginning belongs to `ctx_a` and `ctx_b` is empty.
    """
    opening = rng.choice(OPENINGS).format(mood=rng.choice(MOODS), time=rng.choice(TIMES))
    sentences = [opening, *scene.facts]
    num_fillers = 1 if len(sentences) < 3 else rng.randrange(2)
    for filler in rng.sample(FILLERS, num_fillers):
        sentences.insert(rng.randint(1, len(sentences)), filler)
    if rng.random() < 0.1:
        return " ".join([*sentences, scene.start.capitalize()]), ""
    return " ".join(sentences), scene.start


def tell_story(rng: Random, label: int | None = None) -> Story:
    """Write one story.

    Args:
        rng: Source of every choice.
        label: Place of the right ending, 0 to 3; drawn if absent.
    """
    (sort,) = rng.choices(list(SORT_WEIGHTS), weights=list(SORT_WEIGHTS.values()))
    scene = rng.choice(SORTS[sort])(rng)
    ctx_a, ctx_b = tell_context(rng, scene)
    place = rng.randrange(4) if label is None else label
    wrong = list(scene.answers[1:])
    rng.shuffle(wrong)
    answers = [*wrong[:place], scene.answers[0], *wrong[place:]]
    first, second, third, fourth = (scene.ending(answer) for answer in answers)
    return Story(
        activity_label=rng.choice(LABELS),
        ctx_a=ctx_a,
        ctx_b=ctx_b,
        endings=(first, second, third, fourth),
        label=place,
    )
