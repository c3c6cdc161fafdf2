"""A process that was lost is named, once; one that ends by itself is not."""

import pytest

from gnp.main.start.peers import Watcher


class Store:
    """The key-value store of the JAX distributed runtime."""

    def __init__(self):
        self._values = {}

    def key_value_set(self, key, value, allow_overwrite):
        assert allow_overwrite
        self._values[key] = value

    def key_value_dir_get(self, folder):
        return [(key, value) for key, value in self._values.items() if key.startswith(folder)]


@pytest.fixture
def watchers():
    store = Store()
    return [Watcher(store, number, 3) for number in range(3)]


def test_a_process_that_falls_silent_is_named_once(watchers, capsys):
    for now in range(0, 100, 5):
        for number, watcher in enumerate(watchers):
            if number != 1 or now < 20:
                watcher.look(now)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2  # each of the others says it
    for line in said:
        assert line.startswith("Process 1 of 3 (process ")
        assert "the same command resumes from the last checkpoint." in line


def test_processes_that_live_or_end_are_not_named(watchers, capsys):
    for now in range(0, 200, 30):
        for watcher in watchers[1:]:
            watcher.look(now)
        if now == 0:
            watchers[0].look(now)
            watchers[0].end()
    assert not capsys.readouterr().err


def test_watching_ends_with_the_store(watchers, monkeypatch):
    def fails(*arguments, **keywords):
        raise RuntimeError("shut down")

    monkeypatch.setattr(Store, "key_value_set", fails)
    watchers[0].run()
    watchers[0].end()
