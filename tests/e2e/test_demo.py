"""The whole path with whole processes: the demo, twice on the same data, Ctrl-C, and one real public order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(420)]


def demo(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "k2x", "demo", "--data-dir", str(directory), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def account(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = done.stdout.strip().splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def children_of(session_marker: str) -> list[int]:
    """Living processes whose command line names the demo's directory."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            try:
                command = (path / "cmdline").read_bytes().decode("utf-8", "replace")
                state = (path / "stat").read_text("utf-8").rsplit(")", 1)[1].split()[0]
            except OSError:
                continue
            if session_marker in command and state != "Z":
                found.append(int(path.name))
    return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "data"


def test_every_payable_order_is_paid_and_nothing_is_lost_doubled_or_drifted(shop: Path) -> None:
    found = account(demo(shop, "--once", "--json", "--orders", "90"))
    assert found["orders_in"] == 90
    ends = ("posted", "suppressed", "dead_lettered", "waiting", "parked")
    assert sum(found[end] for end in ends) == 90
    assert (found["lost"], found["doubled"], found["drift"]) == (0, 0, 0)
    assert (found["waiting"], found["parked"]) == (0, 0)
    assert found["paid"] == found["posted"] > 60
    assert found["dead_lettered"] >= 5, "the demo includes orders that must fail"
    assert found["held"] >= 1, "and one edited after posting"
    assert found["refunded"] == found["refunds"] >= 3, "something of one order in twenty is given back"
    assert found["settlements"] == found["settled"] == 1, "the card gateway pays out"
    most = 1.0 + 2 * found["refunded"] / found["posted"]  # a refund alone costs two calls
    assert found["calls_per_order"] <= most, "90 orders are few: reading reference data weighs more than in 300"


def test_a_second_run_continues_the_same_books(shop: Path) -> None:
    found = account(demo(shop, "--once", "--json", "--orders", "30"))
    assert found["orders_in"] == 120
    assert (found["lost"], found["doubled"], found["drift"]) == (0, 0, 0)
    assert found["paid"] == found["posted"]
    assert found["settlements"] == found["settled"] == 2


@contextmanager
def running(directory: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A demo that is up, and its addresses; killed if the test does not end it."""
    command = [sys.executable, "-m", "k2x", "demo", "--data-dir", str(directory), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "ready in" in line:
                break
        ports = json.loads((directory / "ports.json").read_text("utf-8"))
        yield process, {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def interrupt(process: subprocess.Popen[str]) -> float:
    """Ctrl-C; the seconds until the end."""
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    return time.monotonic() - begun


def test_ctrl_c_ends_every_process_within_ten_seconds(shop: Path) -> None:
    with running(shop, "--orders", "5") as (process, _):
        assert len(children_of(str(shop))) > 6, "the demo has processes of its own"
        assert interrupt(process) < 10
    assert process.returncode == 0
    assert children_of(str(shop)) == []


def test_a_real_public_order_comes_through_the_rest_reader_to_the_cent(shop: Path) -> None:
    """The order of a live seed shop of 2021 (kentico.md §1c), completed with its lookup rows: 0.82 + 1.60 = 2.42."""
    with running(shop, "--orders", "1") as (process, at):
        hint = {"OrderID": "156889", "OrderSiteID": "1"}
        answer = httpx.post(f"{at['receiver']}/kentico/seed2021/hints/goat-seed2021-hint-token", json=hint)
        assert answer.status_code == 202, answer.text
        invoice = await_invoice(at["xero"], "SEED-156889")
        interrupt(process)
    assert (invoice["Status"], invoice["Total"], invoice["AmountDue"], invoice["TotalTax"]) == ("PAID", 2.42, 0.0, 0.0)
    assert [line["LineAmount"] for line in invoice["LineItems"]] == [0.82, 1.6]


def await_invoice(xero: str, number: str) -> dict[str, Any]:
    for _ in range(120):
        books = httpx.get(f"{xero}/_sandbox/books/uk", timeout=30).json()
        for invoice in books["invoices"]:
            if invoice["InvoiceNumber"] == number and invoice["Status"] == "PAID":
                paid: dict[str, Any] = invoice
                return paid
        time.sleep(0.5)
    pytest.fail(f"{number} is not PAID in the books")
