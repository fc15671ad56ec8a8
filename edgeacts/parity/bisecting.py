"""Bisection over a graph of values: a bad value all of whose inputs are good, in about log2(n) looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

Look = Callable[[Sequence[str]], Mapping[str, bool]]


class Search:
    """`Search(names, ancestors, before, look).first(bad)`.

    `names` are the values that can be looked at, in the order of computation; `ancestors` is what each depends on, `before`
    those of `names` that it is computed from directly; `look` says of each name given whether it is bad. What has been
    looked at is in `bad`.
    """

    def __init__(
        self,
        names: Sequence[str],
        ancestors: Callable[[str], frozenset[str]],
        before: Callable[[str], Sequence[str]],
        look: Look,
    ) -> None:
        known = set(names)
        self._above: dict[str, list[str]] = {}
        for name in names:
            above = ancestors(name) & known
            self._above[name] = [n for n in names if n in above]
        self._before, self._look = before, look
        self.bad: dict[str, bool] = {}

    def first(self, bad: str) -> str:
        """A value that is bad while those right before it are good; `bad` is known to be bad.

        It is taken for granted that what stands before a good value is good. The inputs of the value that is found are
        looked at all the same: where one is bad (two faults, one of them healed on the way), the search goes on above it.
        """
        while True:
            bad = self._halving(bad)
            before = [n for n in self._before(bad) if n not in self.bad]
            if before:
                self._see(before)
            worse = [n for n in self._before(bad) if self.bad[n]]
            if not worse:
                return bad
            bad = worse[0]

    def _halving(self, bad: str) -> str:
        open_ = [n for n in self._above[bad] if self.bad.get(n) is not False]
        while open_:
            if looked := [n for n in open_ if self.bad.get(n)]:
                bad = looked[0]
                open_ = [n for n in self._above[bad] if n in set(open_) and not self.bad.get(n)]
                continue
            middle = self._middle(open_)
            self._see([middle])
            if not self.bad[middle]:
                cleared = {middle, *self._above[middle]}
                open_ = [n for n in open_ if n not in cleared]
        return bad

    def _middle(self, names: Sequence[str]) -> str:
        """The value whose answer halves what is left, whichever it is."""
        left = set(names)
        counts = {n: 1 + sum(a in left for a in self._above[n]) for n in names}
        return min(names, key=lambda n: abs(2 * counts[n] - len(names) - 1))

    def _see(self, names: Sequence[str]) -> None:
        found = self._look(names)
        self.bad.update({n: found[n] for n in names})
