"""The API as documented: what it says is what the server does, and its page needs no other host."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi import checks

from greentrip.signing import new_seed, signer_of
from greentrip.trust import CLOCK_WINDOW_S
from greentrip.wire import NDJSON, SIGNATURE_HEADER, canonical, join_lines
from greentrip_server import openapi
from greentrip_server.app import ROUTES
from greentrip_server.errors import KINDS, PROBLEM_MEDIA_TYPE
from support.records import line
from support.server import NOW, Device, Served

SNAPSHOT = Path(__file__).parents[2] / "docs" / "reference" / "openapi.json"
DOCUMENT = openapi.document(ROUTES)
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = [operation.ok() for operation in SCHEMA.get_all_operations()]
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
PUBLIC = {"/v1/enrolments", "/v1/erasure", "/v1/methodologies", "/v1/policies", "/.well-known/greentrip-keys"} | {
    "/health/live",
    "/health/ready",
}
# The same examples on every run; the shared server keeps what they leave behind, which is what servers do.
REPEATABLE = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@pytest.fixture
def server(shared_server: Served) -> Iterator[Served]:
    shared_server.clock.at = NOW
    yield shared_server
    assert shared_server.ledger().ok


@pytest.fixture(scope="module")
def device(shared_server: Served) -> Device:
    return shared_server.device()


# The document


def test_the_snapshot_is_the_document():
    """`python -m greentrip_server.openapi > docs/reference/openapi.json` after a change that is meant."""
    assert SNAPSHOT.read_text() == openapi.snapshot(ROUTES)


def test_the_server_shows_the_document(server: Served):
    assert server.client.get("/schema/openapi.json").json() == DOCUMENT


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_every_call_tells_what_it_takes_and_what_may_go_wrong(operation: Any):
    told = DOCUMENT["paths"][operation.path][operation.method]
    assert told["summary"]
    assert ("security" in told) == (operation.path not in PUBLIC)
    assert ("requestBody" in told) == (operation.method == "post")
    for status, answer in told["responses"].items():
        assert answer["description"]
        (media_type,) = answer["content"]
        assert (media_type == PROBLEM_MEDIA_TYPE) == (int(status) >= 400)
        kinds = re.findall(r"\(/problems/(\w+)\)", answer["description"])
        assert all(KINDS[kind].status == int(status) for kind in kinds)
        assert bool(kinds) == (int(status) >= 400)
        signed = "security" in told and int(status) < 400
        assert bool(answer.get("headers")) == signed


# What it says is what the server does


@schemathesis.serializer(NDJSON)
def _as_it_is(context: schemathesis.SerializationContext, value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def _request(case: schemathesis.Case, client: httpx.Client) -> httpx.Request:
    given_ = case.as_transport_kwargs(base_url=str(client.base_url))
    body = {name: given_[name] for name in ("json", "data", "files") if given_.get(name) is not None}
    if isinstance(body.get("data"), str | bytes):
        body = {"content": body["data"]}
    return client.build_request(
        given_["method"], given_["url"], params=given_.get("params"), headers=dict(given_["headers"]), **body
    )


@pytest.mark.parametrize(
    ("operation", "mode"),
    [
        pytest.param(operation, mode, id=f"{operation.label} {mode.value}")
        for operation in OPERATIONS
        for mode in schemathesis.GenerationMode
        # What takes nothing can get nothing that is wrong.
        if mode.is_positive or operation.body or operation.query
    ],
)
def test_nothing_that_a_caller_sends_breaks_the_contract(
    server: Served, device: Device, operation: Any, mode: schemathesis.GenerationMode
):
    @REPEATABLE
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: schemathesis.Case) -> None:
        request = _request(case, server.client)
        if operation.path not in PUBLIC:
            media_type = request.headers.get("Content-Type", "")
            target = request.url.raw_path.decode()
            request.headers[SIGNATURE_HEADER] = device.sign(request.method, target, request.read(), media_type)
        case.validate_response(server.client.send(request), checks=CHECKS)

    run()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
STATUSES = {"accepted", "held", "rejected", "conflict", "unsupported", "erased", "retry"}


@settings(REPEATABLE, max_examples=50)
@given(data=st.data())
def test_no_record_breaks_the_server(server: Served, device: Device, data: st.DataObject):
    honest = json.loads(line())
    changed = data.draw(st.dictionaries(st.sampled_from([*honest, "new"]), JSON_VALUES, min_size=1, max_size=3))
    leg = data.draw(st.dictionaries(st.sampled_from([*honest["legs"][0], "new"]), JSON_VALUES, max_size=2))
    value = honest | {"legs": [honest["legs"][0] | leg]} | changed
    spelt = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    results = device.post(spelt, data.draw(st.binary(max_size=80)).replace(b"\n", b""))
    assert {result["status"] for result in results} <= STATUSES


@REPEATABLE
@given(token=st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), min_size=1))
def test_no_token_breaks_the_server(server: Served, token: str):
    answer = server.client.get("/v1/account", headers={SIGNATURE_HEADER: token.strip().encode("latin-1") or b"x"})
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/signature")


@REPEATABLE
@given(payload=JSON_VALUES, iat=st.integers(-(2**53) + 1, 2**53 - 1))
def test_no_signed_claims_break_the_server(server: Served, device: Device, payload: Any, iat: int):
    from greentrip.errors import InvalidInput
    from greentrip.signing.jws import sign

    try:
        canonical(payload)
    except (InvalidInput, UnicodeEncodeError):
        payload = {"x": 1}
    answer = server.client.get("/v1/account", headers={SIGNATURE_HEADER: sign(device.signer, payload)})
    assert answer.status_code == 401
    token = device.sign("GET", "/v1/account", iat=iat)
    answer = server.client.get("/v1/account", headers={SIGNATURE_HEADER: token})
    assert answer.status_code == (200 if abs(iat - NOW.timestamp()) <= CLOCK_WINDOW_S else 401)


def test_a_phone_that_reuses_its_key_elsewhere_gives_nothing_away(server: Served, device: Device):
    # A token for another server, or by another key over the same claims, is worth nothing here.
    other = Device(server.client, "another-audience", server.key_list, now=server.clock)
    other.signer = device.signer
    assert other.call("GET", "/v1/account").json()["part"] == "audience"
    other.signer = signer_of(new_seed())
    answer = other.call("POST", "/v1/trips", join_lines([line()]), NDJSON)
    assert answer.json()["type"] == "/problems/unknown_device"


# Pages


def _links(page: httpx.Response) -> set[str]:
    """Everything that a browser would load for a page."""
    found = re.findall(r"""<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)\s*=\s*["']([^"']*)""", page.text)
    found += re.findall(r"""url\(\s*["']?([^"')]+)""", page.text)
    return {urljoin(str(page.url), link) for link in found if not link.startswith("data:")}


@pytest.mark.parametrize("address", ["/", "/schema", "/problems/clock"])
def test_pages_need_no_other_host(server: Served, address: str):
    page = server.client.get(address)
    assert page.headers["Content-Type"].startswith("text/html")
    links = _links(page)
    for link in links:
        assert urlsplit(link).netloc == urlsplit(server.url).netloc, link
        asset = server.client.get(link)
        assert asset.status_code == 200, link
        if link.endswith(".css"):
            assert not re.findall(r"""(?:url\(\s*["']?|@import\s+["'])(?:https?:)?//""", asset.text)
    if address == "/schema":
        assert {Path(urlsplit(link).path).name for link in links} >= {"swagger-ui-bundle.js", "swagger-ui.css"}


def test_pages_link_to_what_there_is(server: Served):
    front = server.client.get("/?lang=en")
    for link in re.findall(r'<a href="(/[^"]*)"', front.text):
        assert server.client.get(link).status_code == 200, link


@pytest.mark.parametrize("kind", KINDS)
def test_every_problem_has_a_page_in_both_languages(server: Served, kind: str):
    pages = {lang: server.client.get(f"/problems/{kind}?lang={lang}") for lang in ("zh", "en")}
    assert {page.status_code for page in pages.values()} == {200}
    assert '<html lang="zh-CN">' in pages["zh"].text
    assert '<html lang="en">' in pages["en"].text
    assert pages["zh"].text.count(KINDS[kind].remedy_zh) == 1
    assert pages["zh"].text != pages["en"].text
