"""Problems: every kind is explained in both languages, and its document holds what the protocol says."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from greentrip.errors import Refused
from greentrip_server import errors
from greentrip_server.errors import KINDS, Problem

NOW = datetime(2026, 3, 5, 8, 30, 15, tzinfo=UTC)
ALL = [
    errors.malformed("legs[0].mode", "missing", "缺失", line=3),
    errors.signature("digest", "does not fit", "不符"),
    errors.clock(NOW),
    errors.unknown_device(),
    errors.consent("sync"),
    errors.device_ended(),
    errors.not_found("trip", "出行"),
    errors.timeout(5),
    errors.too_large(1000),
    errors.media_type("application/x-ndjson"),
    errors.invalid("phone", "wrong", "不正确", suggestions=["a"]),
    errors.code_wrong(2),
    errors.code_expired(),
    errors.upgrade(),
    errors.too_many(60),
    errors.internal(),
    errors.unavailable(5),
]


@pytest.mark.parametrize("problem", ALL, ids=lambda problem: problem.kind)
def test_a_document_is_what_the_sdk_reads(problem: Problem):
    document = problem.document()
    refused = Refused(problem.status, document)
    assert refused.kind == problem.kind
    assert refused.message("en") == problem.detail_en
    assert refused.message("zh") == problem.detail_zh
    assert document["status"] == problem.status == KINDS[problem.kind].status


def test_every_kind_is_complete():
    assert {problem.kind for problem in ALL} | {"method_not_allowed"} == set(KINDS)
    assert all(all((k.title_en, k.title_zh, k.remedy_en, k.remedy_zh)) for k in KINDS.values())


def test_what_single_kinds_carry():
    by_kind = {problem.kind: problem for problem in ALL}
    assert by_kind["clock"].document()["server_time"] == "2026-03-05T08:30:15Z"
    assert by_kind["malformed"].document()["line"] == 3
    assert by_kind["unavailable"].headers() == {"Retry-After": "5"}
    # What is left of the body may still come.
    assert by_kind["timeout"].headers() == {"Retry-After": "5", "Connection": "close"}
    assert by_kind["too_many"].document()["retry_after_s"] == 60
    assert by_kind["signature"].headers() == {"WWW-Authenticate": "Greentrip-Signature"}
    assert [problem.kind for problem in ALL if problem.keeps_writes] == ["code_wrong"]


def test_instants_are_utc():
    east = timezone(timedelta(hours=8))
    assert errors.rfc3339(datetime(2026, 3, 5, 8, tzinfo=east)) == "2026-03-05T00:00:00Z"
    with pytest.raises(ValueError, match="no time zone"):
        errors.rfc3339(datetime(2026, 3, 5, 8))
