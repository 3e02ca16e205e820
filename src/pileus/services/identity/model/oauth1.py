"""Programs that users let act for them by OAuth 1, as rows."""

from datetime import datetime
from typing import Any

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from pileus.kernel.db import JsonText, Row


class Consumer(Row):
    """A program that may ask users for access."""

    __tablename__ = "identity_consumers"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    description: Mapped[str | None] = mapped_column(Text)
    sealed_secret: Mapped[str] = mapped_column(Text)
    extra: Mapped[dict[str, Any]] = mapped_column(JsonText, default=dict)


class RequestToken(Row):
    """A consumer asks for access to a project; a user who may authorizes it, with roles."""

    __tablename__ = "identity_request_tokens"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    consumer_id: Mapped[str] = mapped_column(String(64), index=True)
    sealed_secret: Mapped[str] = mapped_column(Text)
    project_id: Mapped[str] = mapped_column(String(64), index=True)
    expires_at: Mapped[datetime | None]
    authorizing_user_id: Mapped[str | None] = mapped_column(String(64), index=True)
    verifier: Mapped[str | None] = mapped_column(String(64))
    role_ids: Mapped[list[str]] = mapped_column(JsonText, default=list)


class AccessToken(Row):
    """A consumer may act for a user, with some of its roles on a project."""

    __tablename__ = "identity_access_tokens"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    consumer_id: Mapped[str] = mapped_column(String(64), index=True)
    sealed_secret: Mapped[str] = mapped_column(Text)
    project_id: Mapped[str] = mapped_column(String(64), index=True)
    authorizing_user_id: Mapped[str] = mapped_column(String(64), index=True)
    expires_at: Mapped[datetime | None]
    role_ids: Mapped[list[str]]


class SpentNonce(Row):
    """A signature that was used; its nonce does not count again."""

    __tablename__ = "identity_spent_nonces"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """SHA-256 of consumer, token, timestamp and nonce."""
    until: Mapped[datetime] = mapped_column(index=True)
