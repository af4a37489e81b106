"""What every refusal of the SDK owes its caller."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from greentrip import GreenTripError, InvalidInput

CHINESE = re.compile(r"[\u4e00-\u9fff]")


@contextmanager
def refused(
    kind: type[GreenTripError], field: str | None = None, says: str | None = None
) -> Iterator[pytest.ExceptionInfo]:
    """The call is refused with exactly this class, in two languages, naming the field."""
    with pytest.raises(kind, match=says) as caught:
        yield caught
    error = caught.value
    assert type(error) is kind
    assert error.message("en") == str(error) == error.en
    assert error.message("zh-Hans") == error.zh
    assert CHINESE.search(error.zh), error.zh
    assert error.zh != error.en
    if field is not None:
        assert isinstance(error, InvalidInput)
        assert error.field == field
