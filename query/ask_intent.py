"""Finds what a question wants to know: its kind, and the words that an event should hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from query.words import query_words

MAX_WORDS = 8  # that are searched for one by one; a question rarely has more that matter


class Wants(StrEnum):
    """What kind of answer a question asks for."""

    WHAT = "what"
    BEFORE = "before"
    AFTER = "after"
    AROUND = "around"
    FIRST = "first"
    LAST = "last"
    WHEN = "when"
    WHERE = "where"
    COUNT = "count"
    WHETHER = "whether"


@dataclass(frozen=True, kw_only=True, slots=True)
class Intent:
    """What is wanted, and the words of the thing it is about, each with others that say the same."""

    wants: Wants
    words: tuple[str, ...] = ()
    like: tuple[tuple[str, ...], ...] = ()

    @property
    def text(self) -> str:
        """The words as a search text."""
        return " ".join(self.words)


_ENGLISH: tuple[tuple[Wants, re.Pattern[str]], ...] = (
    (
        Wants.BEFORE,
        re.compile(r"\b(?:(?:led|leads?|leading) (?:up )?to|caused?|prior to|why (?:did|was)|before)\b"),
    ),
    (Wants.AROUND, re.compile(r"\b(?:around|before and after)\b(?= the| a)")),
    (Wants.AFTER, re.compile(r"\b(?:after|followed|following|as a result of|result of)\b")),
    (Wants.WHEN, re.compile(r"\bhow long\b")),
    (Wants.COUNT, re.compile(r"\bhow (?:many|often)\b|\bnumber of\b|\bcount\b")),
    (Wants.FIRST, re.compile(r"\b(?:first|earliest)\b")),
    (Wants.LAST, re.compile(r"\b(?:last|latest|most recent(?:ly)?)\b")),
    (Wants.WHEN, re.compile(r"\b(?:when|(?:at )?what time)\b")),
    (Wants.WHERE, re.compile(r"\bwhere\b|\bwhich (?:camera|source|video)\b|\bwhat camera\b")),
    (
        Wants.WHETHER,
        re.compile(r"^(?:was|were|is|are|did|does|do|has|have|had|any)\b|\b(?:anyone|anybody|anything)\b"),
    ),
)  # fmt: skip
_CHINESE: tuple[tuple[Wants, re.Pattern[str]], ...] = (
    (Wants.AROUND, re.compile("前后")),
    (Wants.WHEN, re.compile("多久|多长时间")),
    (Wants.COUNT, re.compile("几次|多少|几个|几辆|几人|多常|频率")),
    (Wants.FIRST, re.compile("第1次|首次|最早|最先")),
    (Wants.LAST, re.compile("最后|上1次|最近1次|最新")),
    (
        Wants.BEFORE,
        re.compile("导致|引起|造成|为什么|为何|怎么会|之前|以前|(?<=[\u4e00-\u9fff])前(?![面后排门台])"),
    ),
    (Wants.AFTER, re.compile("之后|以后|后来|随后|接着|(?<=[\u4e00-\u9fff])后(?![面门排台])")),
    (Wants.WHEN, re.compile("什么时候|何时|几点|几时|哪一刻|什么时间")),
    (Wants.WHERE, re.compile("哪里|哪儿|在哪|何处|什么地方|哪个摄像头|哪个视频")),
    (Wants.WHETHER, re.compile("有没有|有无|是否|吗|有人")),
)

_STOP = frozenset(
    re.findall(
        r"\S+",
        """
    a an the this that these those it its he she they them his her their we i you me my your our us is
    are was were be been being am do does did doing done has have had having will would can could should
    may might must shall of in on at to from by with without for into onto over under about as and or
    but nor not no so than then there here if while during between up down out off again once only just
    also too very long lasts lasted lasting more most what which who whom whose when where why how happen
    happens happened
    happening occur occurs occurred occurring take takes took taken place go goes going went gone come
    comes coming came get gets got show shows showed see sees saw seen tell describe list find any some
    all every each anything something everything nothing ever time times many much often number count
    first last latest earliest recent recently before after around prior led lead leads leading cause
    caused result reason followed following next later earlier video camera clip footage recording
    source thing things event events please moment second seconds minute minutes hour hours day ok s t
    ve re d ll still yet near look looked looking summary summarize summarise overview recap
    """,
    )
)
_STOP_HAN = re.compile(
    "发生了?什么事?情?|发生过?|出现了?什么|出现过?|什么时候|什么时间|什么地方|什么|总结|概括|概述|怎么样?|怎么会|为什么|为何|何时|哪里|哪儿|哪个|哪些|哪"
    "|多久|多长时间|1个|一个|事件|事情|东西|情况|内容|有没有|有无|是否|多少次?|几次|几个|几辆|几点|几时|第1次|最后1次|上1次|首次|最早|最先|最后|最近|最新|之前|以前|之后|以后|前后|后来"
    "|随后|接着|导致|引起|造成|视频里?中?|录像里?中?|画面里?中?|摄像头|镜头|请问?|告诉我|看到了?|看见了?|的时候|时候|期间|之间|那个|这个"
    "|(?<![经路驶走通])过|[的了吗呢吧啊呀着是在有被把从到和与及里个次辆位名只些都也还就又很前后]"
)
# What says the same, the commonest first: only the first few are searched for.
_ALIKE: tuple[tuple[str, ...], ...] = (
    (
        "person",
        "man",
        "woman",
        "people",
        "player",
        "人",
        "child",
        "worker",
        "pedestrian",
        "someone",
        "boy",
        "girl",
    ),
    ("car", "vehicle", "车", "van", "truck"),
    ("goal", "scored", "进球"),
    ("dog", "狗"),
    ("cat", "猫"),
    ("bicycle", "bike", "cyclist", "自行车"),
    ("red", "红"),
    ("blue", "蓝"),
    ("white", "白"),
    ("black", "黑"),
    ("green", "绿"),
    ("yellow", "黄"),
    ("ball", "球"),
    ("fire", "flame", "火"),
    ("door", "门"),
    ("package", "parcel", "box", "包裹", "快递"),
)
_ANYONE = frozenset({"anyone", "anybody", "somebody", "someone", "everybody", "everyone", "nobody"})
_SOMEONE_HAN = re.compile("(?:有没)?有人|没人|谁|人影")
# They stand between the words of a thing without a space: "红色汽车离开大门".
_VERB_HAN = re.compile("(经过|路过|驶过|走过|到达|离开|进入|走进|走出|出去|打开|关闭|停下|开走|摔倒|跌倒)")
_PIECE = re.compile(r"[^\W_]+(?:'[a-z]+)?")
_HAN_RUN = re.compile("[\u3400-\u9fff]+")


def find_intent(text: str, *, names: tuple[str, ...] = ()) -> Intent:
    """Returns what `text` wants: a question of `plain_question` without its time; `names` are its sources'.

    Never raises.
    """
    for name in names:
        text = text.replace(name, " ")
    chinese = bool(_HAN_RUN.search(text))
    wants, about = Wants.WHAT, text
    for kind, pattern in _CHINESE if chinese else _ENGLISH:
        match = pattern.search(text)
        if match is not None:
            wants = kind
            if kind in (Wants.BEFORE, Wants.AFTER, Wants.AROUND):
                about = _clause(text, match, chinese)
            break
    words = content_words(about) or content_words(text)
    if wants in (Wants.BEFORE, Wants.AFTER, Wants.AROUND) and not words:
        wants = Wants.WHAT
    return Intent(wants=wants, words=tuple(words), like=tuple(_alike(word) for word in words))


def _clause(text: str, match: re.Match[str], chinese: bool) -> str:
    """Returns the part of the question that names what happened before or after which it asks."""
    head, tail = text[: match.start()], text[match.end() :]
    causes = match[0] in ("导致", "引起", "造成", "为什么", "为何", "怎么会")
    first, then = (head, tail) if chinese and not causes else (tail, head)
    return first if content_words(first) else then


def content_words(text: str) -> list[str]:
    """Returns the words of the thing that a question or sentence is about, without those that only ask."""
    found: list[str] = []
    if _HAN_RUN.search(text):
        someone = _SOMEONE_HAN.search(text)
        if someone is not None:
            found.append("人")
            text = text[: someone.start()] + " " + text[someone.end() :]
        text = _STOP_HAN.sub(" ", _VERB_HAN.sub(r" \1 ", text))
        found += _HAN_RUN.findall(text)
    plain = _HAN_RUN.sub(" ", text)
    for word in _PIECE.findall(plain):
        word = word.removesuffix("'s").split("'")[0]
        if word in _ANYONE:
            found.append("person")
        elif word and word not in _STOP and query_words(word):
            found.append(word)
    return list(dict.fromkeys(found))[:MAX_WORDS]


def _alike(word: str) -> tuple[str, ...]:
    """Returns the word and those that say the same, in either language; a long Chinese one by its parts."""
    stems = set(query_words(word))
    others: dict[str, None] = {word: None}
    for group in _ALIKE:
        if any(set(query_words(other)) == stems for other in group):
            others.update(dict.fromkeys(group))
    if len(others) == 1 and _HAN_RUN.fullmatch(word) and len(word) > 1:
        for group in _ALIKE:
            if any(other in word for other in group if not other.isascii()):
                others.update(dict.fromkeys(group))
    return tuple(others)
