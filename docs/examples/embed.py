import os
from datetime import UTC, datetime, timedelta

from greentrip import GreenTrip, Mode, Network

server, root_key = os.environ["GREENTRIP_SERVER"], os.environ["GREENTRIP_ROOT_KEY"]
with GreenTrip.open("phone", server=server, root_key=root_key, network=Network.sample()) as green:
    if green.active is None:  # else the app was killed on the way, and the trip goes on
        green.start(Mode.RAIL, "虎坊桥", at=datetime.now(UTC) - timedelta(minutes=68))
    trip = green.finish("东夏园", changes=["双井", "呼家楼"])  # on disk when it returns; no network needed
    print(trip.reduction_mg // 1000, "g by the phone")
    for leg in trip.legs:
        print(leg.mode, leg.metres, "m", [reason.en for reason in leg.reasons])

    if green.account_id is None:
        green.request_code("13800000000")
        green.enrol(input("code: "), consents={"location": "1", "sync": "1"})
    print(green.sync(timeout=10).message("en"))
    print(green.account().balance_mg // 1000, "g official")
