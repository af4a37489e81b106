"""greentrip: record low-carbon trips on the phone, estimate their CO2 reduction offline, and earn credits for them.

    with GreenTrip.open("data", server="https://...", root_key="...", network=Network.sample()) as green:
        green.start("rail", "虎坊桥")
        trip = green.finish("东夏园", changes=["双井", "呼家楼"])
        green.sync()

This is the one public door: whatever is not listed here may change at any time.
"""

from __future__ import annotations

from greentrip.arrival import Suggestion, SuggestionKind
from greentrip.client import GreenTrip
from greentrip.clock import Clock, SystemClock
from greentrip.correction import Answer
from greentrip.distance.datum import Bd09Point, Gcj02Point, to_bd09, to_gcj02, to_wgs84
from greentrip.distance.rail import Network
from greentrip.errors import (
    AmbiguousStation,
    BadFile,
    Closed,
    GreenTripError,
    InvalidInput,
    NoQuestion,
    NoRoute,
    NotEnrolled,
    NoTrip,
    OptedOut,
    QueueFull,
    Refused,
    ServerError,
    StationClosed,
    StorageCorrupt,
    StorageError,
    StorageFull,
    StorageNewer,
    Suspended,
    TripRunning,
    UnknownChange,
    UnknownStation,
    Unproven,
    Unreachable,
    Untrusted,
    WrongMoment,
)
from greentrip.events import (
    Erased,
    Event,
    KeyListChanged,
    Observer,
    Paused,
    PersonOptedOut,
    RecordDamaged,
    RecordSetAside,
    RecordSettled,
    StoreReplaced,
    SyncEnded,
    SyncStarted,
    TripErased,
    TripRecorded,
)
from greentrip.gaps import gap_text
from greentrip.methodology import Methodology, Reason, needs
from greentrip.question import Question
from greentrip.receipts import Proof, verify_bundle
from greentrip.recorder import ActiveTrip
from greentrip.report import Stop, SyncReport, Trigger
from greentrip.sampling import FixAccuracy, FixRequest, SamplingPhase
from greentrip.secrets_store import FileSecrets, SecretStore
from greentrip.states import State
from greentrip.store import Receipt
from greentrip.trip import Datum, Fix, Flag, Gap, GapCause, Method, Mode, Place, Point, Route, Station
from greentrip.views import Account, Entry, LegView, Notice, Rule, Sampling, Stats, TripView

__version__ = "0.1.0"

__all__ = [
    "Account",
    "ActiveTrip",
    "AmbiguousStation",
    "Answer",
    "BadFile",
    "Bd09Point",
    "Clock",
    "Closed",
    "Datum",
    "Entry",
    "Erased",
    "Event",
    "FileSecrets",
    "Fix",
    "FixAccuracy",
    "FixRequest",
    "Flag",
    "Gap",
    "GapCause",
    "Gcj02Point",
    "GreenTrip",
    "GreenTripError",
    "InvalidInput",
    "KeyListChanged",
    "LegView",
    "Method",
    "Methodology",
    "Mode",
    "Network",
    "NoQuestion",
    "NoRoute",
    "NoTrip",
    "NotEnrolled",
    "Notice",
    "Observer",
    "OptedOut",
    "Paused",
    "PersonOptedOut",
    "Place",
    "Point",
    "Proof",
    "Question",
    "QueueFull",
    "Reason",
    "Receipt",
    "RecordDamaged",
    "RecordSetAside",
    "RecordSettled",
    "Refused",
    "Route",
    "Rule",
    "Sampling",
    "SamplingPhase",
    "SecretStore",
    "ServerError",
    "State",
    "Station",
    "StationClosed",
    "Stats",
    "Stop",
    "StorageCorrupt",
    "StorageError",
    "StorageFull",
    "StorageNewer",
    "StoreReplaced",
    "Suggestion",
    "SuggestionKind",
    "Suspended",
    "SyncEnded",
    "SyncReport",
    "SyncStarted",
    "SystemClock",
    "Trigger",
    "TripErased",
    "TripRecorded",
    "TripRunning",
    "TripView",
    "UnknownChange",
    "UnknownStation",
    "Unproven",
    "Unreachable",
    "Untrusted",
    "WrongMoment",
    "gap_text",
    "needs",
    "to_bd09",
    "to_gcj02",
    "to_wgs84",
    "verify_bundle",
]
