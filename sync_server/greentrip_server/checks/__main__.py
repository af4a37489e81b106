"""`python -m greentrip_server.checks > docs/reference/checks.md` writes the page of the rules and their limits."""

from __future__ import annotations

import sys

from greentrip_server.checks.reference import markdown


def main() -> None:
    # The bytes, not the text: a terminal's encoding must not change a committed file.
    sys.stdout.buffer.write(markdown().encode("utf-8"))


if __name__ == "__main__":
    main()
