"""How many things a run sets out to do, how far it is, and how much time is left. Pure."""

from collections.abc import Mapping

from builder import units

_SOON = 5.0  # seconds that are not worth telling


class Goal:
    """Names of what is to be done with the seconds that each took before, or None where it was never done here. jobs: at a time."""

    def __init__(self, seconds: Mapping[str, float | None], jobs: int = 1) -> None:
        self.total = len(seconds)
        self.begun = 0
        self._left = dict(seconds)
        self._jobs = max(jobs, 1)

    @property
    def ended(self) -> int:
        return self.total - len(self._left)

    def begin(self, name: str) -> None:
        self.begun += name in self._left

    def end(self, name: str) -> None:
        self._left.pop(name, None)

    def skip(self, name: str) -> None:
        """It need not be done after all."""
        if name in self._left:
            self.total -= 1
            del self._left[name]

    def time_left(self, elapsed: Mapping[str, float]) -> str:
        """Like "about 3 min 20 s left", or "" where nothing is known. elapsed: how long each that runs has run."""
        left = self._left.copy()  # other threads report while a row is drawn
        known = {name: max(took - elapsed.get(name, 0.0), 0.0) for name, took in left.items() if took is not None}
        seconds = max([sum(known.values()) / self._jobs, *known.values()])
        if seconds < _SOON:
            return ""
        return f"{'about' if len(known) == len(left) else 'at least'} {units.elapsed(seconds)} left"
