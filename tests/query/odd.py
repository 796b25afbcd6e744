"""Values that nobody should send, and some that are good, for tests that try to break what answers."""

from __future__ import annotations

from hypothesis import strategies as st

TIMES = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"[0-9]{1,12}(:[0-9]{1,3}){0,3}(\.[0-9]{0,13})?", fullmatch=True),
    st.from_regex(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?",
        fullmatch=True,
    ),
    st.from_regex(r"第?[0-9]{1,9}(时|分|秒|h|m|s)", fullmatch=True),
    st.floats().map(str),
    st.integers().map(str),
    st.datetimes().map(lambda t: t.isoformat() + "Z"),
    st.sampled_from(
        ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "23:59:60", "-0"]
    ),
)
TEXTS = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["\0", "../..", "%2e%2e", "a" * 1001, "=1+1", "\ud800".encode("utf-8", "replace").decode()]
    ),
)
SOURCES = st.one_of(st.sampled_from(["gate", "lecture-3", "lec", "", ".", "..", "gate/../gate"]), TEXTS)
ZONES = st.one_of(
    st.sampled_from(
        ["UTC", "Europe/Berlin", "Asia/Shanghai", "../../etc/passwd", "/etc/passwd", "posixrules"]
    ),
    TEXTS,
)
QUESTIONS = st.one_of(TEXTS, TIMES, st.builds("what happened from {} to {}".format, TIMES, TIMES))
