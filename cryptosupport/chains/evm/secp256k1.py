"""Whose signature it is: public keys recovered from ECDSA signatures on secp256k1, in integers alone.

It serves the second decoder, so it shares nothing with the library that signs. Nothing here is secret, so nothing has
to take the same time always. Sources: SEC 1 version 2.0 section 4.1.6 (recovery), SEC 2 version 2.0 section 2.4.1 (the
curve), EIP-2 (the lower half of s alone).
"""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

P = (1 << 256) - (1 << 32) - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)

Affine: TypeAlias = tuple[int, int]
Jacobian: TypeAlias = tuple[int, int, int]

_NOWHERE: Jacobian = (0, 1, 0)
_WIDTH, _WIDTH_G = 5, 8  # of the signed digits: the table of G is made once, that of another point each time


def recover(digest: bytes, r: int, s: int, parity: int) -> bytes:
    """The public key (64 bytes, x and y) whose signature (``r``, ``s``) of the 32 bytes ``digest`` it is.

    ``parity`` is that of the y of the signature's point. Raises `ValueError` for what is no signature, and for s in the
    upper half.
    """
    if not (0 < r < N and 0 < s <= N // 2 and parity in (0, 1)):
        raise ValueError("r, s or the parity is out of range")
    y = pow(r**3 + 7, (P + 1) // 4, P)
    if (y * y - r**3 - 7) % P:
        raise ValueError("r is no point's x")
    if y & 1 != parity:
        y = P - y
    inverse = pow(r, -1, N)
    found = _sum(-int.from_bytes(digest, "big") * inverse % N, s * inverse % N, (r, y))
    if found[2] == 0:
        raise ValueError("no key has this signature")
    ((x, y),) = _flat([found])
    return x.to_bytes(32, "big") + y.to_bytes(32, "big")


def _sum(a: int, b: int, point: Affine) -> Jacobian:
    """a G + b ``point``, both multiplied in one go (Strauss)."""
    by_g, by_point = _digits(a, _WIDTH_G), _digits(b, _WIDTH)
    of_g, of_point = _odd_multiples_of_g(), _odd_multiples(point, _WIDTH)
    total = _NOWHERE
    for place in range(max(len(by_g), len(by_point)) - 1, -1, -1):
        total = _double(total)
        for digits, multiples in ((by_g, of_g), (by_point, of_point)):
            digit = digits[place] if place < len(digits) else 0
            if digit:
                x, y = multiples[abs(digit) >> 1]
                total = _add(total, (x, y if digit > 0 else P - y))
    return total


def _digits(scalar: int, width: int) -> list[int]:
    """``scalar`` in signed binary digits that are odd or zero, below 2**(width - 1), lowest first (wNAF)."""
    digits = []
    while scalar:
        digit = 0
        if scalar & 1:
            digit = scalar & ((1 << width) - 1)
            if digit >> (width - 1):
                digit -= 1 << width
            scalar -= digit
        digits.append(digit)
        scalar >>= 1
    return digits


def _odd_multiples(point: Affine, width: int) -> list[Affine]:
    """1, 3, 5, ... times ``point``: as many as digits of ``width`` need."""
    ((x, y),) = _flat([_double((*point, 1))])
    multiples: list[Jacobian] = [(*point, 1)]
    for _ in range((1 << (width - 2)) - 1):
        multiples.append(_add(multiples[-1], (x, y)))
    return _flat(multiples)


@cache
def _odd_multiples_of_g() -> list[Affine]:
    return _odd_multiples(_G, _WIDTH_G)


def _flat(points: list[Jacobian]) -> list[Affine]:
    """Points other than infinity as x and y, with one inversion for all."""
    products, product = [], 1
    for _, _, z in points:
        products.append(product)
        product = product * z % P
    inverse = pow(product, -1, P)
    flat = []
    for (x, y, z), before in zip(reversed(points), reversed(products), strict=True):
        own = inverse * before % P
        inverse = inverse * z % P
        square = own * own % P
        flat.append((x * square % P, y * square * own % P))
    return flat[::-1]


def _double(point: Jacobian) -> Jacobian:
    x, y, z = point
    if z == 0:  # there is no point with y = 0 on this curve
        return point
    square = y * y % P
    slope = 3 * x * x % P
    product = 4 * x * square % P
    new = (slope * slope - 2 * product) % P
    return new, (slope * (product - new) - 8 * square * square) % P, 2 * y * z % P


def _add(point: Jacobian, other: Affine) -> Jacobian:
    x, y, z = point
    if z == 0:
        return (*other, 1)
    square = z * z % P
    across = (other[0] * square - x) % P
    up = (other[1] * square * z - y) % P
    if across == 0:
        return _double(point) if up == 0 else _NOWHERE
    step = across * across % P
    cube = step * across % P
    along = x * step % P
    new = (up * up - cube - 2 * along) % P
    return new, (up * (along - new) - y * cube) % P, z * across % P
