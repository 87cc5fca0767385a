"""`k2x init`: a commented configuration for a real shop, rules, and a file of secrets to fill in."""

from __future__ import annotations

import secrets
from pathlib import Path

import click
from cryptography.fernet import Fernet

from k2x.envfile import DEFAULT_NAME
from k2x.errors import ConfigError
from k2x.shipped import rules_dir

CONFIG = """\
# k2x: where things are. What the books shall look like is in rules/*.yaml. Check both with: k2x check
# Any key can be set from the environment: K2X_KAFKA__BOOTSTRAP=broker:9092 wins over kafka.bootstrap.
# Secrets are never in this file: each *_env names a variable; put them in the environment or in k2x.env.

kafka:
  bootstrap:                    # host:port,host:port; empty: k2x starts its own Kafka under .k2x/
  partitions: 4                 # of the source topics; organisations always have one each
  replication: 1                # 3 on a real cluster
  # security:
  #   protocol: SASL_SSL        # PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL
  #   mechanism: SCRAM-SHA-512
  #   username: k2x
  #   password_env: K2X_KAFKA_PASSWORD
  #   ca_file: /etc/ssl/certs/kafka-ca.pem

# schema_registry:
#   url: http://registry:8081   # without one, schemas/ids.json gives the ids

organisations:                  # Xero organisations, by a slug of your choosing
  shop-uk:
    connection: custom          # a Xero custom connection (client credentials); `app` for authorization code
    client_id: "00000000000000000000000000000000" # from developer.xero.com → your app → Configuration
    client_secret_env: XERO_SHOP_UK_SECRET
    rules: rules/shop-uk.yaml

instances:                      # Kentico installations
  main:
    dialect: k13                # k13 or xbyk
    time_zone: Europe/London    # of the web server: Kentico writes local times without an offset
    rest:                       # K13's REST service, on the administration application
      url: https://admin.shop.example/rest
      user: k2x
      password_env: KENTICO_MAIN_PASSWORD
      # requests_per_second: 10 # of each process; and connections: 4, timeout_s: 30
    poll:                       # look for changes by REST, nothing is installed in Kentico; leave out for webhooks
      every_s: 30
      # overlap_s: 300          # rows met again: more than web servers' clocks differ, or a checkout takes
      # sweep_s: 3600           # how often deleted and missed orders are looked for
    webhook_secret_envs: [KENTICO_MAIN_WEBHOOK_SECRET]   # a second one while you rotate
    hint_token_env: KENTICO_MAIN_HINT_TOKEN              # for unsigned Zapier-type hints
    tax_address: billing        # CMSStoreApplyTaxesBasedOn

stores:                         # instance/SiteName → organisation
  main/MyShop:
    organisation: shop-uk
    prices_include_tax: true    # CMSIncludeTaxInPrices; leave out to infer it per order

ports:
  host: 127.0.0.1
  receiver: 8080
"""

RULES = """\
# How this organisation's books are kept. Everything not said here is as in default.yaml (BOOKKEEPING in the docs).
extends: default
organisation: shop-uk

stores:
  main/MyShop:
    prefix: UK-                 # InvoiceNumber = prefix + OrderID
    accounts:
      default: "200"
    shipping_account: "200"
    payments:                   # PaymentOptionName:currency → code of a BANK or clearing account
      "PayPal:GBP": "090"
    tax:
      - {class: "VAT 20%", rate: 20, tax_type: OUTPUT2}
    zero_tax: ZERORATEDOUTPUT
"""


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=Path())
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def init(directory: Path, force: bool) -> None:
    """Write k2x.yaml, rules/ and k2x.env into DIRECTORY, ready for `k2x check`.

    Example:  k2x init shop && k2x check --config shop/k2x.yaml
    """
    files = {
        directory / "k2x.yaml": CONFIG,
        directory / "rules" / "default.yaml": (rules_dir() / "default.yaml").read_text("utf-8"),
        directory / "rules" / "shop-uk.yaml": RULES,
        directory / DEFAULT_NAME: _secrets(),
    }
    there = [str(path) for path in files if path.exists()]
    if there and not force:
        raise ConfigError(f"already there: {', '.join(there)}. Use --force to overwrite, or another directory.")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        click.echo(f"wrote {path}")
    (directory / DEFAULT_NAME).chmod(0o600)
    click.echo(f"Next: fill in {directory / DEFAULT_NAME}, edit k2x.yaml and rules/, then run k2x check")


def _secrets() -> str:
    return (
        "# Secrets of k2x. Keep this file out of version control.\n"
        "XERO_SHOP_UK_SECRET=CHANGE-ME\n"
        "KENTICO_MAIN_PASSWORD=CHANGE-ME\n"
        f"KENTICO_MAIN_WEBHOOK_SECRET={secrets.token_urlsafe(32)}\n"
        f"KENTICO_MAIN_HINT_TOKEN={secrets.token_urlsafe(24)}\n"
        f"K2X_TOKEN_KEY={Fernet.generate_key().decode()}\n"
    )
