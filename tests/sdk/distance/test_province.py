"""The coarse outlines put well-known places into their province."""

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from greentrip.distance.province import province_of
from greentrip.distance.rail import Network
from greentrip.errors import InvalidInput
from greentrip.trip import Point

BEIJING = {
    "东城": (39.928, 116.416),
    "海淀": (39.960, 116.298),
    "石景山": (39.906, 116.223),
    "门头沟": (39.940, 116.102),
    "房山良乡": (39.736, 116.143),
    "房山燕山": (39.728, 115.954),
    "十渡": (39.640, 115.600),
    "大兴黄村": (39.727, 116.341),
    "大兴采育": (39.660, 116.640),
    "榆垡": (39.515, 116.300),
    "亦庄": (39.795, 116.506),
    "通州": (39.910, 116.657),
    "通州永乐店": (39.710, 116.790),
    "通州西集": (39.800, 116.860),
    "潞城": (39.905, 116.745),
    "顺义": (40.130, 116.654),
    "首都机场": (40.080, 116.585),
    "昌平": (40.221, 116.231),
    "怀柔": (40.316, 116.632),
    "汤河口": (40.730, 116.630),
    "喇叭沟门": (40.900, 116.620),
    "密云": (40.376, 116.843),
    "古北水镇": (40.650, 117.260),
    "平谷": (40.141, 117.121),
    "金海湖": (40.180, 117.300),
    "延庆": (40.457, 115.975),
    "康庄": (40.380, 115.895),
    "八达岭": (40.356, 116.016),
    "斋堂": (39.970, 115.690),
}
TIANJIN = {
    "和平": (39.118, 117.215),
    "天津站": (39.136, 117.210),
    "西青": (39.142, 117.009),
    "北辰": (39.225, 117.135),
    "武清": (39.384, 117.044),
    "河西务": (39.620, 116.950),
    "宝坻": (39.717, 117.310),
    "蓟州": (40.046, 117.408),
    "黄崖关": (40.230, 117.450),
    "宁河芦台": (39.330, 117.826),
    "滨海塘沽": (39.017, 117.650),
    "天津港": (38.985, 117.790),
    "大港": (38.850, 117.460),
    "静海": (38.947, 116.974),
    "津南": (38.938, 117.357),
    "静海唐官屯": (38.715, 116.930),
    "宁河": (39.300, 117.750),
    "清河农场": (39.280, 117.700),  # Beijing's farm, on Tianjin's land
}
HEBEI = {
    "石家庄": (38.043, 114.515),
    "保定": (38.874, 115.465),
    "雄安": (38.990, 115.980),
    "廊坊": (39.538, 116.684),
    "唐山": (39.631, 118.180),
    "曹妃甸": (39.273, 118.460),
    "秦皇岛": (39.935, 119.600),
    "山海关": (39.998, 119.750),
    "承德": (40.952, 117.963),
    "围场": (41.940, 117.760),
    "张家口": (40.768, 114.886),
    "崇礼": (40.970, 115.280),
    "怀来": (40.415, 115.518),
    "涿州": (39.485, 115.974),
    "固安": (39.438, 116.299),
    "霸州": (39.118, 116.392),
    "胜芳": (39.060, 116.700),
    "黄骅": (38.371, 117.330),
    "沧州": (38.304, 116.839),
    "衡水": (37.739, 115.670),
    "邢台": (37.071, 114.505),
    "邯郸": (36.626, 114.539),
    "玉田": (39.900, 117.740),
    "遵化": (40.189, 117.965),
    "兴隆": (40.417, 117.500),
    "滦平": (40.941, 117.333),
    "丰宁": (41.209, 116.646),
    "赤城": (40.913, 115.831),
    "燕郊": (39.945, 116.820),
    "三河": (39.983, 117.072),
    "大厂": (39.887, 116.989),
    "香河": (39.761, 117.006),
    "夏垫": (39.960, 116.920),
    "燕郊西口": (39.950, 116.785),
    "香河刘宋": (39.720, 117.090),
    "芦台经济开发区": (39.370, 117.680),
    "汉沽管理区": (39.360, 117.590),
    "永清": (39.320, 116.500),
}
OUTSIDE = {
    "济南": (36.651, 117.120),
    "德州": (37.436, 116.359),
    "太原": (37.871, 112.549),
    "阳泉": (37.857, 113.580),
    "大同": (40.077, 113.300),
    "沈阳": (41.806, 123.432),
    "郑州": (34.747, 113.625),
    "安阳": (36.098, 114.393),
    "赤峰": (42.258, 118.887),
    "乌兰察布": (40.994, 113.132),
    "Utrecht": (52.090, 5.121),
    "Null Island": (0.0, 0.0),
}
PLACES = [
    pytest.param(Point(*place), number, id=name)
    for number, places in ((11, BEIJING), (12, TIANJIN), (13, HEBEI), (None, OUTSIDE))
    for name, place in places.items()
]


@pytest.mark.parametrize(("point", "number"), PLACES)
def test_well_known_places_lie_in_their_province(point: Point, number: int | None):
    assert province_of(point) == number


SQUARE = ((39.0, 116.0), (39.0, 118.0), (41.0, 118.0), (41.0, 116.0))
HOLE = ((39.9, 116.9), (39.9, 117.1), (40.1, 117.1), (40.1, 116.9))
PACK = {11: ((SQUARE, HOLE),), 13: ((HOLE,),)}


@pytest.mark.parametrize(
    ("lat", "lon", "number"),
    [
        (39.5, 117.5, 11),  # Tianjin by the built-in outline
        (40.0, 117.0, 13),  # the exclave
        (39.904, 115.700, None),  # Beijing by the built-in outline
        (38.500, 117.000, None),  # Hebei by the built-in outline
        (39.118, 118.215, None),
        (38.850, 117.460, 12),  # the pack has no outline of Tianjin: the built-in one decides
        (52.090, 5.121, None),
    ],
)
def test_the_outlines_of_a_pack_decide_about_their_provinces(lat: float, lon: float, number: int | None):
    assert province_of(Point(lat, lon), PACK) == number


@given(st.floats(38, 42), st.floats(115, 119))
def test_a_pack_without_outlines_changes_nothing(lat: float, lon: float):
    assert province_of(Point(lat, lon), {}) == province_of(Point(lat, lon))


@given(st.floats(38, 42), st.floats(115, 119))
def test_a_hole_belongs_to_nobody_or_to_another(lat: float, lon: float):
    assume(lat not in (39, 39.9, 40.1, 41) and lon not in (116, 116.9, 117.1, 118))  # on a border it may be either
    number = province_of(Point(lat, lon), {11: ((SQUARE, HOLE),), 12: (), 13: ()})
    inside = 39 < lat < 41 and 116 < lon < 118
    in_hole = 39.9 < lat < 40.1 and 116.9 < lon < 117.1
    assert number == (11 if inside and not in_hole else None)


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_every_point_gets_an_answer(lat: float, lon: float):
    number = province_of(Point(lat, lon))
    assert number in {11, 12, 13, None}
    if not (36 < lat < 42.7 and 113.4 < lon < 120):
        assert number is None


def test_stations_of_the_beijing_network_lie_in_beijing(shared_data: Path):
    network = Network.from_csv(shared_data / "beijing_rail")
    elsewhere = set()
    for name in network.stations:
        try:
            point = network.point_of(name)
        except InvalidInput:
            continue  # five tram stations have no position
        if province_of(point) != 11:
            elsewhere.add(name)
    assert elsewhere <= {"大兴机场"}  # its terminal stands on the border
