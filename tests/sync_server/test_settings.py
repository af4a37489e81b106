"""Settings: defaults, the environment, and what production refuses."""

import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from greentrip.wire import base64url
from greentrip_server import settings as settings_module
from greentrip_server.enrolment.sender import LogSender, WebhookSender, sender_of
from greentrip_server.errors import SettingsError
from greentrip_server.settings import Settings, check_production, phone_hash_key
from greentrip_server.sync.keys import init_keys

KEY = base64url(b"k" * 32)


@pytest.fixture
def production(tmp_path: Path) -> dict[str, object]:
    """What a right production has."""
    init_keys(tmp_path / "keys", datetime.now(UTC))
    return {
        "environment": "production",
        "data_dir": tmp_path,
        "code_sender": "webhook",
        "code_webhook_url": "https://sms.example/send",
        "phone_hash_key": KEY,
    }


def test_defaults_are_one_folder(tmp_path: Path):
    settings = Settings(data_dir=tmp_path)
    assert settings.database_url == f"sqlite:///{tmp_path}/greentrip.sqlite3"
    assert settings.key_list_file == tmp_path / "keys" / "keys.jws"
    check_production(settings)


def test_every_setting_is_explained():
    undescribed = [name for name, field in Settings.model_fields.items() if not field.description]
    assert undescribed == []


def test_the_environment_is_read_and_its_faults_are_named_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GREENTRIP_PORT", "9001")
    assert Settings.read().port == 9001
    monkeypatch.setenv("GREENTRIP_PORT", "hunter2")
    monkeypatch.setenv("GREENTRIP_LOG_LEVEL", "LOUD")
    with pytest.raises(SettingsError) as caught:
        Settings.read()
    assert [line.partition(":")[0] for line in caught.value.wrong] == ["GREENTRIP_PORT", "GREENTRIP_LOG_LEVEL"]
    assert "hunter2" not in str(caught.value)


def test_secrets_are_not_shown(production: dict[str, object]):
    settings = Settings(**production, code_webhook_token="hunter2", database_url="postgresql+psycopg://u:hunter2@h/d")
    assert "hunter2" not in repr(settings)
    assert KEY not in repr(settings)


def test_production_as_it_should_be(production: dict[str, object]):
    settings = Settings(**production)
    check_production(settings)
    assert phone_hash_key(settings) == b"k" * 32
    assert isinstance(sender_of(settings), WebhookSender)


def test_production_lists_everything_that_is_wrong(tmp_path: Path):
    with pytest.raises(SettingsError) as caught:
        check_production(Settings(environment="production", data_dir=tmp_path / "empty"))
    assert [line.partition(":")[0] for line in caught.value.wrong] == [
        "GREENTRIP_CODE_SENDER",
        "GREENTRIP_PHONE_HASH_KEY",
        "GREENTRIP_ONLINE_KEY_FILE",
        "GREENTRIP_KEY_LIST_FILE",
        "GREENTRIP_ROOT_PUBLIC_KEY_FILE",
    ]
    assert not (tmp_path / "empty").exists(), "looking must not make anything"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"code_webhook_url": None}, "CODE_WEBHOOK_URL"),
        ({"code_webhook_url": "http://sms.example/send"}, "CODE_WEBHOOK_URL"),
        ({"code_sender": "log"}, "CODE_SENDER"),
        ({"phone_hash_key": base64url(b"short")}, "PHONE_HASH_KEY"),
        ({"phone_hash_key": "not base64!"}, "PHONE_HASH_KEY"),
    ],
)
def test_production_refuses(production: dict[str, object], change: dict[str, object], named: str):
    with pytest.raises(SettingsError) as caught:
        check_production(Settings(**(production | change)))
    assert [line.partition(":")[0] for line in caught.value.wrong] == [f"GREENTRIP_{named}"]


def test_production_never_makes_a_phone_hash_key(tmp_path: Path):
    with pytest.raises(SettingsError):
        phone_hash_key(Settings(environment="production", data_dir=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_log_sender_refuses_production(production: dict[str, object]):
    with pytest.raises(SettingsError):
        LogSender(Settings(**production))


def test_development_makes_one_phone_hash_key_and_keeps_it(tmp_path: Path):
    settings = Settings(data_dir=tmp_path / "new")
    first = phone_hash_key(settings)
    assert len(first) == 32
    assert phone_hash_key(settings) == first
    [file] = (tmp_path / "new").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_of_two_writers_of_a_secret_one_wins_whole(tmp_path: Path):
    path = tmp_path / "secret"
    texts = [str(number) * 1000 for number in range(8)]
    writers = [threading.Thread(target=settings_module.write_secret_once, args=(path, text)) for text in texts]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_text() in texts
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]
