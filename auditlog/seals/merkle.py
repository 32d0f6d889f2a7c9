"""A Merkle tree over the hashes of entries, as in RFC 6962: leaves and nodes are told apart by their first byte."""

from collections.abc import Sequence
from hashlib import sha256

LEAF, NODE = b"\x00", b"\x01"


def leaf_of(text: str) -> bytes:
    """The hash of one entry in its canonical form."""
    return sha256(LEAF + text.encode()).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over one or more leaves. An odd one out goes up a level as it is."""
    level = list(leaves)
    while len(level) > 1:
        level = _up(level)
    return level[0]


def path_of(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes beside the way from one leaf up to the root, lowest first."""
    level, path = list(leaves), list[bytes]()
    while len(level) > 1:
        if index ^ 1 < len(level):
            path.append(level[index ^ 1])
        level, index = _up(level), index >> 1
    return path


def root_by(leaf: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """The root that a leaf and its path lead to; None when the path is not one of a tree of `count` leaves."""
    if not 0 <= index < count:
        return None
    beside, found = iter(path), leaf
    while count > 1:
        if index ^ 1 < count:
            other = next(beside, None)
            if other is None:
                return None
            found = sha256(NODE + (other + found if index & 1 else found + other)).digest()
        index, count = index >> 1, (count + 1) >> 1
    return found if next(beside, None) is None else None


def _up(level: list[bytes]) -> list[bytes]:
    above = [sha256(NODE + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
    return above + level[-1:] if len(level) & 1 else above
