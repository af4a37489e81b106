"""The packages that only the builders need, imported when first used."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from greentrip.errors import InvalidInput


def needed(name: str, *parts: str) -> ModuleType:
    """The module `name`; `parts` are submodules that must be imported too.

    Raises `InvalidInput` that says what to install when it is missing.
    """
    try:
        module = import_module(name)
        for part in parts:
            import_module(f"{name}.{part}")
    except ImportError as why:
        raise InvalidInput(
            name,
            f'not installed ({why}): run pip install "greentrip[pack]"',
            f'未安装（{why}）：请运行 pip install "greentrip[pack]"',
        ) from why
    return module
