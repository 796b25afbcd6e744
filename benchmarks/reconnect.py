"""Measures how soon a camera that was away is seen again: `python -m benchmarks.reconnect --rounds 50`.

A real RTSP server on this machine (Debian's gst-rtsp-server, footage with a key frame each second) is killed
and started again, stalled and woken, and refuses a password until it is mended, at random moments. `back_s`
is from its return (it listens, or was woken) to the first decoded picture; `gap_start_error_s` is how far
the recorded start of the gap lies from the fault, `gap_end_error_s` how far the first picture's wall time
lies from when the server sent it, `clock_error_s` the worst of any picture after the return.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.results_io import write
from operators.live_source import LiveSettings, LiveSource
from tests.rtsp import Camera, Follower, film

MOUNT = "yard"
WATCHED_S = 2.5  # after a return: sender reports have come by then
Figures = dict[str, list[float]]


def sent_at(log: Path, number: int, near: float) -> float:
    """When the server sent the picture `number`, of its loops the one nearest to the time `near`."""
    lines = (line.split() for line in log.read_text().splitlines())
    return min((float(wall) for _, n, wall in lines if int(n) == number), key=lambda wall: abs(wall - near))


def one_round(kind: str, camera: Camera, seen: Follower, chance: random.Random) -> dict[str, float]:
    """Lets the camera fail in one way and come back; returns what was measured."""
    downs, ups, pictures = len(seen.downs), len(seen.ups), len(seen.pictures)
    time.sleep(chance.uniform(0.2, 1.2))
    fault = time.time()
    (camera.kill if kind == "kill" else camera.stall)()
    seen.until(lambda s: len(s.downs) > downs, within_s=30)
    since = seen.downs[downs].since.timestamp()
    time.sleep(chance.uniform(0.5, 8.0))
    pictures = len(seen.pictures)
    (camera.start if kind == "kill" else camera.go_on)()
    back = time.time()
    seen.until(lambda s: len(s.ups) > ups, within_s=60)
    up = seen.ups[-1]
    seen.until(
        lambda s: s.pictures[-1].session == up.session and s.pictures[-1].pts_s > WATCHED_S, within_s=20
    )
    assert camera.sent is not None
    errors = []
    for picture in seen.pictures[pictures:]:
        if picture.session == up.session:
            wall = up.clock.peek(picture.pts_s)[0].timestamp()
            errors.append(wall - sent_at(camera.sent, picture.number, wall))
    return {
        "back_s": up.at.utc.timestamp() - back,
        "gap_start_error_s": abs(since - fault),
        "gap_end_error_s": abs(errors[0]),
        "clock_error_s": max(map(abs, errors)),
    }


def mended(footage: Path, chance: random.Random) -> float:
    """Returns how long after a password was mended the first picture came."""
    login = ["--user", "cam", "--password"]
    with (
        Camera({MOUNT: footage}, arguments=[*login, "other"]) as camera,
        Follower(LiveSource(camera.url(MOUNT, login="cam:right"), LiveSettings(sound=False))) as seen,
    ):
        seen.until(lambda s: s.downs)
        time.sleep(chance.uniform(0, 10))
        camera.kill()
        camera.start([*login, "right"])
        back = time.time()
        seen.until(lambda s: s.ups, within_s=60)
        return seen.ups[0].at.utc.timestamp() - back


def summary(values: list[float]) -> dict[str, float]:
    """Returns median, 95th percentile and worst."""
    return {
        "median": round(float(np.median(values)), 3),
        "p95": round(float(np.percentile(values, 95)), 3),
        "max": round(max(values), 3),
    }


def main() -> None:
    """Runs the rounds and writes benchmarks/results/reconnect.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--mended", type=int, default=3, help="rounds with a wrong password, up to 35 s each")
    parser.add_argument("--transport", default="auto")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    figures: dict[str, Figures] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as folder:
        footage = film(Path(folder) / "footage.mp4", seconds=60)
        settings = LiveSettings(transport=asked.transport, sound=False)
        with Camera({MOUNT: footage}, sent=Path(folder) / "sent") as camera:
            source = LiveSource(camera.url(MOUNT), settings)
            with Follower(source) as seen:
                seen.until(lambda s: s.pictures)
                for number in range(asked.rounds):
                    kind = ("kill", "stall")[number % 2]
                    measured = one_round(kind, camera, seen, chance)
                    said = {name: round(value, 3) for name, value in measured.items()}
                    print(number, kind, said, flush=True)
                    if measured["back_s"] > 5:
                        print([(d.at.utc.time(), d.reason_code, d.reason) for d in seen.downs[-4:]])
                    for name, value in measured.items():
                        figures[kind][name].append(value)
                        figures["all"][name].append(value)
        mends = [mended(footage, chance) for _ in range(asked.mended)]
    write(
        "reconnect",
        {
            "rounds": asked.rounds,
            "transport": asked.transport,
            **{kind: {name: summary(v) for name, v in f.items()} for kind, f in figures.items()},
            "mended_password_back_s": [round(s, 1) for s in mends],
        },
    )


if __name__ == "__main__":
    main()
