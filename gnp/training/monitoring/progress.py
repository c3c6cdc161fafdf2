"""How far something is: a bar on a terminal, a few plain lines elsewhere."""

import collections
import contextlib
import sys
import time
from collections.abc import Mapping

import tqdm

from gnp.training.position import RunLength

# Seconds between two plain lines, at least, within a long epoch or anything else that takes long.
_LONG_INTERVAL = 30.0

# Speed is taken over the last samples of (time, step), this many seconds apart.
_SAMPLE_INTERVAL = 0.5
_NUM_SAMPLES = 30


class Progress:
    """Shows epoch, step, loss, error, images per second and the remaining time, on stderr.

    A bar shows the newest figures. Without a terminal each epoch gets a line with the means over
    its own steps, and with its evaluation if it has one; a long epoch gets lines in between.
    """

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
        self._epoch = _EpochFigures()
        # The first sample comes with the first step, which waits for the compiler.
        self._samples = collections.deque(maxlen=_NUM_SAMPLES)
        self._last_line = time.monotonic()
        self._bar = None
        if show and sys.stderr.isatty():
            self._bar = tqdm.tqdm(
                total=length.total_steps,
                initial=first_step,
                bar_format="{percentage:3.0f}% {bar} {desc}",
                dynamic_ncols=True,
            )

    def update(self, step: int, metrics: Mapping[str, float] | None = None) -> None:
        """Shows that `step` steps are taken.

        Args:
          step: their number.
          metrics: of that step, or of an evaluation after it; None: not known yet.
        """
        self._step = max(step, self._step)
        self._metrics.update(metrics or {})
        if not self._show:
            return
        self._sample_speed()
        if self._bar is not None:
            self._bar.set_description_str(self._line(self._step, self._metrics), refresh=False)
            self._bar.update(self._step - self._bar.n)
        elif metrics:
            self._add_to_epoch(step, metrics)

    def _add_to_epoch(self, step, metrics):
        if self._epoch_of(step) != self._epoch_of(self._epoch.step):
            self._print_epoch()
            self._epoch = _EpochFigures()
        self._epoch.add(step, metrics)
        is_evaluation = any(name.startswith("eval/") for name in metrics)
        # An evaluation may follow the last step; otherwise its line comes with the next epoch.
        is_last = step % self._steps_per_epoch == 0
        waited = time.monotonic() - self._last_line
        if is_evaluation or (waited >= _LONG_INTERVAL and not is_last):
            self._print_epoch()

    def _print_epoch(self):
        """Prints what is new of an epoch."""
        if self._epoch.is_new:
            self._last_line = time.monotonic()
            _print(self._line(self._epoch.step, self._epoch.means()))

    def note(self, text: str) -> None:
        """Shows a line of its own, above the bar."""
        if self._bar is not None:
            tqdm.tqdm.write(text, file=sys.stderr)
        elif self._show:
            _print(text)

    def close(self) -> None:
        """Shows the last state. Closing twice does nothing more."""
        if self._bar is not None:
            self._bar.set_description_str(self._line(self._step, self._metrics), refresh=True)
            self._bar.close()
        elif self._show:
            self._print_epoch()
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

    def _epoch_of(self, step):
        return max(step - 1, 0) // self._steps_per_epoch

    def _line(self, step, metrics):
        epochs = -(-self._total_steps // self._steps_per_epoch)
        parts = [f"epoch {self._epoch_of(step) + 1}/{epochs}", f"step {step}/{self._total_steps}"]
        if "train/loss" in metrics:
            parts.append(f"loss {metrics['train/loss']:.3f}")
        if "train/error_rate" in metrics:
            parts.append(f"error {100 * metrics['train/error_rate']:.1f} %")
        if "eval/error_rate" in metrics:
            parts.append(f"eval {100 * metrics['eval/error_rate']:.2f} %")
        speed = self._steps_per_second()
        if speed is not None:
            remaining = (self._total_steps - step) / speed
            parts.append(f"{speed * self._batch_size:,.0f} images/s")
            parts.append(f"{tqdm.tqdm.format_interval(remaining)} left")
        return "  ".join(parts)


class Counter:
    """Shows on stderr how much of a known number of things is done. Use as a context manager.

    On a terminal it is a bar, elsewhere a plain line every half minute.
    """

    def __init__(self, total: int, unit: str, *, done: int = 0, show: bool = True):
        """Starts the clock.

        Args:
          total: their number.
          unit: what they are, such as "files".
          done: how many were done before.
          show: False: shows nothing.
        """
        self._total, self._unit, self._done, self._first = total, unit, done, done
        self._start = self._last_line = time.monotonic()
        self._bar = None
        self._is_plain = show and not sys.stderr.isatty()
        if show and not self._is_plain:
            self._bar = tqdm.tqdm(total=total, initial=done, unit=f" {unit}", dynamic_ncols=True)

    def update(self, count: int = 1) -> None:
        """Counts so many more."""
        self._done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self._is_plain and time.monotonic() - self._last_line >= _LONG_INTERVAL:
            self._last_line = time.monotonic()
            speed = (self._done - self._first) / (self._last_line - self._start)
            left = tqdm.tqdm.format_interval((self._total - self._done) / speed) if speed else "?"
            _print(f"{self._done:,} of {self._total:,} {self._unit}, {left} left")

    def __enter__(self) -> "Counter":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()


class _EpochFigures:
    """The metrics of one epoch so far.

    Attributes:
      step: the last one of which there is something.
      is_new: whether something came after the last means.
    """

    def __init__(self):
        self.step = 0
        self.is_new = False
        self._values = collections.defaultdict(list)

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        self.step, self.is_new = step, True
        for name, value in metrics.items():
            self._values[name].append(value)

    def means(self) -> dict[str, float]:
        self.is_new = False
        return {name: sum(values) / len(values) for name, values in self._values.items()}


def _print(text):
    """A full disk, or a pipe that nobody reads, does not end a run."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)
