"""The accuracy report reads a GeoLife folder: who has the data can run the same tables over it."""

import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from accuracy import modes
from accuracy.labelled import geolife, phone_days, survey
from accuracy.traffic import simulate
from greentrip.trip import Fix

EXCEL_EPOCH_DAYS = 25_569
"""Days from 1899-12-30 to 1970-01-01."""


def plt_line(fix: Fix) -> str:
    at = datetime.fromtimestamp(fix.at, UTC)
    days = fix.at / 86_400 + EXCEL_EPOCH_DAYS
    return f"{fix.point.lat:.6f},{fix.point.lon:.6f},0,-777,{days:.10f},{at:%Y-%m-%d},{at:%H:%M:%S}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One person with a walk, a taxi and a flight."""
    person = tmp_path / "Data" / "010"
    (person / "Trajectory").mkdir(parents=True)
    labels = ["Start Time\tEnd Time\tTransportation Mode"]
    for number, (word, kind) in enumerate([("walk", "walk"), ("taxi", "taxi"), ("airplane", "car")]):
        leg = simulate(random.Random(number), kind, 3000)
        fixes = [Fix(fix.point, fix.at + number * 86_400) for fix in leg.fixes]
        head = [
            "Geolife trajectory",
            "WGS 84",
            "Altitude is in Feet",
            "Reserved 3",
            "0,2,255,My Track,0,0,2,8421376",
            "0",
        ]
        text = "\r\n".join([*head, *map(plt_line, fixes)]) + "\r\n"
        (person / "Trajectory" / f"{number}.plt").write_text(text, encoding="ascii")
        spoken = [datetime.fromtimestamp(fix.at, UTC).strftime("%Y/%m/%d %H:%M:%S") for fix in (fixes[0], fixes[-1])]
        labels.append("\t".join([*spoken, word]))
    (person / "labels.txt").write_text("\n".join(labels) + "\n", encoding="ascii")
    return tmp_path


def test_labelled_legs_of_a_geolife_folder(folder: Path):
    legs = list(geolife(folder))
    assert [(leg.kind, leg.source) for leg in legs] == [("walk", "GeoLife"), ("taxi", "GeoLife")]
    assert all(len(leg.fixes) > 50 for leg in legs)
    found = modes.judged(legs)
    assert [leg.kind for leg in found] == ["walk", "taxi"]
    assert not found[0].asked(modes.HONEST["walk"])
    assert found[1].asked(modes.HONEST["walk"])


def test_a_figure_of_few_legs_says_that_it_proves_nothing(folder: Path):
    targets = list(modes._targets(modes.judged(list(geolife(folder)))))
    assert [target.count for target in targets] == [2, 1, 1, 1]
    assert all(target.verdict.endswith("of too few cases to tell") for target in targets)


def test_the_shared_data_hold_legs_of_each_kind(shared_data: Path):
    kinds = Counter(leg.kind for leg in [*survey(shared_data), *phone_days(shared_data)])
    assert kinds.keys() == {"walk", "cycle", "bus", "rail", "car", "vehicle"}
