"""How a one-time code reaches a phone: a Protocol, and one class for each way."""

from __future__ import annotations

import logging
from typing import Protocol
from uuid import UUID

import httpx

from greentrip_server.errors import SettingsError, unavailable
from greentrip_server.settings import Settings

WEBHOOK_TIMEOUT_S = 10.0
RETRY_AFTER_S = 30

_log = logging.getLogger(__name__)


class CodeSender(Protocol):
    """Something that can bring a code to a phone."""

    def send(self, phone: str, code: str, enrolment_id: UUID) -> None:
        """Send it; called outside of any transaction. Raises `unavailable`. Never logs the number."""


class LogSender:
    """Writes codes into the log: development only, `SettingsError` in production."""

    def __init__(self, settings: Settings) -> None:
        if settings.environment == "production":
            raise SettingsError(["GREENTRIP_CODE_SENDER: `log` writes one-time codes into the log; choose `webhook`"])

    def send(self, phone: str, code: str, enrolment_id: UUID) -> None:
        _log.info("code %s for enrolment %s", code, enrolment_id)


class WebhookSender:
    """Hands number and code to an SMS gateway: POST of `{"phone", "code"}`, any 2xx is success."""

    def __init__(self, url: str, token: str | None = None, transport: httpx.BaseTransport | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._url = url
        # A gateway that redirects is not the one that was configured: numbers go nowhere else.
        self._client = httpx.Client(
            headers=headers, timeout=WEBHOOK_TIMEOUT_S, follow_redirects=False, transport=transport
        )

    def send(self, phone: str, code: str, enrolment_id: UUID) -> None:
        try:
            answer = self._client.post(self._url, json={"phone": phone, "code": code})
        except httpx.HTTPError as error:
            _log.warning("the SMS gateway cannot be reached: %s", type(error).__name__)
            raise unavailable(RETRY_AFTER_S) from None
        if not answer.is_success:
            _log.warning("the SMS gateway answered %d for enrolment %s", answer.status_code, enrolment_id)
            raise unavailable(RETRY_AFTER_S)


class MemorySender:
    """Keeps codes, for tests: `codes[enrolment_id]`."""

    def __init__(self) -> None:
        self.codes: dict[UUID, str] = {}

    def send(self, phone: str, code: str, enrolment_id: UUID) -> None:
        self.codes[enrolment_id] = code


def sender_of(settings: Settings) -> CodeSender:
    """The sender that the settings name. Raises `SettingsError`."""
    if settings.code_sender == "log":
        return LogSender(settings)
    if settings.code_webhook_url is None:
        raise SettingsError(["GREENTRIP_CODE_WEBHOOK_URL: missing; the sender `webhook` needs it"])
    token = settings.code_webhook_token
    return WebhookSender(settings.code_webhook_url, token.get_secret_value() if token else None)
