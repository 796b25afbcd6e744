"""Asks the service over a small log without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from query.service.app import create_app
from query.service.settings import ServiceSettings

HERE = "http://127.0.0.1"


class Asking:
    """A service that tests ask, one request at a time or several at once."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.app: FastAPI = create_app(root, ServiceSettings(**settings))
        self.context = self.app.state.context

    def send(self, *requests: tuple[str, str], headers: Mapping[str, str] | None = None, **more: Any) -> Any:
        """Returns the answers to (method, address) pairs, all asked at the same time; one answer for one."""

        async def all_of_them() -> list[httpx.Response]:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url=HERE, headers=headers) as client:
                return list(await asyncio.gather(*(client.request(m, a, **more) for m, a in requests)))

        answers = asyncio.run(all_of_them())
        return answers[0] if len(answers) == 1 else answers

    def get(self, address: str, **headers: str) -> httpx.Response:
        """Returns the answer to a GET; `x_y` as a header is sent as `x-y`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer: httpx.Response = self.send(("GET", address), headers=named)
        return answer

    def json(self, address: str) -> Any:
        """Returns the JSON of a GET that must go well."""
        answer = self.get(address)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def problem(self, address: str, status: int) -> str:
        """Returns the sentence of a GET that must be refused with this status."""
        answer = self.get(address)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        told = answer.json()
        assert set(told) == {"type", "title", "status", "detail", "code"}
        assert told["status"] == status
        return str(told["detail"])


Ask = Callable[..., Asking]
