"""The server's keys: the root lists online keys, receipts are signed by one of them."""

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from greentrip.signing import new_seed, signer_of, thumbprint
from greentrip.signing.jws import BadToken, open_token, sign
from greentrip.trust import ONLINE_KEYS_MAX, open_key_list
from greentrip.wire import base64url, base64url_decode
from greentrip_server.errors import SettingsError
from greentrip_server.settings import Settings
from greentrip_server.sync.keys import ONLINE_KEY_LIFE, ServerKeys, add_online_key, init_keys


@pytest.fixture
def development(tmp_path: Path) -> Settings:
    """Settings of a server that was never started."""
    return Settings(data_dir=tmp_path / "data")


def folder_of(settings: Settings) -> Path:
    return settings.key_list_file.parent


def production(settings: Settings) -> Settings:
    """The same files, in production."""
    return Settings(environment="production", data_dir=settings.data_dir)


def test_the_first_start_makes_keys_that_only_the_owner_can_read(development: Settings, now: datetime):
    keys = ServerKeys.load(development, now)
    assert ServerKeys.load(development, now).kid == keys.kid
    files = sorted(folder_of(development).iterdir())
    assert [file.name for file in files] == ["keys.jws", "online.seed", "root.pub", "root.seed"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_the_list_is_what_the_protocol_says(development: Settings, now: datetime):
    keys = ServerKeys.load(development, now)
    root_id = thumbprint(keys.root_public_key)
    payload = open_token(keys.key_list, {root_id: keys.root_public_key}.get)
    assert payload == {
        "iss": root_id,
        "seq": 1,
        "issued_at": "2026-03-05T08:30:15Z",
        "keys": [
            {
                "kid": keys.kid,
                "x": base64url(keys.signer.public_key),
                "from": "2026-03-05T08:30:15Z",
                "until": "2027-04-09T08:30:15Z",
            }
        ],
    }


def test_a_receipt_is_verified_through_the_list(development: Settings, now: datetime):
    keys = ServerKeys.load(development, now)
    listed = open_key_list(keys.key_list, keys.root_public_key)
    receipt = sign(keys.signer, {"sub": "device", "request": "0" * 64})

    def key_of(kid: str) -> bytes | None:
        key = listed.find(kid)
        return key.public_key if key else None

    assert open_token(receipt, key_of) == {"sub": "device", "request": "0" * 64}


def test_production_never_makes_keys(tmp_path: Path, now: datetime):
    with pytest.raises(SettingsError):
        ServerKeys.load(Settings(environment="production", data_dir=tmp_path), now)
    assert list(tmp_path.iterdir()) == []


def test_production_needs_no_private_root_key(development: Settings, now: datetime):
    init_keys(folder_of(development), now)
    (folder_of(development) / "root.seed").unlink()
    assert ServerKeys.load(production(development), now).kid


def test_keys_are_never_overwritten(development: Settings, now: datetime):
    folder = folder_of(development)
    init_keys(folder, now)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(FileExistsError):
        init_keys(folder, now)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert [file.name for file in folder.parent.iterdir()] == ["keys"], "no drafts are left"


def test_processes_that_start_at_once_get_the_same_keys(development: Settings, now: datetime):
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _: ServerKeys.load(development, now), range(8)))
    assert len({keys.kid for keys in loaded}) == 1


def test_rotation_keeps_old_receipts_valid(development: Settings, now: datetime):
    old = ServerKeys.load(development, now)
    later = now + timedelta(days=300)
    added = add_online_key(folder_of(development), later)
    new = ServerKeys.load(production(development), later)
    listed = open_key_list(new.key_list, old.root_public_key)
    assert new.kid == added != old.kid
    assert listed.seq == 2
    assert [key.kid for key in listed.keys] == [old.kid, new.kid]


def test_a_stolen_key_leaves_the_list(development: Settings, now: datetime):
    stolen = ServerKeys.load(development, now)
    kept = add_online_key(folder_of(development), now, drop=[stolen.kid])
    listed = open_key_list(development.key_list_file.read_text(), stolen.root_public_key)
    assert [key.kid for key in listed.keys] == [kept]


def full_list(folder: Path, now: datetime) -> list[str]:
    """A folder with as many keys as a list can hold, each a day younger than the one before it; their names."""
    init_keys(folder, now)
    for day in range(1, ONLINE_KEYS_MAX):
        add_online_key(folder, now + timedelta(days=day))
    return listed_in(folder)


