"""The border: a record holds a white list of coarse values, and desensitise() is the only way to it."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import greentrip
from greentrip.evidence import Features
from greentrip.record import (
    DISTANCE_M_MAX,
    DURATION_MIN_MAX,
    Evidence,
    MeasuredLeg,
    MeasuredTrip,
    RecordInvalid,
    RecordLeg,
    RecordUnsupported,
    TripRecord,
    decode,
    desensitise,
    duration_min,
    opens,
)
from greentrip.trip import Estimate, Fix, Flag, Leg, Method, Mode, Point, Route, Station
from greentrip.wire import RECORD_BYTES_MAX, canonical, parse_canonical, sha256_hex

MIDNIGHT = 1_772_640_000  # 2026-03-05T00:00:00+08:00
LEG_KEYS = {"mode", "distance_m", "duration_min", "method"}
FEATURE_KEYS = {"leg", "median_kmh", "p85_kmh", "p95_kmh", "moving_kmh", "stopped_percent", "fixes"}

points = st.builds(Point, st.floats(39.6, 40.4), st.floats(115.8, 117.2))
stations = st.builds(Station, st.sampled_from(["虎坊桥", "双井", "呼家楼", "东夏园"]))
places = points | stations
fixes = st.builds(Fix, points, st.just(0.0), st.none() | st.floats(0, 100), st.booleans())


@st.composite
def coarse_legs(draw: st.DrawFn, index: int) -> tuple[Mode, Method, Route | None, int, int, Features | None]:
    mode = draw(st.sampled_from(Mode))
    method = draw(st.sampled_from([Method.TRACK, Method.ENDPOINTS, *[Method.RAIL] * (mode is Mode.RAIL)]))
    steps = st.integers(0, 200).map(lambda n: 2 * n)
    rising = st.tuples(steps, steps, steps).map(sorted)
    features = st.builds(
        lambda speeds, moving, stopped, fixes: Features(index, *speeds, moving, stopped, fixes),
        rising,
        steps,
        st.integers(0, 20).map(lambda n: 5 * n),
        st.integers(0, 3),
    )
    return (
        mode,
        method,
        draw(st.sampled_from(Route)) if method is Method.RAIL else None,
        draw(st.integers(0, DISTANCE_M_MAX)),
        draw(st.integers(1, 100)),
        draw(features) if method is Method.TRACK else None,
    )


@st.composite
def coarse_trips(draw: st.DrawFn) -> dict:
    count = draw(st.integers(1, 12))
    return {
        "slot": draw(st.integers(0, 47)),
        "days": draw(st.integers(0, 3000)),
        "legs": [draw(coarse_legs(index)) for index in range(count)],
        "flags": frozenset(draw(st.sets(st.sampled_from(Flag)))),
        "reduction_mg": draw(st.integers(0, 10**9)),
        "id": str(draw(st.uuids(version=4))),
        "province": draw(st.sampled_from([11, 12, 13])),
    }


def located(coarse: dict, draw: Callable) -> MeasuredTrip:
    """A trip that is `coarse` in what may leave the phone, and anything at all in what may not."""
    at = MIDNIGHT + coarse["days"] * 86_400 + coarse["slot"] * 1_800 + draw(st.floats(0, 1_700))
    legs = []
    for mode, method, route, distance_m, minutes, features in coarse["legs"]:
        until = at + minutes * 60 - draw(st.floats(0.001, 59)) if minutes > 1 else at + draw(st.floats(0, 59))
        # Long legs are rounded to 5 minutes: any duration within the same 5 does.
        made = tuple(replace(f, at=draw(st.floats(at, until))) for f in draw(st.lists(fixes, max_size=4)))
        low, middle, high = sorted(draw(st.tuples(*[st.integers(0, 2_000_000)] * 3)))
        leg = Leg(
            mode, draw(places), draw(places), at, until, made, tuple(draw(st.lists(st.text(max_size=4), max_size=3)))
        )
        estimate = Estimate(middle, low, high, method, route)
        legs.append(MeasuredLeg(leg, estimate, distance_m, features))
        at = until
    return MeasuredTrip(
        coarse["id"], tuple(legs), coarse["province"], "db11t@0123456789abcdef", coarse["reduction_mg"], coarse["flags"]
    )


@settings(max_examples=30, deadline=None)
@given(coarse_trips(), st.data())
def test_a_record_depends_on_nothing_but_its_coarse_values(coarse: dict, data: st.DataObject):
    """Two trips with the same coarse values, at other places and minutes, leave the phone as the same bytes."""
    one, _ = desensitise(located(coarse, data.draw))
    other, _ = desensitise(located(coarse, data.draw))
    assert replace(one, commitment="") == replace(other, commitment="")
    assert one.commitment != other.commitment


@settings(max_examples=30, deadline=None)
@given(coarse_trips(), st.data())
def test_a_record_holds_the_white_list_and_reads_back(coarse: dict, data: st.DataObject):
    record, _ = desensitise(located(coarse, data.draw))
    line = record.to_bytes()
    assert decode(line) == record
    assert decode(line).to_bytes() == line
    value = json.loads(line)
    assert value.keys() == {
        "v", "id", "day", "slot", "province", "legs", "features", "flags", "methodology", "reduction_mg", "commitment",
    }  # fmt: skip
    for leg in value["legs"]:
        assert leg.keys() == LEG_KEYS | ({"route"} if leg["method"] == "rail" else set())
    for features in value["features"]:
        assert features.keys() == FEATURE_KEYS
    assert (value["day"], value["slot"]) == (
        (date(2026, 3, 5) + timedelta(days=coarse["days"])).isoformat(),
        coarse["slot"],
    )
    # Every text is a word of the protocol or a number without meaning; every number lies in a coarse range.
    texts = {leg[key] for leg in value["legs"] for key in ("mode", "method", "route") if key in leg} | {*value["flags"]}
    assert texts <= {*Mode, *Method, *Route, *Flag}
    assert UUID(value["id"]).version == 4
    assert re.fullmatch(r"[0-9a-f]{64}", value["commitment"])


def _trip(**changes) -> MeasuredTrip:
    leg = Leg(
        Mode.WALK,
        Point(39.9123456, 116.4654321),
        Station("虎坊桥"),
        MIDNIGHT + 30_605.123,
        MIDNIGHT + 31_000.9,
        (Fix(Point(39.9123111, 116.4654222), MIDNIGHT + 30_700.5, 7.5),),
        ("双井",),
    )
    estimate = Estimate(1234, 1111, 1357, Method.TRACK)
    trip = MeasuredTrip(
        "0b9a0c5e-4f39-4d8e-9d0f-1b2c3d4e5f60",
        (MeasuredLeg(leg, estimate, 1200, Features(0, 4, 6, 6, 4, 10, 1)),),
        11,
        "db11t@fedcbafedcbafedc",
        124_800,
    )
    return replace(trip, **changes)


def test_no_place_no_station_and_no_minute_stands_in_a_record():
    record, _ = desensitise(_trip())
    text = record.to_bytes().decode()
    value = json.loads(text)
    for secret in ("39.9", "116.4", "399123", "1164654", "虎坊桥", r"\u864e", "双井", "1234", "1111", "1357", "30605"):
        assert secret not in text.replace(value["commitment"], "").replace(value["id"], "")
    assert not {1234, 1111, 1357, 30605, 505} & set(_numbers(value))
    assert (value["day"], value["slot"]) == ("2026-03-05", 17)


def _numbers(value: object) -> list[int]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value] if isinstance(value, int) else [n for item in inner for n in _numbers(item)]


def test_desensitise_is_the_only_door():
    """Nothing of the record's module is public but through a finished trip's bytes."""
    assert not {"desensitise", "TripRecord", "MeasuredTrip", "Leg", "Estimate"} & set(greentrip.__all__)


def test_flags_are_sorted_and_features_name_their_leg():
    record, _ = desensitise(_trip(flags=frozenset(Flag)))
    assert record.flags == (Flag.EVEN, Flag.GAP, Flag.MOCK, Flag.REPEAT, Flag.REPLAY)
    assert [features.leg for features in record.features] == [0]


def test_a_record_that_would_not_read_back_is_never_written():
    record, _ = desensitise(_trip())
    with pytest.raises(RecordInvalid):
        replace(record, slot=48).to_bytes()
    with pytest.raises(ValueError, match="read back"):
        replace(record, flags=[Flag.GAP]).to_bytes()  # type: ignore[arg-type]


# Time


@pytest.mark.parametrize(
    ("seconds", "minutes"),
    [
        (0, 1), (1, 1), (60, 1), (61, 2), (600, 10), (58 * 60 + 1, 59), (59 * 60, 59), (59 * 60 + 1, 60), (3600, 60),
        (3601, 65), (65 * 60, 65), (65 * 60 + 1, 70), (24 * 3600 - 1, 1440), (24 * 3600, 1440),
    ],
)  # fmt: skip
def test_durations_are_rounded_up_to_1_and_from_60_on_to_5(seconds: float, minutes: int):
    assert duration_min(seconds) == minutes


@given(st.floats(0, 24 * 3600), st.floats(0, 24 * 3600))
def test_a_duration_is_never_shorter_than_the_ride_and_grows_with_it(one: float, other: float):
    assert duration_min(one) * 60 >= one
    shorter, longer = sorted((one, other))
    assert duration_min(shorter) <= duration_min(longer) <= DURATION_MIN_MAX
    assert duration_min(longer) < 60 or duration_min(longer) % 5 == 0


# The commitment


def test_a_level_opens_alone_and_no_other_way():
    record, evidence = desensitise(_trip())
    one, two, three = evidence.parts()
    others = {1: [two, three], 2: [one, three], 3: [one, two]}
    for level in (1, 2, 3):
        content, salt = evidence.levels[level - 1], evidence.salts[level - 1]
        assert opens(record.commitment, level, content, salt, others[level])
        assert not opens(record.commitment, level, content + b" ", salt, others[level])
        assert not opens(record.commitment, level, content, salt[::-1], others[level])
        assert not opens(record.commitment, level, content, salt, others[level][::-1])
        assert not opens("0" * 64, level, content, salt, others[level])
        for wrong in {0, 1, 2, 3, 4, -1} - {level}:
            for parts in others.values():
                assert not opens(record.commitment, wrong, content, salt, parts)


def test_a_level_cannot_be_passed_off_as_another_by_cutting_the_parts_elsewhere():
    record, evidence = desensitise(_trip())
    one, two, three = evidence.parts()
    content, salt = evidence.levels[1], evidence.salts[1]
    assert opens(record.commitment, 2, content, salt, [one, three])
    assert not opens(record.commitment, 3, content, salt, [one, b"", three])
    assert not opens(record.commitment, 2, content, salt, [one[:16], one[16:], three])
    assert not opens(record.commitment, 2, salt[8:] + content, salt[:8], [one, three])
    assert not opens(record.commitment, 2, salt + content, b"", [one, three])
    assert not opens(record.commitment, 3, evidence.levels[2], evidence.salts[2], [one + two])


def test_the_commitment_is_made_as_the_protocol_says():
    record, evidence = desensitise(_trip())
    parts = [sha256_hex(salt + level) for salt, level in zip(evidence.salts, evidence.levels, strict=True)]
    assert record.commitment == evidence.commitment() == sha256_hex(bytes.fromhex("".join(parts)))
    assert {len(salt) for salt in evidence.salts} == {16}


def test_the_same_trip_twice_gives_two_commitments():
    """Without fresh salts, equal commitments would tell that two trips were the same."""
    commitments = {desensitise(_trip())[1].commitment() for _ in range(20)}
    assert len(commitments) == 20


def test_the_levels_are_canonical_and_grow_in_detail():
    _, evidence = desensitise(_trip())
    speeds, cells, raw = map(parse_canonical, evidence.levels)
    assert speeds == {"legs": [[-1] * 7]}
    assert cells == {"legs": [[[3991, 11646]]]}
    assert raw == {
        "id": "0b9a0c5e-4f39-4d8e-9d0f-1b2c3d4e5f60",
        "legs": [
            {
                "mode": "walk",
                "from": {"e7": [399123456, 1164654321]},
                "to": {"station": "虎坊桥"},
                "started_ms": (MIDNIGHT + 30_605) * 1000 + 123,
                "ended_ms": (MIDNIGHT + 31_000) * 1000 + 900,
                "changes": ["双井"],
                "stations": [],
                "metres": [1111, 1234, 1357],
                "stops": [],
                "fixes": [[(MIDNIGHT + 30_700) * 1000 + 500, 399123111, 1164654222, 75]],
            }
        ],
    }


@given(st.lists(st.tuples(points, st.floats(0, 1e-300) | st.floats(0, 2e9)), max_size=5))
def test_any_fixes_make_levels(raw: list[tuple[Point, float]]):
    """Two fixes in the same instant must not make a speed that no integer holds: the trip could never be finished."""
    ordered = sorted(raw, key=lambda item: item[1])
    made = tuple(Fix(point, at) for point, at in ordered)
    assume(not made or made[-1].at - made[0].at < 86_400)
    ends = (made[0].at, made[-1].at) if made else (0.0, 0.0)
    leg = Leg(Mode.WALK, Point(40, 116), Point(40, 117), *ends, made)
    trip = _trip(legs=(MeasuredLeg(leg, Estimate(1, 1, 1, Method.TRACK), 0, None),))
    _, evidence = desensitise(trip)
    speeds = parse_canonical(evidence.levels[0])["legs"][0]
    assert all(-1 <= speed <= 400 for speed in speeds)
    assert all(a.at <= b.at for a, b in pairwise(made))


def test_the_evidence_is_plain_data():
    _, evidence = desensitise(_trip())
    assert evidence == Evidence(evidence.levels, evidence.salts)


# Reading


GOOD: dict = {
    "v": 1,
    "id": "0b9a0c5e-4f39-4d8e-9d0f-1b2c3d4e5f60",
    "day": "2026-03-05",
    "slot": 17,
    "province": 11,
    "legs": [
        {"mode": "rail", "distance_m": 34960, "duration_min": 65, "method": "rail", "route": "named"},
        {"mode": "walk", "distance_m": 600, "duration_min": 9, "method": "track"},
    ],
    "features": [
        {
            "leg": 1,
            "median_kmh": 4,
            "p85_kmh": 6,
            "p95_kmh": 6,
            "moving_kmh": 4,
            "stopped_percent": 10,
            "fixes": 1,
        }
    ],
    "flags": ["gap", "mock"],
    "methodology": "db11t-3043-2024@0123456789abcdef",
    "reduction_mg": 2_579_520,
    "commitment": "ab" * 32,
}
MISSING = object()


def _changed(path: str, to: object) -> bytes:
    value = json.loads(json.dumps(GOOD))
    target: object = value
    *way, last = [int(part) if part.isdigit() else part for part in re.findall(r"\w+", path)]
    for part in way:
        target = target[part]  # type: ignore[index]
    if to is MISSING:
        del target[last]  # type: ignore[attr-defined]
    else:
        target[last] = to  # type: ignore[index]
    return canonical(value)


def test_the_good_record_is_good():
    record = decode(canonical(GOOD))
    assert record.legs[0] == RecordLeg(Mode.RAIL, 34960, 65, Method.RAIL, Route.NAMED)
    assert record.flags == (Flag.GAP, Flag.MOCK)
    assert json.loads(record.to_bytes()) == GOOD


INVALID = [
    *[(key, MISSING) for key in GOOD],
    *[(f"legs[0].{key}", MISSING) for key in GOOD["legs"][0]],
    *[(f"features[0].{key}", MISSING) for key in GOOD["features"][0]],
    *[(key, None) for key in GOOD],
    *[(f"legs[1].{key}", None) for key in GOOD["legs"][1]],
    *[(f"features[0].{key}", "1") for key in GOOD["features"][0]],
    ("v", 0),
    ("v", True),
    ("v", "1"),
    ("id", "0B9A0C5E-4F39-4D8E-9D0F-1B2C3D4E5F60"),
    ("id", "0b9a0c5e-4f39-1d8e-9d0f-1b2c3d4e5f60"),
    ("id", "0b9a0c5e-4f39-4d8e-cd0f-1b2c3d4e5f60"),
    ("id", "0b9a0c5e4f394d8e9d0f1b2c3d4e5f60"),
    ("id", "0b9a0c5e-4f39-4d8e-9d0f-1b2c3d4e5f60\n"),
    ("day", "2026-3-5"),
    ("day", "20260305"),
    ("day", "2026-02-30"),
    ("day", "2026-W10-4"),
    ("day", 20260305),
    ("slot", -1),
    ("slot", 48),
    ("slot", True),
    ("province", 10),
    ("province", 83),
    ("legs", []),
    ("legs", [GOOD["legs"][1]] * 13),
    ("legs", {}),
    ("legs", [1]),
    ("legs[0].mode", 5),
    ("legs[0].distance_m", -1),
    ("legs[0].distance_m", 1_000_001),
    ("legs[0].distance_m", True),
    ("legs[0].duration_min", 0),
    ("legs[0].duration_min", 1441),
    ("legs[0].duration_min", 64),
    ("legs[1].method", "rail"),
    ("legs[0].route", 1),
    ("features", [GOOD["features"][0]] * 2),
    ("features", [GOOD["features"][0]] * 3),
    ("features[0].leg", 2),
    ("features[0].leg", -1),
    ("features[0].median_kmh", 5),
    ("features[0].p85_kmh", 2),
    ("features[0].p85_kmh", 8),
    ("features[0].p95_kmh", 7),
    ("features[0].p95_kmh", 402),
    ("features[0].moving_kmh", 5),
    ("features[0].stopped_percent", 12),
    ("features[0].stopped_percent", 105),
    ("features[0].fixes", 4),
    ("flags", ["mock", "gap"]),
    ("flags", ["gap", "gap"]),
    ("flags", "gap"),
    ("flags[0]", 1),
    ("methodology", "db11t"),
    ("methodology", "db11t@0123456789ABCDEF"),
    ("methodology", "@0123456789abcdef"),
    ("methodology", "a b@0123456789abcdef"),
    ("methodology", "a" * 65 + "@0123456789abcdef"),
    ("reduction_mg", -1),
    ("reduction_mg", 10**12 + 1),
    ("commitment", "AB" * 32),
    ("commitment", "ab" * 31),
]


@pytest.mark.parametrize(("path", "to"), INVALID, ids=lambda item: "missing" if item is MISSING else str(item)[:40])
def test_a_malformed_field_names_itself(path: str, to: object):
    if path == "legs[1].method" and to == "rail":
        path, expected = "legs[1].route", "legs[1].route"
        line = _changed("legs[1]", GOOD["legs"][1] | {"method": "rail"})
    else:
        expected = path
        line = _changed(path, to)
    with pytest.raises(RecordInvalid) as caught:
        decode(line)
    assert caught.value.field == expected
    assert caught.value.en != caught.value.zh


def test_rail_is_a_method_for_rail_legs_only():
    with pytest.raises(RecordInvalid) as caught:
        decode(_changed("legs[1]", GOOD["legs"][1] | {"method": "rail", "route": "shortest"}))
    assert caught.value.field == "legs[1].method"


@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("v", 2),
        ("v", 1000),
        ("occupants", 3),
        ("legs[0].interval", 5),
        ("legs[1].route", "shortest"),
        ("features[0].heading", 90),
        ("legs[0].mode", "ferry"),
        ("legs[1].mode", "WALK"),
        ("legs[0].method", "odometer"),
        ("legs[0].route", "scenic"),
        ("flags[1]", "tilt"),
    ],
)
def test_what_a_later_version_may_know_is_unsupported_and_named(path: str, to: object):
    with pytest.raises(RecordUnsupported) as caught:
        decode(_changed(path, to))
    assert caught.value.field == path
    assert caught.value.en != caught.value.zh


def test_an_unknown_version_is_said_before_anything_else():
    with pytest.raises(RecordUnsupported) as caught:
        decode(canonical({"v": 2, "trip": "all different"}))
    assert caught.value.field == "v"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"1",
        b"null",
        b"not json",
        json.dumps(GOOD).encode(),
        canonical(GOOD) + b"\n",
        canonical(GOOD)[:-1],
        canonical(GOOD).replace(b'"slot":17', b'"slot":17.0'),
        canonical(GOOD).replace(b'"slot":17', b'"slot":17,"slot":17'),
        canonical(GOOD | {"pad": "x" * RECORD_BYTES_MAX}),
    ],
    ids=lambda line: repr(line[:20]),
)
def test_a_line_that_is_no_canonical_object_is_named_as_a_line(line: bytes):
    with pytest.raises(RecordInvalid) as caught:
        decode(line)
    assert caught.value.field == "line"


@settings(max_examples=50, deadline=None)
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers(-9, 9) | st.sampled_from(["v", "legs", "id"]),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*GOOD, *GOOD["legs"][0]]), inner),
    ).map(canonical)
)
def test_no_input_gets_anything_but_a_record_or_a_named_refusal(line: bytes):
    with pytest.raises((RecordInvalid, RecordUnsupported)) as caught:
        decode(line)
    assert caught.value.field


@given(st.data())
def test_a_good_record_with_any_one_value_changed_is_read_or_refused_by_name(data: st.DataObject):
    paths = [
        *GOOD,
        *[f"legs[0].{key}" for key in GOOD["legs"][0]],
        *[f"features[0].{key}" for key in GOOD["features"][0]],
    ]
    path = data.draw(st.sampled_from(paths))
    to = data.draw(
        st.none() | st.booleans() | st.integers(-(10**13), 10**13) | st.text(max_size=5) | st.just([]) | st.just({})
    )
    line = _changed(path, to)
    found = _decoded(line)
    if isinstance(found, TripRecord):
        assert found.to_bytes() == line
    else:
        assert found.field.split("[")[0] in {path.split("[")[0], "features"}


def _decoded(line: bytes) -> TripRecord | RecordInvalid | RecordUnsupported:
    try:
        return decode(line)
    except (RecordInvalid, RecordUnsupported) as error:
        return error


def test_the_longest_record_fits():
    legs = [{"mode": "carpool", "distance_m": 1_000_000, "duration_min": 1440, "method": "endpoints"}] * 12
    speeds = dict.fromkeys(("median_kmh", "p85_kmh", "p95_kmh", "moving_kmh"), 400)
    features = [{"leg": n, **speeds, "stopped_percent": 100, "fixes": 3} for n in range(12)]
    value = GOOD | {"legs": legs, "features": features, "flags": sorted(Flag), "reduction_mg": 10**12}
    line = canonical(value | {"methodology": "x" * 64 + "@0123456789abcdef"})
    assert decode(line).to_bytes() == line
    assert len(line) < RECORD_BYTES_MAX
