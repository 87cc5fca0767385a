"""One sink as a process, for tests that kill it: `python -m tests.connectors.xero.sink_process JSON`."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from connectors.xero.auth import CustomConnection, Identity, IdentitySettings
from connectors.xero.client import ClientSettings, XeroClient
from connectors.xero.settings import CoreSettings, SinkSettings
from connectors.xero.sink import Sink
from schemas.codec import Codec
from schemas.ids import CommittedIds


def main() -> None:
    """Runs until it is killed. Keys: kafka, slug, group, state, token_url, api_url, client_id, client_secret."""
    given = json.loads(sys.argv[1])

    def client(org: str) -> XeroClient:
        identity = Identity(IdentitySettings(token_url=given["token_url"]), given["client_id"], given["client_secret"])
        return XeroClient(ClientSettings(api_url=given["api_url"]), CustomConnection(identity))

    core = CoreSettings(intention_lapse=1.0, deadline=2.0, outage_backoff=0.1, repeat_backoff=0.1)
    settings = SinkSettings(state_dir=Path(given["state"]), core=core, group_id=given["group"], instance_id="one")
    pattern = f"^xero\\.commands\\.{given['slug']}\\.v1$"
    Sink(settings, {"bootstrap.servers": given["kafka"]}, Codec(CommittedIds()), client, pattern=pattern).run(
        threading.Event()
    )


if __name__ == "__main__":
    main()
