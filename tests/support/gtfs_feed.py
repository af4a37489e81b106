"""Writes small GTFS feeds."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

Tables = dict[str, str]
"""File name -> CSV text."""


def toy_feed() -> Tables:
    """A metro line there and back over a bent shape, a tram that meets it, and a bus that no pack wants."""
    return {
        "agency.txt": "agency_id,agency_name,agency_url,agency_timezone\nm,Toy Metro,https://metro.example,Asia/Shanghai\n",
        "routes.txt": "route_id,agency_id,route_short_name,route_long_name,route_type\n"
        "r1,m,1号线,,1\nr2,m,有轨电车,,0\nr3,m,8路,,3\n",
        "trips.txt": "route_id,service_id,trip_id,shape_id\n"
        "r1,d,t1,s1\nr1,d,t2,s2\nr1,d,t3,s1\nr2,d,t4,\nr2,d,t5,\nr3,d,t6,\n",
        "stops.txt": "stop_id,stop_name,stop_lat,stop_lon,location_type,parent_station\n"
        "A,西门,39.900,116.400,1,\nA1,西门站台,39.900,116.400,0,A\nA2,西门站台,39.900,116.400,0,A\n"
        "B,东门,39.900,116.440,1,\nB1,东门站台,39.900,116.440,0,B\nBx,东门 A口,39.901,116.440,2,B\n"
        "C,终点,39.900,116.460,1,\nC1,终点站台,39.900,116.460,0,C\n"
        "D,东门,39.902,116.440,1,\nE,北门,39.920,116.440,,\n",
        "stop_times.txt": "trip_id,arrival_time,departure_time,stop_id,stop_sequence,shape_dist_traveled\n"
        "t1,08:00:00,08:00:00,A1,1,0\nt1,08:04:00,08:05:00,B1,2,4\nt1,08:07:00,08:07:00,C1,3,6\n"
        "t2,09:00:00,09:00:00,C1,1,0\nt2,09:02:00,09:02:00,B1,2,2\nt2,09:07:00,09:07:00,A2,3,6\n"
        "t3,24:10:00,24:10:00,A1,1,0\nt3,24:14:00,24:15:00,B1,2,4\nt3,24:17:00,24:17:00,C1,3,6\n"
        "t4,10:00:00,10:00:00,D,1,\nt4,10:05:00,10:05:00,E,2,\n"
        "t5,11:00:00,11:00:00,E,1,\nt5,11:05:00,11:05:00,D,2,\n"
        "t6,11:00:00,11:00:00,E,1,\nt6,11:05:00,11:05:00,D,2,\n",
        "shapes.txt": "shape_id,shape_pt_lat,shape_pt_lon,shape_pt_sequence,shape_dist_traveled\n"
        "s1,39.900,116.400,1,0\ns1,39.910,116.420,2,2\ns1,39.900,116.440,3,4\ns1,39.900,116.460,4,6\n"
        "s2,39.900,116.460,1,0\ns2,39.900,116.440,2,2\ns2,39.910,116.420,3,4\ns2,39.900,116.400,4,6\n",
        "transfers.txt": "from_stop_id,to_stop_id,transfer_type,min_transfer_time\nB1,D,2,180\nD,B1,2,240\n",
        "translations.txt": "table_name,field_name,language,translation,record_id\nstops,stop_name,en,West Gate,A\n",
        "feed_info.txt": "feed_publisher_name,feed_publisher_url,feed_lang\nToy Publisher,https://toy.example,zh\n",
    }


def write_zip(tables: Mapping[str, str], path: Path, folder: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in tables.items():
            archive.writestr(folder + name, text)
    return path


def write_folder(tables: Mapping[str, str], folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in tables.items():
        (folder / name).write_text(text, "utf-8")
    return folder
