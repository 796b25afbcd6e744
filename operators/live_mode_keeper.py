"""Keeps a live stream's mode: when it is learned, checked against full decoding, and given up."""

from __future__ import annotations

import logging
import math

from operators.live_learning import Mode, ModeLearner
from operators.live_mode_settings import ModeSettings
from operators.live_watch import Watch

logger = logging.getLogger(__name__)

_LONGEST_REST_S = 7200.0


class ModeKeeper:
    """Says which mode holds now, in seconds that never begin anew.

    `learned` is the mode that holds but for checks; `watch` is there while all is decoded to learn or to
    check, and wants every picture and packet.
    """

    def __init__(self, settings: ModeSettings) -> None:
        self.settings = settings
        self.learner = ModeLearner(settings.learn)
        self.fallbacks = 0
        self.watch: Watch | None = None
        self.trigger_size = math.inf  # bytes of a second
        self._forced = None if settings.mode == "auto" else Mode(settings.mode)
        self.learned = Mode.FULL if self._forced in (None, Mode.PACKETS) else Mode(settings.mode)
        self._watch_until_s: float | None = None  # None: until modes can be judged
        self._rest_until_s = 0.0  # no mode was safe: full decoding, unmeasured
        self._rest_s = settings.relearn_s
        self._check_at_s = 0.0
        self._start_watch(None)

    @property
    def mode(self) -> Mode:
        """How the stream is looked at now."""
        return Mode.FULL if self.watch is not None else self.learned

    def connected(self) -> None:
        """A connection begins: what was being watched is cut, and watched anew."""
        if self.watch is not None:
            self._start_watch(self._watch_until_s)

    def key(self, now_s: float) -> bool:
        """A keyframe comes, where full decoding may begin and end; returns whether a mode was chosen anew."""
        if self.watch is not None:
            return self._end_watch(now_s)
        if self._forced is not None:
            return False
        if self.learned is Mode.FULL and now_s >= self._rest_until_s:
            self.learner.forget()
            self._start_watch(None)
        elif self.learned is not Mode.FULL and now_s >= self._check_at_s:
            self._start_watch(now_s + self.settings.check_s)
        return False

    def relearn(self, why: str) -> None:
        """What was learned does not hold any more."""
        if self._forced is not None:
            return
        logger.info("mode %s given up: %s", self.learned, why)
        self.fallbacks += self.learned is not Mode.FULL
        self.learner.forget()
        self.learned = Mode.FULL
        self._start_watch(None)

    def _start_watch(self, until_s: float | None) -> None:
        if self._forced in (Mode.FULL, Mode.KEYFRAMES):
            return
        self.learner.pause()
        self.watch, self._watch_until_s = Watch(self.learner), until_s

    def _end_watch(self, now_s: float) -> bool:
        """Judges, when it can be: adopts a mode, or rests at full decoding."""
        until_s = self._watch_until_s
        if until_s is None and self._forced is not None:
            ready = self.learner.watched_s >= self.settings.learn.learn_s
        else:
            ready = self.learner.enough if until_s is None else now_s >= until_s
        if not ready:
            return False
        found = self._forced or self.learner.cheapest()
        if until_s is not None and found is not self.learned:
            self.fallbacks += 1
            logger.info("mode %s no longer safe: %s", self.learned, found)
        if found is Mode.FULL:
            self._rest_until_s = now_s + self._rest_s
            self._rest_s = min(2 * self._rest_s, _LONGEST_REST_S)
        elif until_s is None:
            self._rest_s = self.settings.relearn_s
        self.learned, self.watch, self.trigger_size = found, None, self.learner.trigger_size
        self._check_at_s = now_s + self.settings.check_every_s
        return True
