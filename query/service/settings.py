"""The service's settings: where it listens, who may ask, which models it may use."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, SecretStr, field_validator

from operators.errors import ConfigError

DEFAULT_PORT = 8710
MIN_TOKEN = 16  # characters: shorter ones can be guessed


class ServiceSettings(BaseModel):
    """How `sightlog serve` answers; which log it answers from is no setting of the service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="address to listen on; any but loopback (127.0.0.1, ::1) needs a token",
    )
    port: int = Field(
        default=DEFAULT_PORT, ge=0, le=65535, description="port to listen on; 0 takes a free one"
    )
    hosts: tuple[str, ...] = Field(
        default=(),
        description=(
            "further names by which the service is reached, such as log.example.org behind a proxy; on "
            "loopback only localhost is taken, since a foreign page could point its own name here"
        ),
    )
    read_token: SecretStr | None = Field(
        default=None,
        description=(
            "who sends it may ask; at least 16 characters, best from the environment "
            "(SIGHTLOG_SERVICE__READ_TOKEN)"
        ),
    )
    write_token: SecretStr | None = Field(
        default=None,
        description="who sends it may also change rules (SIGHTLOG_SERVICE__WRITE_TOKEN)",
    )
    read_token_file: Path | None = Field(
        default=None, description="file whose first line is the read token, for secrets that are mounted"
    )
    write_token_file: Path | None = Field(
        default=None, description="file whose first line is the write token, for secrets that are mounted"
    )
    media_roots: tuple[Path, ...] = Field(
        default=(),
        description="folders whose videos may be played; none: no clip or picture is cut from a file",
    )
    state: Path | None = Field(
        default=None,
        description="folder for what rules remember (cursor, cooldowns, dead letters); never in the log",
    )
    rules: Path | None = Field(
        default=None, description="YAML file of rules to evaluate on each committed clip; none: no rule"
    )
    model_url: str | None = Field(
        default=None,
        description="OpenAI-compatible server that words the answers of /v1/ask; none: they are extracts",
    )
    model: str = Field(
        default="auto", min_length=1, description="that server's model; auto asks which one it serves"
    )
    model_key: SecretStr | None = Field(
        default=None, description="that server's API key (SIGHTLOG_SERVICE__MODEL_KEY)"
    )
    embed_url: str | None = Field(
        default=None,
        description="OpenAI-compatible server whose embeddings find events by meaning; none: by words only",
    )
    embed_model: str = Field(
        default="auto", min_length=1, description="that server's model; auto asks which one it serves"
    )
    embed_key: SecretStr | None = Field(
        default=None, description="that server's API key (SIGHTLOG_SERVICE__EMBED_KEY)"
    )
    allow: tuple[IPvAnyNetwork, ...] = Field(
        default=(),
        description="private networks (CIDR) that webhooks may reach; none: public addresses only",
    )
    sync_s: float = Field(
        default=2.0,
        gt=0,
        le=3600,
        description="how often the local copy of a log in an object store is brought up to date",
    )
    readers: int = Field(
        default=3,
        ge=1,
        le=16,
        description="questions answered at the same time; more wait in line, more cores do not help",
    )
    request_timeout_s: float = Field(
        default=30.0, gt=0, le=3600, description="a question that takes longer is given up, with status 503"
    )

    @field_validator("read_token", "write_token")
    @classmethod
    def _is_long(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None:
            _check(token.get_secret_value())
        return token

    def token(self, scope: str) -> str | None:
        """Returns the token of a scope (`read` or `write`), from its setting or its file; None without one.

        Raises ConfigError when the file cannot be read or its token is too short.
        """
        token: SecretStr | None = getattr(self, f"{scope}_token")
        path: Path | None = getattr(self, f"{scope}_token_file")
        if token is not None or path is None:
            return None if token is None else token.get_secret_value()
        try:
            held = path.read_text("utf-8").partition("\n")[0].strip()
            _check(held)
        except OSError as error:
            raise ConfigError(
                f"cannot read service.{scope}_token_file {str(path)!r}: {error.strerror}; check its path"
            ) from error
        except ValueError as error:
            raise ConfigError(
                f"service.{scope}_token_file {str(path)!r} holds no token: {error}; write it into line one"
            ) from error
        return held


def _check(token: str) -> None:
    """Raises ValueError for a token that no header can carry or that is too short to be a secret."""
    if len(token) < MIN_TOKEN:
        raise ValueError(f"a token has at least {MIN_TOKEN} characters")
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise ValueError("a token has ASCII letters, digits and signs, without spaces")
