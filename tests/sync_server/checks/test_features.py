"""One hash for two copies of a track, and for nothing else."""

from dataclasses import replace

import pytest

from greentrip.evidence import Features
from greentrip.record import RecordLeg, TripRecord
from greentrip.trip import Flag, Method, Mode, Route
from greentrip_server.checks.features import features_sha256

RECORD = TripRecord(
    id="1b4e28ba-2fa1-4d3b-883f-0016d3cca427",
    day="2026-03-05",
    slot=16,
    province=11,
    legs=(
        RecordLeg(Mode.CYCLE, 4000, 20, Method.TRACK),
        RecordLeg(Mode.RAIL, 9000, 20, Method.RAIL, Route.SHORTEST),
    ),
    features=(Features(0, median_kmh=12, p85_kmh=16, p95_kmh=20, moving_kmh=14, stopped_percent=10, fixes=2),),
    flags=(),
    methodology="some@0123456789abcdef",
    reduction_mg=1,
    commitment="0" * 64,
)
CYCLE, RAIL = RECORD.legs


def test_the_hash_is_the_same_for_ever():
    # Rows in a database hold it: a change of the encoding would hide every copy of an older trip.
    assert features_sha256(RECORD) == "d6f7ea40e136ee633e7215b83401909c04c5f2241392e31d6ffdd7fc9ddf5949"


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "9b4e28ba-2fa1-4d3b-883f-0016d3cca427"},
        {"flags": (Flag.REPLAY,)},
        {"methodology": "other@0123456789abcdef"},
        {"reduction_mg": 2},
        {"commitment": "1" * 64},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_a_copier_can_change_freely_is_not_in_it(changes):
    assert features_sha256(replace(RECORD, **changes)) == features_sha256(RECORD)


def test_everything_that_tells_the_journey_is_in_it():
    feature = RECORD.features[0]
    others = [
        replace(RECORD, day="2026-03-06"),
        replace(RECORD, slot=17),
        replace(RECORD, legs=(RAIL, CYCLE)),
        replace(RECORD, legs=(CYCLE,)),
        replace(RECORD, legs=(replace(CYCLE, mode=Mode.WALK), RAIL)),
        replace(RECORD, legs=(replace(CYCLE, distance_m=4100), RAIL)),
        replace(RECORD, legs=(replace(CYCLE, duration_min=21), RAIL)),
        replace(RECORD, legs=(replace(CYCLE, method=Method.ENDPOINTS), RAIL)),
        replace(RECORD, legs=(CYCLE, replace(RAIL, route=Route.NAMED))),
        replace(RECORD, features=()),
        *(
            replace(RECORD, features=(replace(feature, **{name: 40}),))
            for name in ("leg", "median_kmh", "p85_kmh", "p95_kmh", "moving_kmh", "stopped_percent", "fixes")
        ),
    ]
    assert len({features_sha256(item) for item in [RECORD, *others]}) == len(others) + 1
