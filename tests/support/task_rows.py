"""Rows of well-known multiple-choice datasets, made up but in the fields that each has on the dataset hub.

Some are as awkward as real ones: blanks at either end, other alphabets, labels in digits, three or five choices, an
empty passage, a blank at the very beginning of a sentence. `benchmarks/upstream_tasks.py` scores them in two harnesses.
"""

from typing import Any

Row = dict[str, Any]

# question, right answer, four wrong ones, a passage
_FACTS: tuple[tuple[str, str, tuple[str, str, str, str], str], ...] = (
    (
        "Which of these gives light at night?",
        "the moon",
        ("a stone", "a river", "bread", "wool"),
        "The moon is bright.",
    ),
    ("What do bees make?", "honey", ("milk", "oil", "salt", "ink"), "Bees live in hives. They gather nectar."),
    ("How does ice turn into water?", "It melts.", ("It burns.", "It rusts.", "It grows.", "It sings."), ""),
    ("  Which tool drives a nail? ", "a hammer", ("a spoon", "a sieve", "a brush", "a rope"), " Tools are old. "),
    (
        "Wie heißt die größte Stadt?",
        "Köln am Rhein",
        ("Öl", "Zürich", "Bär", "Æbeltoft"),
        "Die Straße führt nach Köln.",
    ),
    ("What falls from clouds?", "rain, snow and hail", ("sand", "coins", "dust", "leaves"), "Clouds hold water."),
    ("水は何度で凍りますか", "零度", ("百度", "十度", "五十度", "千度"), "氷は水です。"),
    ("Name the sum of 2 and 2", "4", ("3", "5", "22", "0"), "2 + 2 = 4"),
    ("Who sails a ship?", "the captain", ("the baker", "the mason", "the singer", "the judge"), "A ship\nhas a crew."),
    ("Which animal has a trunk?", "an elephant", ("a mouse", "a lion", "a cow", "a hen"), "Some animals are large."),
    ("\tWhy do leaves fall?", "They dry out in autumn.", ("Wind.", "Fish.", "They sleep.", "No one knows."), "Trees."),
    ("What is 'naïve' — really?", "simple 🙂", ("clever", "old…", "“wise”", "50% off"), "Words — many words."),
)
NUM_ROWS = len(_FACTS)


def _answers(number: int) -> tuple[str, list[str]]:
    """Return what counts as right, and four others; for every other fact it is a wrong one, so that lengths vary."""
    _, right, wrong, _ = _FACTS[number]
    return (wrong[0], [right, *wrong[1:]]) if number % 2 else (right, list(wrong))


def _shuffled(number: int, count: int) -> tuple[list[str], int]:
    """Return so many choices of a fact, and where the right one stands among them."""
    right, wrong = _answers(number)
    choices, place = wrong[: count - 1], number % count
    choices.insert(place, right)
    return choices, place


def _letters(count: int) -> list[str]:
    return list("ABCDE"[:count])


def arc(number: int) -> Row:
    """A row of `allenai/ai2_arc`: mostly four choices, sometimes three or five; some labels are digits."""
    count = (4, 4, 3, 5)[number % 4]
    texts, place = _shuffled(number, count)
    labels = [str(index + 1) for index in range(count)] if number % 5 == 2 else _letters(count)
    choices = {"text": texts, "label": labels}
    return {"id": f"q{number}", "question": _FACTS[number][0], "choices": choices, "answerKey": labels[place]}


def piqa(number: int) -> Row:
    """A row of `baber/piqa`."""
    texts, place = _shuffled(number, 2)
    return {"goal": _FACTS[number][0], "sol1": texts[0], "sol2": texts[1], "label": place}


def winogrande(number: int) -> Row:
    """A row of `allenai/winogrande`; in one the blank is the first word, in one it stands before the full stop."""
    texts, place = _shuffled(number, 2)
    sentence = (
        f"In the question '{_FACTS[number][0]}' the word _ is right because the others are wrong.",
        "_ is what they asked for.",
        "They looked for an answer and then found _ .",
        f"{_FACTS[number][3]} Then they said  _ and went home. ",
    )[number % 4]
    return {"sentence": sentence, "option1": texts[0], "option2": texts[1], "answer": str(place + 1)}


def openbookqa(number: int) -> Row:
    """A row of `allenai/openbookqa`; some keys and stems have blanks around them, one stem is empty."""
    texts, place = _shuffled(number, 4)
    stem = "" if number == 5 else _FACTS[number][0] + (" " if number % 3 == 0 else "")
    key = (" " if number % 4 == 1 else "") + "ABCD"[place]
    return {
        "id": f"7-{number}",
        "question_stem": stem,
        "choices": {"text": texts, "label": _letters(4)},
        "answerKey": key,
    }


def sciq(number: int) -> Row:
    """A row of `allenai/sciq`; some have no passage."""
    (question, _, _, support), (right, wrong) = _FACTS[number], _answers(number)
    distractors = {f"distractor{index + 1}": wrong[index] for index in range(3)}
    return {"question": question, **distractors, "correct_answer": right, "support": support}


