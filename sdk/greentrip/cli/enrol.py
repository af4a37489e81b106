"""`greentrip enrol`: open an account with the code that the server sends."""

from __future__ import annotations

import argparse
import sys

from greentrip.cli.phone import add_phone, open_phone, print_json

TEXT = "open an account for the phone that lives in --folder; consents to location and sync"
CONSENTS = {"location": "1", "sync": "1"}

_WORDS = {
    "en": {
        "code": "code: ",
        "sent_code": "a code was sent to the number",
        "no_keyboard": "call again with --code and the code",
        "enrolled": "account {account}",
    },
    "zh": {
        "code": "验证码：",
        "sent_code": "验证码已发送",
        "no_keyboard": "请用 --code 附上验证码再次运行",
        "enrolled": "账户 {account}",
    },
}


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    verb.set_defaults(run=run)
    add_phone(verb)
    verb.add_argument("--phone", required=True, help="the phone number that gets the code")
    verb.add_argument("--code", help="the code, when it is known already (default: asked for)")


def run(options: argparse.Namespace) -> int:
    """Ask for a code unless it is given, and open the account with it."""
    words = _WORDS[options.lang]
    with open_phone(options, new=True) as green:
        code = options.code
        if code is None:
            green.request_code(options.phone)
            print(words["sent_code"], file=sys.stderr)
            try:
                code = input(words["code"]).strip()
            except EOFError:
                print(words["no_keyboard"], file=sys.stderr)
                return 1
        account = green.enrol(code, CONSENTS)
    if options.json:
        print_json({"account": account})
    else:
        print(words["enrolled"].format(account=account))
    return 0
