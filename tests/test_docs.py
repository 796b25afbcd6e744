"""Prose that a test reads stays true: generated documents, commands and flags in them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import typer
from typer.main import get_command

from pipeline.cli import app
from pipeline.config import documented

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_generated_document_is_fresh() -> None:
    documents: dict[Path, str] = build().documents()
    assert {path.name for path in documents} == {
        *("README.md", "configuration.md", "event-log.md", "examples.json"),
    }
    for path, text in documents.items():
        assert path.read_text() == text, f"{path} is stale, run: make docs"


def test_every_setting_stands_in_the_documentation() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert [name for name, _, _ in documented() if f"`{name}`" not in text] == []


def test_every_command_stands_in_the_readme_or_the_docs() -> None:
    text = README + "".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    command = get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    assert [name for name in command.commands if not re.search(rf"\b{name}\b", text)] == []


def test_every_sightlog_line_of_the_readme_names_real_options() -> None:
    command = get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    lines = re.findall(r"^    sightlog ([\w-]+)(.*)$", README, re.MULTILINE)
    assert len(lines) >= 8
    for name, rest in lines:
        known = {option for parameter in command.commands[name].params for option in parameter.opts}
        used = set(re.findall(r"--[a-z-]+", rest.split("#")[0]))
        assert used <= known, (name, used - known)


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = {
        word for line in re.findall(r"^    make ([a-z -]+)", README, re.MULTILINE) for word in line.split()
    }
    assert used <= targets


def test_no_document_names_a_path_of_somebodys_machine() -> None:
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "configs").glob("*.yaml")):
        assert not re.search(r"(^|[\s`(])/(home|root|work|Users|mnt)/", path.read_text()), path
