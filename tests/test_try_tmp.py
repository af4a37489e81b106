from support.server import *
from support.records import *
import time
def test_try(database_url, tmp_path):
    t=time.time()
    with served(database_url, tmp_path) as s:
        print("start", time.time()-t); t=time.time()
        d = s.device()
        print("device", time.time()-t); t=time.time()
        good = line()
        r = d.post(good, altered(line(), v=2), b"{", good, altered(good, slot=17), line("2026-03-06"))
        print(json.dumps(r, indent=1, ensure_ascii=False)); print(time.time()-t)
        t=time.time()
        with phone(s, tmp_path/"p") as p:
            print(commute(p, NOW - timedelta(days=1)))
            print(p.sync()); print(p.account(), p.statement())
        print(s.ledger(), time.time()-t)
        for target in ("/v1/account", "/v1/account/trips", "/v1/account/statement", "/v1/sync-state"):
            print(d.get(target))
