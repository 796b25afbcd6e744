"""Writes the numbers of a question as digits, so that times are found in "两点半", "an hour" and "at ten"."""

from __future__ import annotations

import re
import unicodedata

MAX_QUESTION = 1000  # characters that are read; a question is a sentence, the rest is noise

_ONES = (
    *(
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
    ),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_SMALL = {word: value for value, word in enumerate(_ONES)}
_TENS = {
    word: value
    for value, word in enumerate(
        ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), 2
    )
}
_WORD = "|".join(sorted((*_SMALL, *_TENS), key=len, reverse=True))
_NUMBER = rf"(?:{'|'.join(_TENS)})[ -](?:{'|'.join(list(_SMALL)[1:10])})|{_WORD}"
_UNIT = r"(?:more )?(?:seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|o'?clock|[ap]\.?m\b)"
_COUNTED = re.compile(rf"\b({_NUMBER})(?=[ -]{_UNIT})")
_PLACED = re.compile(
    rf"\b(at|between|from|and|to|until|till|around|about|before|after|since|by|second|minute) ({_NUMBER})\b"
    rf"(?=(?: (?:and|to|until|till|in|on|last|this|yesterday|today|tonight|o'?clock)\b|\s*[?.,!]|\s*$))"
)
_HALF = re.compile(r"\bhalf (?:an?|of an) (hour|minute)")
_ONE = re.compile(
    r"\b(last|past|previous|in|within|for) an? (second|minute|hour|day|week)\b|\ban? (hour|minute)(?= ago)"
)
_HALF_PAST = re.compile(rf"\bhalf past (\d{{1,2}}|{_NUMBER})\b")
_QUARTER = re.compile(
    rf"\b(quarter|\d{{1,2}}|{_NUMBER}) (past|to) (\d{{1,2}}|{_NUMBER})"
    r"(?= (?:in|on|last|this|yesterday|today|tonight|o'?clock)\b|\s*[?.,!]|\s*$)"
)

_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "兩": 2}
_HAN = re.compile(
    "[零〇一二两兩三四五六七八九十百]+(?=个?(?:点|點|时(?!候|间)|時(?!候|間)|小时|小時|分|秒|天|日|号|號|月|周内|星期内|刻|次))"
)
_HALF_UNIT = re.compile("半个?(小时|小時|钟头|分钟|分鐘|天)")
_HOUR_AND_HALF = re.compile("([0-9]{1,3})个?半(小时|小時)")


def plain_question(question: str) -> str:
    """Returns the question as the readers of times want it: lower case, numbers before units in digits.

    Only the first `MAX_QUESTION` characters are read. Never raises.
    """
    text = unicodedata.normalize("NFKC", question)[:MAX_QUESTION].casefold()
    text = " ".join(text.split()).replace("’", "'")
    return _english(_chinese(text))


def is_chinese(question: str) -> bool:
    """Whether the answer should be in Chinese: the question holds a Chinese character."""
    return any("\u4e00" <= char <= "\u9fff" or "\u3400" <= char <= "\u4dbf" for char in question)


def _english(text: str) -> str:
    text = _HALF.sub(lambda m: "30 minutes" if m[1] == "hour" else "30 seconds", text)
    text = _ONE.sub(lambda m: f"{m[1]} 1 {m[2]}" if m[1] else f"1 {m[3]}", text)
    text = _HALF_PAST.sub(lambda m: f"{_value(m[1])}:30", text)
    text = _QUARTER.sub(_clock, text)
    text = _COUNTED.sub(lambda m: str(_value(m[1])), text)
    for _ in range(2):  # "between two and three": the second stands where the first one ended
        text = _PLACED.sub(lambda m: f"{m[1]} {_value(m[2])}", text)
    return text


def _clock(match: re.Match[str]) -> str:
    minutes = 15 if match[1] == "quarter" else _value(match[1])
    hour = _value(match[3])
    if not 0 < minutes < 60 or not 0 < hour <= 24 or (match[2] == "to" and match[1] != "quarter"):
        return match[0]  # "10 to 20" is a range
    past = match[2] == "past"
    return f"{hour if past else (hour - 1) or 12}:{minutes if past else 60 - minutes:02d}"


def _value(word: str) -> int:
    if word.isdecimal():
        return int(word)
    first, _, second = word.replace("-", " ").partition(" ")
    if first in _TENS:
        return _TENS[first] * 10 + _SMALL.get(second, 0)
    return _SMALL[first]


def _chinese(text: str) -> str:
    text = _HAN.sub(lambda m: str(_han(m[0])), text)
    text = _HOUR_AND_HALF.sub(lambda m: f"{int(m[1]) * 60 + 30}分钟", text)
    return _HALF_UNIT.sub(_half, text)


def _half(match: re.Match[str]) -> str:
    return {"分": "30秒", "天": "12小时"}.get(match[1][0], "30分钟")


def _han(number: str) -> int:
    """Returns the value of a number up to 999, or of digits read out one by one."""
    if not set(number) & set("十百"):
        return int("".join(str(_DIGITS[char]) for char in number[:6]))
    total, digit = 0, 0
    for char in number:
        if char in "十百":
            total += (digit or 1) * (10 if char == "十" else 100)
            digit = 0
        else:
            digit = _DIGITS[char]
    return total + digit
