"""Sets of trade ids as runs: consecutive ids of a venue cost two integers a set."""

from bisect import bisect_right


class Runs:
    """A set of integers, kept as sorted, disjoint, non-touching runs ``[first, last]``.

    >>> seen = Runs()
    >>> seen.add_new([5, 6, 7]), seen.add_new([7, 8, 20, 8])
    ([0, 1, 2], [1, 2])
    >>> seen.edges
    [5, 8, 20, 20]
    """

    __slots__ = ("edges",)

    def __init__(self, edges: list[int] | None = None) -> None:
        self.edges = [] if edges is None else edges

    def add_new(self, ids: list[int]) -> list[int]:
        """Add ``ids`` and return the places of those that were not in the set, in order."""
        edges, n = self.edges, len(ids)
        if (
            ids[-1] - ids[0] == n - 1
            and (not edges or ids[0] > edges[-1])
            and ids == list(range(ids[0], ids[0] + n))
        ):
            if edges and ids[0] == edges[-1] + 1:
                edges[-1] = ids[-1]
            else:
                edges += (ids[0], ids[-1])
            return list(range(n))
        return [place for place, number in enumerate(ids) if self._add(number)]

    def _add(self, number: int) -> bool:
        """Add one number and return whether it was new."""
        edges = self.edges
        at = bisect_right(edges, number)
        if at % 2 or (at and edges[at - 1] == number):
            return False
        joins_left = at > 0 and edges[at - 1] == number - 1
        joins_right = at < len(edges) and edges[at] == number + 1
        match joins_left, joins_right:
            case True, True:
                del edges[at - 1 : at + 1]
            case True, False:
                edges[at - 1] = number
            case False, True:
                edges[at] = number
            case _:
                edges[at:at] = (number, number)
        return True

    def discard(self, number: int) -> None:
        """Take ``number`` out if it is in the set."""
        edges = self.edges
        at = bisect_right(edges, number)
        if at % 2 == 0:
            if not (at and edges[at - 1] == number):
                return
            at -= 1
        first, last = edges[at - 1], edges[at]
        parts = [(first, number - 1), (number + 1, last)]
        edges[at - 1 : at + 1] = [edge for a, b in parts if a <= b for edge in (a, b)]