def copa(number: int) -> Row:
    """A row of `aps/super_glue`, `copa`."""
    texts, place = _shuffled(number, 2)
    premise = f"{_FACTS[number][0].strip().rstrip('?')}." + (" " if number % 3 == 0 else "")
    choices = {f"choice{index + 1}": f"{text[:1].upper()}{text[1:]}." for index, text in enumerate(texts)}
    return {"premise": premise, **choices, "question": ("cause", "effect")[number % 2], "idx": number, "label": place}


def boolq(number: int) -> Row:
    """A row of `aps/super_glue`, `boolq`; passages may be empty or end in a blank."""
    question = _FACTS[number][0].strip().rstrip("?").lower()
    return {"question": question, "passage": _FACTS[number][3], "idx": number, "label": number % 2}


def commonsense_qa(number: int) -> Row:
    """A row of `tau/commonsense_qa`."""
    texts, place = _shuffled(number, 5)
    choices = {"label": _letters(5), "text": texts}
    return {"id": f"c{number}", "question": _FACTS[number][0], "question_concept": "thing", "choices": choices,
            "answerKey": "ABCDE"[place]}  # fmt: skip


def hellaswag(number: int) -> Row:
    """A row of `Rowan/hellaswag`, with the markup that is cleaned."""
    texts, place = _shuffled(number, 4)
    endings = [f"[step] takes {text}" + ("  and goes" if number % 2 else "") for text in texts]
    return {"ind": number, "activity_label": "Asking [title] and telling", "ctx_a": _FACTS[number][3],
            "ctx_b": "the Person", "endings": endings, "label": str(place)}  # fmt: skip


def mmlu(number: int) -> Row:
    """A row of `cais/mmlu`."""
    texts, place = _shuffled(number, 4)
    return {"question": _FACTS[number][0], "subject": "any", "choices": texts, "answer": place}


def race(number: int) -> Row:
    """A row of `EleutherAI/race`: the questions of an article as text; the last one is asked."""
    problems = []
    for one in (number, (number + 1) % NUM_ROWS):
        options, place = _shuffled(one, 4)
        question = _FACTS[one][0].strip() if one % 2 else "They say that  _  ."
        problems.append({"question": question, "answer": "ABCD"[place], "options": options})
    return {"article": f"{_FACTS[number][3]} It is so.", "problems": str(problems)}


def logiqa(number: int) -> Row:
    """A row of `EleutherAI/logiqa`."""
    texts, place = _shuffled(number, 4)
    label = "abcd"[place] + ("\n" if number % 3 == 1 else "")
    return {"label": label, "context": _FACTS[number][3], "question": _FACTS[number][0], "options": texts}


_OF_THE_DEMO = [
    """Village fair: Nobody in the town is in a hurry this evening. A band is playing far away. The weaver has moved a \
net from the station to the tower. The guard looks for the net and finds it at the tower before anyone can help.""",
    """Market day: It is a windy evening in the town. The gardener holds a map. The farmer holds a flute. The farmer \
finally plays the flute while the others wait.""",
]
"""Texts of the demo models' world, whose last word they know."""


def lambada(number: int) -> Row:
    """A row of `EleutherAI/lambada_openai`."""
    if number < len(_OF_THE_DEMO):
        return {"text": _OF_THE_DEMO[number]}
    question, right, _, passage = _FACTS[number]
    return {"text": f"{passage} {question} The answer is {right}".strip()}


def storycloze(number: int) -> Row:
    """A row of `LSDSem/story_cloze`."""
    texts, place = _shuffled(number, 2)
    sentences = {f"input_sentence_{index + 1}": _FACTS[(number + index) % NUM_ROWS][3] for index in range(4)}
    quiz = {f"sentence_quiz{index + 1}": f"It was {text}." for index, text in enumerate(texts)}
    return {"story_id": str(number), **sentences, **quiz, "answer_right_ending": place + 1}


def truthfulqa(number: int) -> Row:
    """A row of `truthfulqa/truthful_qa`, `multiple_choice`: the first choice is right, and there are two to five."""
    right, wrong = _answers(number)
    choices = [right, *wrong[: 1 + number % 4]]
    labels = [1] + [0] * (len(choices) - 1)
    targets = {"choices": choices, "labels": labels}
    return {"question": _FACTS[number][0], "mc1_targets": targets, "mc2_targets": targets}


MAKERS = {
    "arc_easy": arc, "arc_challenge": arc, "piqa": piqa, "winogrande": winogrande, "openbookqa": openbookqa,
    "sciq": sciq, "copa": copa, "boolq": boolq, "commonsense_qa": commonsense_qa, "hellaswag": hellaswag, "race": race,
    "logiqa": logiqa, "storycloze": storycloze, "lambada": lambada, "truthfulqa_mc1": truthfulqa, "mmlu": mmlu,
}  # fmt: skip


def rows(dataset: str) -> list[Row]:
    """Return the rows of a dataset."""
    return [MAKERS[dataset](number) for number in range(NUM_ROWS)]
