"""How many things a run sets out to do, how far it is, and how much time is left. Pure."""

from collections.abc import Mapping

from builder.base import units

_SOON = 5.0  # seconds that are not worth telling


class Goal:
    """Names of tasks with the seconds that each took before, or None where it was never done here. jobs: at a time."""

    def __init__(self, seconds: Mapping[str, float | None], jobs: int = 1) -> None:
        self.total = len(seconds)
        self.begun = 0
        self._jobs = max(jobs, 1)
        self._left = dict(seconds)
        known = {name: took for name, took in seconds.items() if took is not None}
        # Of those that are left: asked for at each step, so not added up again each time.
        self._known = sum(known.values())
        self._unknown = self.total - len(known)
        self._longest_last = sorted(known, key=known.__getitem__)

    @property
    def ended(self) -> int:
        return self.total - len(self._left)

    def begin(self, name: str) -> None:
        self.begun += name in self._left

    def end(self, name: str) -> None:
        if name not in self._left:
            return
        took = self._left.pop(name)
        self._unknown -= took is None
        self._known -= took or 0.0
        while self._longest_last and self._longest_last[-1] not in self._left:
            self._longest_last.pop()

    def skip(self, name: str) -> None:
        """It need not be done after all."""
        self.total -= name in self._left
        self.end(name)

    def time_left(self, elapsed: Mapping[str, float]) -> str:
        """Like "about 3 min 20 s left", or "" where nothing is known. elapsed: how long each that runs has run."""
        # Other threads report while a row is drawn: each look at the tasks left may find fewer than the one before.
        running = {name: took for name in elapsed if (took := self._left.get(name)) is not None}
        waiting = (self._left.get(name) for name in reversed(self._longest_last) if name not in running)
        longest = next((took for took in waiting if took is not None), 0.0)
        over = {name: max(took - elapsed[name], 0.0) for name, took in running.items()}
        seconds = max(
            [(self._known - sum(running.values()) + sum(over.values())) / self._jobs, longest, *over.values()]
        )
        if seconds < _SOON:
            return ""
        return f"{'at least' if self._unknown else 'about'} {units.elapsed(seconds)} left"
