"""How much of two answers is shown, so that nobody sees which model is the faster. Pure."""

_TRUSTED_CHARACTERS, _TRUSTED_S = 40, 0.5  # from which on a pace is one
_USUAL_PER_S = 80.0  # characters, where none is known


class EvenPace:
    """Both answers are shown equally far, as far as the slower one is; once one is at its end, the
    other goes on at the pace that both had.
    """

    def __init__(self) -> None:
        """Nothing is shown yet."""
        self._shown = 0.0
        self._began: float | None = None
        self._together = (0, 0.0)  # characters that both have shown, and the seconds that took
        self._looked = 0.0

    def shown(self, now: float, lengths: tuple[int, int], are_whole: tuple[bool, bool]) -> int:
        """Return how many characters of each answer may be seen at a time (s, of any clock)."""
        growing = [length for length, whole in zip(lengths, are_whole, strict=True) if not whole]
        limit = min(growing) if growing else max(lengths)
        finals = [length for length, whole in zip(lengths, are_whole, strict=True) if whole]
        joint_end = min(finals) if finals else limit
        if self._began is None:
            if not limit:
                return 0
            self._began = self._looked = now
        if limit <= joint_end:
            self._shown = max(self._shown, float(limit))
            self._together = (limit, now - self._began)
        else:
            if self._shown < joint_end:
                self._shown = float(joint_end)
            step = self._per_second() * max(now - self._looked, 0.0)
            self._shown = min(self._shown + step, float(limit))
        self._looked = now
        return int(self._shown)

    def _per_second(self) -> float:
        characters, seconds = self._together
        if characters < _TRUSTED_CHARACTERS or seconds < _TRUSTED_S:
            return _USUAL_PER_S
        return characters / seconds
