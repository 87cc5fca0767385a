"""What a stranger may do wrong: one sentence says what to do, the exit code is right, nothing of theirs is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import KafkaError, KafkaException

from k2x.cli import main, said
from k2x.demo.world import drop
from k2x.embedded.datadir import DataDir
from k2x.embedded.errors import AlreadyRunning
from k2x.errors import ConfigError


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    assert call("init", str(tmp_path / "shop")).exit_code == 0
    return tmp_path / "shop" / "k2x.yaml"


@pytest.mark.parametrize("command", [("demo", "--once", "--data-dir"), ("init",)])
def test_a_place_that_cannot_be_written_is_named(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    done = call(*command, str(tmp_path / "file" / "below"))
    assert done.exit_code == 1
    assert f"k2x: {tmp_path / 'file'}" in done.output
    assert "Choose a place" in done.output


@pytest.mark.parametrize("more", [(), ("--fresh",)])
def test_a_demo_leaves_a_directory_alone_that_is_not_its_own(more: tuple[str, ...], shop: Path) -> None:
    before = shop.read_text("utf-8")
    done = call("demo", "--once", "--data-dir", str(shop.parent), *more)
    assert done.exit_code == 1
    assert "holds files that no demo has written" in done.output
    assert shop.read_text("utf-8") == before


def test_the_data_of_a_running_demo_is_not_dropped(tmp_path: Path) -> None:
    lock = DataDir(tmp_path / "kafka").acquire()
    try:
        with pytest.raises(AlreadyRunning, match="another k2x"):
            drop(tmp_path)
        assert (tmp_path / "kafka").exists()
    finally:
        os.close(lock)
    drop(tmp_path)
    assert not tmp_path.exists()


def test_nothing_is_dropped_that_is_no_demo(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("mine", "utf-8")
    with pytest.raises(ConfigError, match="no demo has written"):
        drop(tmp_path)
    assert (tmp_path / "letters.txt").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  receiver: 8080", "  receiver: 80800", ":50: ports.receiver: Input should be less than or equal to 65535"),
        ("main/MyShop:", "main:", ":44: stores.main: write instance/siteName; instances known: main"),
        ("    organisation: shop-uk", "    organisation: shop-fr", ":44: stores.main/MyShop.organisation: 'shop-fr'"),
    ],
)
def test_a_fault_is_named_by_its_own_line(old: str, new: str, said: str, shop: Path) -> None:
    shop.write_text(shop.read_text("utf-8").replace(old, new), "utf-8")
    done = call("check", "--config", str(shop))
    assert done.exit_code == 1
    assert f"{shop}{said}" in done.output


def test_an_empty_file_points_to_init(shop: Path) -> None:
    shop.write_text("\n", "utf-8")
    assert "is empty. `k2x init` writes one" in call("check", "--config", str(shop)).output


def test_errors_from_below_are_said_and_bugs_keep_their_trace() -> None:
    away = KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert "Check the kafka section" in (said(away) or "")
    assert "Another program listens there" in (said(OSError(98, "address already in use")) or "")
    assert said(KeyError("a bug")) is None
