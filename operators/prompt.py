"""Makes the words that go to the model with every clip, from a prompt file, the kinds and the language.

A prompt file is text in three sections, `=== system ===`, `=== before ===` and `=== after ===`: what the
model is told at all, what it reads before a clip's pictures, and after them. `$language`, `$kinds` and
`$form` stand in the first two, `$length_s` in the last, which alone changes from clip to clip: all that is
constant comes before the pictures, so that an engine computes it once (prefix cache). `$$` is a dollar sign.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from operators.core import Clip
from operators.errors import ConfigError
from operators.identity import short_hash
from operators.kinds import Kind, kind_lines, reply_form, reply_schema

SECTIONS: dict[str, frozenset[str]] = {
    "system": frozenset({"language", "kinds", "form"}),
    "before": frozenset({"language", "kinds", "form"}),
    "after": frozenset({"length_s"}),
}
MAX_CHARACTERS = 20_000  # about 5,000 tokens; a longer text costs more than the pictures
_HEADING = re.compile(r"^=== *(\w+) *===[ \t]*$", re.MULTILINE)
_DEFAULT = "events.txt"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """What the model reads beside the pictures: `system`, `before` them, `tail(clip)` behind them.

    `after` is the template of the tail. `schema` is the reply's JSON schema, one constant text (engines cache
    the compiled grammar under it). `version` is a hash over all of this.
    """

    system: str
    before: str
    after: str
    schema: str
    version: str

    def tail(self, clip: Clip) -> str:
        """Returns the text after the clip's pictures."""
        return Template(self.after).substitute(length_s=f"{clip.duration_s:.1f}")


def build_prompt(kinds: Mapping[str, Kind], *, language: str = "English", path: Path | None = None) -> Prompt:
    """Returns the prompt for these kinds, from the file at `path` or the one that comes with sightlog.

    Raises ConfigError for a file that cannot be read, lacks a section or has unknown or missing placeholders.
    """
    name = "the prompt" if path is None else f"prompt file {str(path)!r}"
    sections = _sections(_read(path), name)
    words = {"language": language, "kinds": kind_lines(kinds), "form": reply_form(kinds)}
    system = Template(sections["system"]).substitute(words)
    before = Template(sections["before"]).substitute(words)
    schema = reply_schema(kinds)
    version = short_hash(system, before, sections["after"], schema, length=12)
    return Prompt(system=system, before=before, after=sections["after"], schema=schema, version=version)


def _read(path: Path | None) -> str:
    if path is None:
        return (files("operators") / "prompts" / _DEFAULT).read_text(encoding="utf-8")
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"cannot read prompt file {str(path)!r}: {error.strerror}; check `model.prompt`"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"prompt file {str(path)!r} is not UTF-8 text; save it as UTF-8") from error


def _sections(text: str, name: str) -> dict[str, str]:
    """Returns the checked templates by section; raises ConfigError with one sentence."""
    lead, *pieces = _HEADING.split(text)
    found = dict(zip(pieces[::2], pieces[1::2], strict=True))
    if lead.strip() or sorted(pieces[::2]) != sorted(SECTIONS):
        raise ConfigError(
            f"{name} has the sections {pieces[::2]}; write each of {list(SECTIONS)} once, its text after a "
            "line such as '=== system ==='"
        )
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"{name} has {len(text)} characters; shorten it to {MAX_CHARACTERS}")
    if "<|" in text:
        raise ConfigError(
            f"{name} contains '<|', the model's own marks; leave them out, sightlog writes them"
        )
    used: set[str] = set()
    for section, allowed in SECTIONS.items():
        template = Template(found[section])
        if not template.is_valid():
            raise ConfigError(
                f"{name} has a lone '$' in its section {section!r}; write '$$' for a dollar sign"
            )
        unknown = set(template.get_identifiers()) - allowed
        if unknown:
            raise ConfigError(
                f"{name} has the unknown placeholder '${min(unknown)}' in its section {section!r}; "
                f"known there: {', '.join(f'${one}' for one in sorted(allowed))}"
            )
        used |= set(template.get_identifiers())
    missing = frozenset().union(*SECTIONS.values()) - used
    if missing:
        raise ConfigError(f"{name} lacks the placeholder '${min(missing)}'; put it where the model reads it")
    # one newline on each side of the pictures, however the file is spaced
    return {
        "system": found["system"].strip(),
        "before": found["before"].strip() + "\n",
        "after": "\n" + found["after"].strip(),
    }