def listed_in(folder: Path) -> list[str]:
    root = base64url_decode((folder / "root.pub").read_text())
    return [key.kid for key in open_key_list((folder / "keys.jws").read_text(), root).keys]


def test_a_full_list_of_valid_keys_takes_no_other(tmp_path: Path, now: datetime):
    folder, last_moment = tmp_path / "keys", now + ONLINE_KEY_LIFE - timedelta(seconds=1)
    kids = full_list(folder, now)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    with pytest.raises(ValueError, match=r"all 32 keys .* are still valid: drop one, or wait until 2027-04-09"):
        add_online_key(folder, last_moment)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    added = add_online_key(folder, last_moment, drop=[kids[5]])
    assert listed_in(folder) == [*kids[:5], *kids[6:], added]


def test_a_full_list_loses_the_key_that_ended_first(tmp_path: Path, now: datetime):
    folder, much_later = tmp_path / "keys", now + 2 * ONLINE_KEY_LIFE
    kids = full_list(folder, now)
    added = [add_online_key(folder, much_later) for _ in range(2)]
    # The others ended too, and stay: receipts that they signed can still be checked.
    assert listed_in(folder) == [*kids[2:], *added]


def test_a_key_that_is_not_on_the_list_cannot_be_dropped(development: Settings, now: datetime):
    loaded = ServerKeys.load(development, now)
    before = development.key_list_file.read_text()
    with pytest.raises(ValueError, match=f"no key stolen on the list, which has: {loaded.kid}"):
        add_online_key(folder_of(development), now, drop=["stolen"])
    assert development.key_list_file.read_text() == before


def test_a_key_signs_only_in_its_time(development: Settings, now: datetime):
    keys = ServerKeys.load(development, now)
    assert keys.until == now + ONLINE_KEY_LIFE
    ServerKeys.load(development, keys.until - timedelta(seconds=1))
    for at in (keys.until, now - timedelta(seconds=1)):
        with pytest.raises(SettingsError, match="may sign from"):
            ServerKeys.load(development, at)


def test_an_unlisted_key_does_not_sign(development: Settings, now: datetime):
    init_keys(folder_of(development), now)
    development.online_key_file.write_text(base64url(new_seed()))
    with pytest.raises(SettingsError, match="not on the list"):
        ServerKeys.load(development, now)


@pytest.mark.parametrize("name", ["online.seed", "root.pub", "keys.jws"])
@pytest.mark.parametrize("content", [None, "", "hunter2", base64url(b"x" * 31)])
def test_broken_files_are_named_and_not_shown(development: Settings, now: datetime, name: str, content: str | None):
    init_keys(folder_of(development), now)
    file = folder_of(development) / name
    file.unlink()
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError) as caught:
        ServerKeys.load(production(development), now)
    assert "hunter2" not in str(caught.value)


def test_a_list_by_another_root_is_refused(development: Settings, now: datetime, tmp_path: Path):
    init_keys(folder_of(development), now)
    init_keys(tmp_path / "other", now)
    development.key_list_file.write_text((tmp_path / "other" / "keys.jws").read_text())
    with pytest.raises(SettingsError, match="unknown key"):
        ServerKeys.load(development, now)


@pytest.mark.parametrize(
    "change",
    [
        {"seq": "1"},
        {"seq": True},
        {"iss": "someone"},
        {"keys": None},
        {"keys": [1]},
        {"keys": [{}]},
        {"keys": [{"kid": "k", "x": base64url(b"x" * 32), "from": "2026-03-05T08:30:15Z", "until": "never"}]},
        {"issued_at": "yesterday"},
    ],
)
def test_a_list_that_makes_no_sense_is_refused_though_signed(development: Settings, now: datetime, change: dict):
    init_keys(folder_of(development), now)
    root = signer_of(base64url_decode((folder_of(development) / "root.seed").read_text()))
    right = {
        "iss": thumbprint(root.public_key),
        "seq": 1,
        "issued_at": "2026-03-05T08:30:15Z",
        "keys": [],
    }
    assert open_key_list(sign(root, right), root.public_key).keys == ()
    with pytest.raises(BadToken):
        open_key_list(sign(root, right | change), root.public_key)
