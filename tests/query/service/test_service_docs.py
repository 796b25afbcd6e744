"""What docs/service.md says is so: every route, every option, every curl line."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from pipeline.cli import app
from query.service.settings import ServiceSettings
from tests.query.service.asking import HERE, Asking

DOCS = Path(__file__).resolve().parents[3] / "docs"
TEXT = (DOCS / "service.md").read_text()
CURLS = re.findall(r"^    curl (.*)$", TEXT, re.MULTILINE)


def test_every_route_stands_in_the_chapter(ask: Asking) -> None:
    paths = ask.json("/openapi.json")["paths"]
    known = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    named = set(re.findall(r"`((?:GET|POST|DELETE|PUT) /[^`?]*)`", TEXT))
    assert known - named == set()
    assert named - known == {"GET /", "GET /docs", "GET /openapi.json"}


def test_every_option_of_serve_stands_in_the_chapter() -> None:
    command = get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    options = {
        option for one in command.commands["serve"].params for option in one.opts if option.startswith("--")
    }
    assert {option for option in options if f"`{option}`" not in TEXT} == {"--help"} & options
    settings = set(re.findall(r"`service\.(\w+)`", TEXT))
    assert settings <= set(ServiceSettings.model_fields)


@pytest.mark.parametrize("line", CURLS)
def test_every_curl_line_is_answered(ask: Asking, line: str) -> None:
    address = next(word for word in shlex.split(line) if word.startswith("$URL"))
    answer = ask.get(address.replace("$URL", HERE))
    assert answer.status_code == 200, answer.text
    if "/v1/export" not in address:
        told = answer.json()
        assert any(told.get(name) for name in ("events", "match", "covering", "sources", "lanes", "sessions"))


def test_every_metric_of_the_chapter_is_told(ask: Asking) -> None:
    text = ask.get("/metrics").text
    for name in set(re.findall(r"`(sightlog_\w+)`", TEXT)) - {"sightlog_log_sync_age_seconds"}:
        assert name in text, name


def test_every_document_that_it_names_exists() -> None:
    for name in re.findall(r"\]\(([\w.-]+\.md)\)", TEXT):
        assert (DOCS / name).is_file(), name
