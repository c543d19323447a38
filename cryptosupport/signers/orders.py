"""Orders as JSON and back, exactly: what `withdrawals.seal` covers survives, and the signatures of people with it.

Integers are written as strings of digits, for any size and any reader; there are no floats. Personal data (note,
beneficiary, the signed bytes and their signature) stays where it is: a signer has no use for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from cryptosupport.domain.errors import BadInput
from cryptosupport.domain.paying import Order
from cryptosupport.domain.withdrawals import Request

_PERSONAL = frozenset({"beneficiary", "note", "signature", "signed"})
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,99}", re.ASCII)


def write_order(order: Order) -> dict[str, object]:
    """An order as what JSON can hold, without personal data. Raises `TypeError` for what is none, such as a float."""
    return cast(dict[str, object], _written(order))


def read_order(told: object) -> Order:
    """Read what `write_order` wrote. Raises `BadInput` for anything else."""
    try:
        return cast(Order, _read(Order, told))
    except ValueError as error:
        raise BadInput(f"this is no order: {error}") from error


def _written(value: object) -> object:
    match value:
        case None | bool():
            return value
        case str():
            return str(value)
        case int():
            return str(value)
        case tuple():
            return [_written(each) for each in value]
        case Mapping():
            return {str(key): _written(each) for key, each in value.items()}
    if is_dataclass(value):
        return {name: _written(getattr(value, name)) for name in _kinds(cast(type, type(value)))}
    raise TypeError(f"a {type(value).__name__} is not written")


@cache
def _kinds(shape: type) -> dict[str, Any]:
    """The fields of a dataclass that are written, with their types."""
    hints = get_type_hints(shape)
    left_out = _PERSONAL if shape is Request else frozenset()
    return {each.name: hints[each.name] for each in fields(shape) if each.name not in left_out}


def _read(kind: Any, told: object) -> Any:
    """``told`` as a ``kind``. Raises `ValueError`."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        (other,) = (each for each in parts if each is not NoneType)
        return None if told is None else _read(other, told)
    if origin is tuple:
        return _read_tuple(parts, told)
    if origin is Mapping:
        return {_read(parts[0], key): _read(parts[1], each) for key, each in _mapping(told).items()}
    if is_dataclass(kind):
        return _read_record(cast(type, kind), told)
    if kind is int:
        if not isinstance(told, str) or not _INTEGER.fullmatch(told):
            raise ValueError("a number is not written as digits")
        return int(told)
    if issubclass(kind, Enum):
        return kind(told)
    if type(told) is not kind:
        raise ValueError(f"there is a {type(told).__name__} in the place of a {kind.__name__}")
    return told


def _read_tuple(parts: tuple[Any, ...], told: object) -> tuple[Any, ...]:
    if not isinstance(told, list):
        raise ValueError(f"there is a {type(told).__name__} in the place of a list")
    kinds = parts if parts[-1] is not Ellipsis else (parts[0],) * len(told)
    if len(kinds) != len(told):
        raise ValueError(f"a list has {len(told)} members, and not {len(kinds)}")
    return tuple(_read(kind, each) for kind, each in zip(kinds, told, strict=True))


def _read_record(shape: type, told: object) -> Any:
    kinds, given = _kinds(shape), _mapping(told)
    if given.keys() != kinds.keys():
        differing = ", ".join(sorted(map(str, given.keys() ^ kinds.keys())))[:200]
        raise ValueError(f"a {shape.__name__} is not whole, or has more than its fields: {differing}")
    return shape(**{name: _read(kind, given[name]) for name, kind in kinds.items()})


def _mapping(told: object) -> dict[str, object]:
    if not isinstance(told, dict):
        raise ValueError(f"there is a {type(told).__name__} in the place of an object")
    return told
