"""greentrip: record low-carbon trips on the phone, estimate their CO2 reduction offline, and earn credits for them.

    with GreenTrip.open("data", server="https://...", root_key="...", network=Network.sample()) as green:
        green.start("rail", "虎坊桥")
        trip = green.finish("东夏园", changes=["双井", "呼家楼"])
        green.sync()

This is the one public door: whatever is not listed here may change at any time.
"""

from __future__ import annotations

from greentrip.client import GreenTrip
from greentrip.clock import Clock, SystemClock
from greentrip.distance.rail import Network
from greentrip.errors import (
    BadFile,
    Closed,
    GreenTripError,
    InvalidInput,
    NoRoute,
    NotEnrolled,
    NoTrip,
    QueueFull,
    Refused,
    ServerError,
    StorageError,
    StorageFull,
    StorageNewer,
    TripRunning,
    UnknownChange,
    UnknownStation,
    Unreachable,
    Untrusted,
    WrongMoment,
)
from greentrip.methodology import Methodology, Reason, needs
from greentrip.recorder import ActiveTrip
from greentrip.secrets_store import FileSecrets, SecretStore
from greentrip.store import Receipt, State
from greentrip.sync import Stop, SyncReport
from greentrip.trip import Fix, Flag, Method, Mode, Place, Point, Route, Station
from greentrip.views import Account, Entry, LegView, Rule, Stats, TripView

__version__ = "0.1.0"

__all__ = [
    "Account",
    "ActiveTrip",
    "BadFile",
    "Clock",
    "Closed",
    "Entry",
    "FileSecrets",
    "Fix",
    "Flag",
    "GreenTrip",
    "GreenTripError",
    "InvalidInput",
    "LegView",
    "Method",
    "Methodology",
    "Mode",
    "Network",
    "NoRoute",
    "NoTrip",
    "NotEnrolled",
    "Place",
    "Point",
    "QueueFull",
    "Reason",
    "Receipt",
    "Refused",
    "Route",
    "Rule",
    "SecretStore",
    "ServerError",
    "State",
    "Station",
    "Stats",
    "Stop",
    "StorageError",
    "StorageFull",
    "StorageNewer",
    "SyncReport",
    "SystemClock",
    "TripRunning",
    "TripView",
    "UnknownChange",
    "UnknownStation",
    "Unreachable",
    "Untrusted",
    "WrongMoment",
    "needs",
]
