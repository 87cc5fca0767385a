"""Which letters a command means: by filters, by their addresses, or by an order. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from k2x.dead_letters.errors import NoSuchLetter
from k2x.dead_letters.letter import Letter, State, address


@dataclass(frozen=True)
class Selection:
    """Filters; an empty one asks for nothing. Each must hold. `order`: instance|OrderID, or any order's OrderID."""

    org: str | None = None
    store: str | None = None
    error_class: str | None = None
    code: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    order: str | None = None

    def takes(self, letter: Letter) -> bool:
        return (
            self.org in (None, letter.org)
            and self.store in (None, letter.store)
            and self.error_class in (None, letter.error_class)
            and self.code in (None, letter.code)
            and (self.since is None or letter.at >= self.since)
            and (self.until is None or letter.at < self.until)
            and (self.order is None or is_order(letter, self.order))
        )


def is_order(letter: Letter, asked: str) -> bool:
    """`asked`: emea|1042, emea/1042, emea/GoatUK/1042 or 1042."""
    instance, _, number = letter.order_key.partition("|")
    return bool(number) and is_named(asked, instance, letter.store, number)


def is_named(asked: str, instance: str, store: str, number: str) -> bool:
    """Whether a person who writes `asked` means this order. `store` may be empty."""
    return asked in (f"{instance}|{number}", f"{instance}/{number}", f"{store or instance}/{number}", number)


def pick(letters: Iterable[Letter], selection: Selection, *, every: bool = False) -> list[Letter]:
    """The open letters that the filters take; with `every` those that need nobody any more too."""
    return [letter for letter in letters if (every or letter.state is State.OPEN) and selection.takes(letter)]


def one(letters: Iterable[Letter], asked: str) -> list[Letter]:
    """The letter at an address, or all letters of an order, newest first. NoSuchLetter where there is none."""
    where = address(asked)
    if where is not None:
        found = [letter for letter in letters if letter.id == where]
    else:
        found = [letter for letter in letters if is_order(letter, asked) or asked == letter.key_text]
    if not found:
        raise NoSuchLetter(
            f"no dead letter is at or about {asked!r}. Give TOPIC:PARTITION:OFFSET as `k2x dlt ls --all` prints it, "
            "or an order as instance|OrderID"
        )
    return sorted(found, key=lambda letter: letter.at, reverse=True)
