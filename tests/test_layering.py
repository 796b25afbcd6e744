"""The design's table of who may import whom, held against every module of the project."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"operators", "sinks", "query", "pipeline"}

# folder: (our packages and modules it may import, outside packages it may import)
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    "operators": ({"operators"}, {"numpy", "pydantic"}),
    "sinks": (
        {"sinks", "operators.core", "operators.errors", "operators.identity"},
        {"pyarrow"},
    ),
    "query": (
        {
            "query",
            "operators.core",
            "operators.errors",
            "operators.identity",
            "operators.stitch",
            "operators.timeline",
            "sinks.schema",
            "sinks.layout",
        },
        {"pyarrow", "duckdb", "tantivy", "numpy", "pydantic", "fastapi", "starlette", "yaml"},
    ),
    "pipeline": (
        {"pipeline", "query", "sinks", "operators"},
        {"ray", "typer", "rich", "pydantic", "pydantic_settings", "yaml", "pyarrow", "av"},
    ),
}
# Modules whose name begins so may import these besides: pictures are shown as they were indexed, by the
# same decoder, under the same limits, with the same times, and only from the file that was indexed; a model
# server is asked for an answer as patiently as for a description, and its replies are read the same way.
BESIDES: dict[str, set[str]] = {
    "query/ask_": {"operators.served_patience", "operators.served_reply"},
    "query/media": {
        "operators.container",
        "operators.decode",
        "operators.mediatime",
        "operators.pictures",
        "operators.ring_shelf",
        "operators.seek",
        "sinks.registry",
    },
}
# Heavy imports have one home each.
HOMES: dict[str, set[str]] = {
    "circuitbreaker": {"operators/served_patience.py"},
    "tenacity": {"operators/served_patience.py"},
    "anyio": {"operators/served.py"},
    "httpx": {
        "operators/served.py",
        "pipeline/serve_model.py",
        "query/addresses.py",
        "query/ask_server.py",
        "query/embeddings_client.py",
        "query/webhooks.py",
    },
    "av": {
        "operators/clips.py",
        "operators/container.py",
        "operators/decode.py",
        "operators/filters.py",
        "operators/live_change.py",
        "operators/live_failure.py",
        "operators/live_items.py",
        "operators/live_modes.py",
        "operators/live_open.py",
        "operators/live_packets.py",
        "operators/live_playback.py",
        "operators/live_reader.py",
        "operators/live_session.py",
        "operators/live_watch.py",
        "operators/pictures.py",
        "operators/probe.py",
        "operators/render_writer.py",
        "operators/ring.py",
        "operators/ring_shelf.py",
        "operators/seek.py",
        "operators/served_mp4.py",
        "operators/signals.py",
        "operators/sound.py",
        "operators/sparse.py",
        "operators/stills.py",
        "operators/subtitles.py",
        "pipeline/doctor.py",
        "pipeline/watch_tap.py",
        "query/media_cut.py",
        "query/media_encode.py",
        "query/media_mp4.py",
        "query/media_scan.py",
        "query/media_stills.py",
        "query/media_worker.py",
    },
    "cv2": {
        "operators/evidence.py",
        "operators/motion.py",
        "operators/ocr.py",
        "operators/render_scene.py",
        "operators/served_forms.py",
        "operators/settled.py",
        "operators/signals.py",
        "operators/stills.py",
        "operators/textlines.py",
        "operators/textplaces.py",
    },
    "mcp": {"query/mcp_server.py", "query/mcp_tools.py"},
    "huggingface_hub": {"operators/engine_checks.py"},
    "prometheus_client": {"pipeline/metrics.py", "query/service/metrics.py"},
    "rapidocr": {"operators/ocr.py"},
    "ray": {
        "pipeline/cluster.py",
        "pipeline/looking.py",
        "pipeline/models.py",
        "pipeline/run.py",
        "pipeline/team.py",
        "pipeline/watch_commit.py",
        "pipeline/watch_evidence.py",
        "pipeline/watch_stream.py",
    },
    "sglang": {"operators/engine_start.py", "operators/sglang_plugin.py", "operators/sglang_vision.py"},
    "tokenizers": {"operators/tokens.py"},
    "uvicorn": {"pipeline/serve.py"},
    "torch": {
        "operators/engine.py",
        "operators/engine_checks.py",
        "operators/patches.py",
        "operators/sglang_plugin.py",
        "operators/sglang_text.py",
        "operators/sglang_vision.py",
    },
    "triton": {"operators/sglang_text.py", "operators/sglang_vision.py"},
}
MODULES = sorted(path for folder in ALLOWED for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Returns every module that the file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from operators import core` imports operators.core
            found |= {
                f"{node.module}.{alias.name}" if node.module in OURS else node.module for alias in node.names
            }
    return found


def within(name: str, allowed: set[str]) -> bool:
    return any(name == a or name.startswith(f"{a}.") for a in allowed)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_what_the_design_allows(path: Path) -> None:
    module = str(path.relative_to(ROOT))
    ours, outside = ALLOWED[module.split("/")[0]]
    ours = ours.union(*(more for start, more in BESIDES.items() if module.startswith(start)))
    for name in imports(path):
        top = name.split(".")[0]
        if top in sys.stdlib_module_names or top == "__future__":
            continue
        if top in OURS:
            assert within(name, ours), f"{module} may not import {name}"
        elif top in HOMES:
            assert module in HOMES[top], f"{top} has its home elsewhere than {module}"
        else:
            assert top in outside, f"{module} may not import {top}"


@pytest.mark.parametrize("package", sorted(HOMES))
def test_every_home_is_lived_in(package: str) -> None:
    empty = [h for h in HOMES[package] if package not in {i.split(".")[0] for i in imports(ROOT / h)}]
    assert empty == []


def test_the_nouns_import_nothing_of_ours_but_the_errors() -> None:
    ours = {name for name in imports(ROOT / "operators/core.py") if name.split(".")[0] in OURS}
    assert ours == {"operators.errors"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_says_first_what_it_owns(path: Path) -> None:
    doc = ast.get_docstring(ast.parse(path.read_text()))
    assert doc, path
    assert doc.splitlines()[0].endswith((".", ":")), path
