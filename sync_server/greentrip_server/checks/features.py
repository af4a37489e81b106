"""One hash for what two copies of a track have in common."""

from __future__ import annotations

from dataclasses import asdict

from greentrip.record import TripRecord
from greentrip.wire import JsonValue, canonical, sha256_hex


def features_sha256(record: TripRecord) -> str:
    """SHA-256 of the canonical day, slot, legs and features: equal when two records tell of the same journey.

    A record without features has a hash too, which says little: two friends on one metro share it honestly. The rule
    `equal_features` ignores it.
    """
    legs: list[JsonValue] = [
        {
            "mode": leg.mode.value,
            "distance_m": leg.distance_m,
            "duration_min": leg.duration_min,
            "method": leg.method.value,
            "route": None if leg.route is None else leg.route.value,
        }
        for leg in record.legs
    ]
    features: list[JsonValue] = [asdict(item) for item in record.features]
    return sha256_hex(canonical({"day": record.day, "slot": record.slot, "legs": legs, "features": features}))
