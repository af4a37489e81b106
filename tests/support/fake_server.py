"""The SDK's own double, under the name that its first tests knew."""

from greentrip.testing import FakeServer, problem

__all__ = ["FakeServer", "problem"]
