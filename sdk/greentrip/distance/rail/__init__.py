"""Rail: from station to station along the track, not along the straight line.

Without named changes a leg counts the *plausible* route with the fewest metres: few people change five times to ride
half a kilometre less, so a route must be about as quick as the quickest.
"""

from greentrip.distance.rail.estimate import INTERVAL_SHARE_MIN, estimate_rail
from greentrip.distance.rail.network import SAMPLE, Network
from greentrip.distance.rail.recognise import Seen, recognise
from greentrip.distance.rail.route import (
    CHANGE_MINUTES,
    CHANGE_WAIT_MINUTES,
    CHANGES_MAX,
    NAMED_LONGER_MAX,
    ROUTES_MAX,
    SLOWER_MINUTES_MAX,
    TRAIN_KMH_MEAN,
    RailRoute,
    Ride,
)

__all__ = [
    "CHANGES_MAX",
    "CHANGE_MINUTES",
    "CHANGE_WAIT_MINUTES",
    "INTERVAL_SHARE_MIN",
    "NAMED_LONGER_MAX",
    "ROUTES_MAX",
    "SAMPLE",
    "SLOWER_MINUTES_MAX",
    "TRAIN_KMH_MEAN",
    "Network",
    "RailRoute",
    "Ride",
    "Seen",
    "estimate_rail",
    "recognise",
]
