"""How several processes find each other, and what is said where they do not."""

import socket

import jax
import pytest
from absl import flags
from absl.testing import flagsaver

from gnp.errors import UserError
from gnp.main.start import distributed


@pytest.fixture(autouse=True)
def _parsed():
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def initialize(address="127.0.0.1:1234", num_processes=2, process_id=1):
    given = {"coordinator_address": address, "num_processes": num_processes}
    with flagsaver.flagsaver():
        distributed.define_flags()
        for name, value in (given | {"process_id": process_id}).items():
            flags.FLAGS[name].value = value
        distributed.initialize()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"process_id": None}, "go together; give all of them"),
        ({"num_processes": 0}, "--num_processes is 0; it must be in 1 to 100000."),
        ({"num_processes": 10**20}, "it must be in 1 to 100000."),
        ({"process_id": 2}, "--process_id is 2; it must be in 0 to 1."),
        ({"process_id": -1}, "--process_id is -1; it must be in 0 to 1."),
        *(
            ({"address": address}, "it must be host:port of the first process")
            for address in ("nonsense", "", ":1", "host:", "host:a", "host:0", "host:65536", "a:²")
        ),
    ],
    ids=str,
)
def test_flags_that_make_no_sense_are_refused(given, sentence):
    with pytest.raises(UserError) as error:
        initialize(**given)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_a_first_process_that_is_not_there_is_named(host, monkeypatch):
    monkeypatch.setattr(distributed, "_PATIENCE", 0.1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"{host}:{free.getsockname()[1]}"
        with pytest.raises(UserError, match=f"not reached at --coordinator_address={address}"):
            initialize(address)


def test_what_jax_raises_is_one_sentence(monkeypatch):
    def fails(*arguments, **keywords):
        raise RuntimeError("no port\nand a long story")

    monkeypatch.setattr(jax.distributed, "initialize", fails)
    with pytest.raises(UserError, match=r"=127.0.0.1:1234 \(no port\); choose a free port"):
        initialize(process_id=0)


@pytest.mark.parametrize("error", [IndexError("list index"), ValueError("Number"), OSError("x")])
def test_a_cluster_that_cannot_be_joined_is_named(monkeypatch, error):
    def fails():
        raise error

    monkeypatch.setattr(jax.distributed, "initialize", fails)
    with pytest.raises(UserError, match="A cluster was found but could not be joined"):
        initialize(None, None, None)


def test_without_a_cluster_a_process_is_alone(monkeypatch):
    def finds_none():
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", finds_none)
    initialize(None, None, None)
