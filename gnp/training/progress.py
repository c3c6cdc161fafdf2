"""How far a run is: a bar on a terminal, a few plain lines elsewhere."""

import collections
import contextlib
import sys
import time
from collections.abc import Mapping

import tqdm

from gnp.training.position import RunLength

# Seconds between two plain lines, at least: at the end of an epoch, and within a long one.
_EPOCH_INTERVAL = 5.0
_LONG_INTERVAL = 30.0

# Speed is taken over the last samples of (time, step), this many seconds apart.
_SAMPLE_INTERVAL = 0.5
_NUM_SAMPLES = 30


class Progress:
    """Shows epoch, step, loss, error, images per second and the remaining time, on stderr."""

    def __init__(self, length: RunLength, first_step: int, *, show: bool = True):
        """Starts the clock.

        Args:
          length: of the whole run.
          first_step: steps already taken by an earlier start of it.
          show: False in all processes but one.
        """
        self._total_steps = length.total_steps
        self._step = first_step
        self._steps_per_epoch = length.steps_per_epoch
        self._batch_size = length.batch_size
        self._show = show
        self._metrics = {}
        # The first sample comes with the first step, which waits for the compiler.
        self._samples = collections.deque(maxlen=_NUM_SAMPLES)
        self._last_line = (time.monotonic(), first_step)
        self._bar = None
        if show and sys.stderr.isatty():
            self._bar = tqdm.tqdm(
                total=length.total_steps,
                initial=first_step,
                bar_format="{percentage:3.0f}% {bar} {desc}",
                dynamic_ncols=True,
            )

    def update(self, step: int, metrics: Mapping[str, float] | None = None) -> None:
        """Shows that `step` steps are taken; metrics stay shown until newer ones come."""
        self._step = step
        self._metrics.update(metrics or {})
        if not self._show:
            return
        self._sample_speed()
        if self._bar is not None:
            self._bar.set_description_str(self._line(), refresh=False)
            self._bar.update(step - self._bar.n)
        elif self._line_is_due():
            self._print_line()

    def note(self, text: str) -> None:
        """Shows a line of its own, above the bar."""
        if self._bar is not None:
            tqdm.tqdm.write(text, file=sys.stderr)
        elif self._show:
            _print(text)

    def close(self) -> None:
        """Shows the last state. Closing twice does nothing more."""
        if self._bar is not None:
            self._bar.set_description_str(self._line(), refresh=True)
            self._bar.close()
        elif self._show and self._step != self._last_line[1]:
            self._print_line()
        self._show, self._bar = False, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _sample_speed(self):
        now = time.monotonic()
        if not self._samples or now - self._samples[-1][0] >= _SAMPLE_INTERVAL:
            self._samples.append((now, self._step))

    def _steps_per_second(self):
        if len(self._samples) < 2:
            return None
        (start, first), (end, last) = self._samples[0], self._samples[-1]
        return (last - first) / (end - start) or None

    def _line_is_due(self):
        waited = time.monotonic() - self._last_line[0]
        at_epoch_end = self._step % self._steps_per_epoch == 0
        return waited >= (_EPOCH_INTERVAL if at_epoch_end else _LONG_INTERVAL)

    def _print_line(self):
        self._last_line = (time.monotonic(), self._step)
        _print(self._line())

    def _line(self):
        epoch = max(self._step - 1, 0) // self._steps_per_epoch + 1
        epochs = -(-self._total_steps // self._steps_per_epoch)
        parts = [f"epoch {epoch}/{epochs}", f"step {self._step}/{self._total_steps}"]
        if "train/loss" in self._metrics:
            parts.append(f"loss {self._metrics['train/loss']:.3f}")
        if "train/error_rate" in self._metrics:
            parts.append(f"error {100 * self._metrics['train/error_rate']:.1f} %")
        if "eval/error_rate" in self._metrics:
            parts.append(f"eval {100 * self._metrics['eval/error_rate']:.2f} %")
        speed = self._steps_per_second()
        if speed is not None:
            remaining = (self._total_steps - self._step) / speed
            parts.append(f"{speed * self._batch_size:,.0f} images/s")
            parts.append(f"{tqdm.tqdm.format_interval(remaining)} left")
        return "  ".join(parts)


def _print(text):
    """A full disk, or a pipe that nobody reads, does not end a run."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)
