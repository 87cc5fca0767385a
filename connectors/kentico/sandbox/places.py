"""Countries and states (ids and GUIDs of the countries are Kentico's install data) and the invented people who buy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from connectors.kentico.sandbox.schema import TABLES, Row, fixed_guid, full_row

USA, AUSTRALIA, CZECHIA, GERMANY, NEW_ZEALAND, UNITED_KINGDOM = 271, 284, 326, 349, 423, 492

_COUNTRIES = (
    (USA, "USA", "USA", "US", "USA", "e431b7e6-9e6c-409d-a1d9-748cbf51b5d6"),
    (AUSTRALIA, "Australia", "Australia", "AU", "AUS", "a797f1b3-d1f4-41be-822b-a5a57d64021b"),
    (CZECHIA, "CzechRepublic", "Czech Republic", "CZ", "CZE", "b598c243-c7c1-4e7a-b495-cb1a2704f2db"),
    (GERMANY, "Germany", "Germany", "DE", "DEU", "5e5ee55c-a696-4e62-866c-855cbcb5912c"),
    (NEW_ZEALAND, "NewZealand", "New Zealand", "NZ", "NZL", "652fd71c-98a0-4bb6-b005-29f958f59913"),
    (UNITED_KINGDOM, "UnitedKingdom", "United Kingdom", "GB", "GBR", "1a1f9f49-c575-41f0-afe9-b16b79883036"),
)
_STATES = (
    (70, "New South Wales", "NSW", AUSTRALIA),
    (71, "Victoria", "VIC", AUSTRALIA),
    (72, "Queensland", "QLD", AUSTRALIA),
    (77, "Norfolk Island", "NF", AUSTRALIA),
    (5, "California", "CA", USA),
    (33, "New York", "NY", USA),
)
NORFOLK_ISLAND = 77


def country_rows() -> list[Row]:
    """cms.country rows."""
    return [
        full_row(
            TABLES["cms.country"], CountryID=number, CountryName=name, CountryDisplayName=display, CountryGUID=guid,
            CountryLastModified="2013-10-21T14:20:12.2930000", CountryTwoLetterCode=two, CountryThreeLetterCode=three,
        )
        for number, name, display, two, three, guid in _COUNTRIES
    ]  # fmt: skip


def state_rows() -> list[Row]:
    """cms.state rows; ids are ours."""
    return [
        full_row(
            TABLES["cms.state"], StateID=number, StateDisplayName=name, StateName=name.replace(" ", ""), StateCode=code,
            CountryID=country, StateGUID=fixed_guid("state", number), StateLastModified="2013-10-21T14:20:12.2930000",
        )
        for number, name, code, country in _STATES
    ]  # fmt: skip


@dataclass(frozen=True)
class Person:
    """Who buys and where the bill goes, before Kentico gives them ids. All are invented; mail goes to example.com."""

    first: str
    last: str
    email: str | None
    phone: str | None
    line1: str
    line2: str | None
    city: str
    zip: str
    country: int
    state: int | None = None
    company: str | None = None
    tax_id: str | None = None
    guest: bool = False


# country → (first names, last names, streets, (city, zip, state id), phone)
_LOCAL: dict[
    int, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[tuple[str, str, int | None], ...], str]
] = {
    UNITED_KINGDOM: (
        ("Oliver", "Amelia", "Harry", "Isla", "Priya", "George", "Maisie", "Callum"),
        ("Smith", "Jones", "Patel", "Taylor", "O'Brien", "Evans", "Okafor", "Wright"),
        ("High Street", "Station Road", "Church Lane", "Mill Hill"),
        (
            ("London", "N1 9GU", None),
            ("Leeds", "LS1 4AP", None),
            ("Bristol", "BS1 5TR", None),
            ("Glasgow", "G1 1XQ", None),
        ),
        "+44 20 7946 0",
    ),
    GERMANY: (
        ("Anna", "Lukas", "Jürgen", "Käthe", "Maximilian", "Sophie", "Björn", "Leni"),
        ("Müller", "Schmidt", "Weiß", "Schäfer", "Koch", "Yılmaz", "Groß", "Becker"),
        ("Hauptstraße", "Bahnhofstraße", "Lindenweg", "Am Markt"),
        (("Berlin", "10115", None), ("München", "80331", None), ("Köln", "50667", None), ("Görlitz", "02826", None)),
        "+49 30 2312 5",
    ),
    AUSTRALIA: (
        ("Charlotte", "Jack", "Matilda", "Noah", "Ngaire", "Lachlan", "Ruby", "Hamish"),
        ("Nguyen", "Wilson", "Campbell", "Kelly", "Singh", "Murphy", "Papadopoulos", "Reid"),
        ("George Street", "Collins Street", "Beach Road", "Queen Street"),
        (("Sydney", "2000", 70), ("Melbourne", "3000", 71), ("Brisbane", "4000", 72)),
        "+61 2 5550 4",
    ),
    NEW_ZEALAND: (
        ("Aroha", "Liam", "Mere", "Jacob"),
        ("Walker", "Tāmihana", "Thompson", "Ngata"),
        ("Cuba Street", "Lambton Quay"),
        (("Wellington", "6011", None), ("Auckland", "1010", None)),
        "+64 4 555 0",
    ),
    USA: (
        ("Ethan", "Ava", "Mason", "Harper"),
        ("Johnson", "Garcia", "Miller", "Davis"),
        ("Market Street", "5th Avenue"),
        (("San Francisco", "94103", 5), ("New York", "10010", 33)),
        "+1 212 555 0",
    ),
    CZECHIA: (
        ("Jana", "Petr"),
        ("Nováková", "Dvořák"),
        ("Botanická",),
        (("Brno", "60200", None),),
        "777 000 ",
    ),
}
_UNICODE = (
    ("Zoë", "Ångström"),
    ("小龍", "李"),
    ("Łukasz", "Žižka"),
    ("Nguyễn", "Thị Ánh"),
    ("محمد", "الفارسي"),
    ("José 🐐", "Peña"),
)
_COMPANIES = (
    "Bean & Gone Ltd",
    "Kaffeekontor GmbH",
    "Flat White Pty Ltd",
    "Röstwerk AG",
    "The Daily Grind <Wholesale>",
)
_TAX_IDS = {UNITED_KINGDOM: "GB{:09d}", GERMANY: "DE{:09d}", AUSTRALIA: "{:011d}"}


def person(rng: Random, wish: str, country: int) -> Person:
    """A new buyer of the wished kind (see `scenarios.WISHES`) in a country, the same for the same random stream."""
    firsts, lasts, streets, cities, phone = _LOCAL[country]
    first, last = rng.choice(firsts), rng.choice(lasts)
    if wish == "unicode":
        first, last = rng.choice(_UNICODE)
    if wish == "namesake":
        first, last = "John", "Smith"
    city, code, state = rng.choice(cities)
    tag = f"{rng.getrandbits(32):08x}"
    local = "".join(
        letter for letter in f"{first}.{last}".lower() if letter.isascii() and (letter.isalnum() or letter == ".")
    )
    buyer = Person(
        first, last, f"{local}.{tag}@example.com", f"{phone}{rng.randrange(100, 1000)}",
        f"{rng.randrange(1, 200)} {rng.choice(streets)}", rng.choice([None, None, "Flat 2"]), city, code,
        country, state,
    )  # fmt: skip
    return _as_wished(buyer, rng, wish)


def _as_wished(buyer: Person, rng: Random, wish: str) -> Person:
    if wish in ("guest", "namesake"):
        # One guest in ten leaves no e-mail at all; namesakes always do, or nothing would tell them apart.
        return replace(buyer, guest=True, email=None if wish == "guest" and rng.random() < 0.1 else buyer.email)
    if wish == "guest_again":
        # A handful of people who never register and write their address differently every time.
        number = rng.randrange(4)
        email = rng.choice([f"returning.guest{number}@example.com", f"Returning.Guest{number}@Example.com "])
        return replace(buyer, guest=True, email=email, first="Robin", last=f"Returning {'ABCD'[number]}")
    if wish == "company":
        form = _TAX_IDS.get(buyer.country, "{:09d}")
        return replace(
            buyer, company=f"{rng.choice(_COMPANIES)} {buyer.city}", tax_id=form.format(rng.randrange(10**8, 10**9))
        )
    if wish == "norfolk":
        return replace(buyer, city="Burnt Pine", zip="2899", state=NORFOLK_ISLAND)
    if wish == "bad_email":
        return replace(buyer, email="not an e-mail address", phone="call the shop, ask for Jo")
    return buyer
