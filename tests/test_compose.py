"""docker-compose.yml, Dockerfile and deploy/ agree with the code and with each other (no Docker is run here)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import yaml

from k2x import wiring
from k2x.cli import main
from k2x.config import load
from k2x.embedded.config import SERVER
from k2x.embedded.jars import KAFKA_VERSION, read_lock
from k2x.settings import Ports, Settings
from schemas.topics import all_topics

ROOT = Path(__file__).parents[1]
PROCESSES = sorted(Ports().metrics)
WAITS_FOR = {"service_healthy", "service_completed_successfully"}


def no_key_twice(node: yaml.Node) -> None:
    """YAML forbids a key twice in a mapping, and PyYAML silently takes the last."""
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"line {node.start_mark.line + 1}: a key twice"
        for _, value in node.value:
            no_key_twice(value)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    text = (ROOT / "docker-compose.yml").read_text()
    root = yaml.compose(text)
    assert root is not None
    no_key_twice(root)
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = compose["services"]
    return found


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("K2X_DATA_DIR", "K2X_KAFKA__BOOTSTRAP"):
        monkeypatch.delenv(name, raising=False)
    return load(ROOT / "deploy" / "k2x.yaml")


def ours(services: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in services.items() if service.get("image") == "k2x"}


def variables(name: str) -> set[str]:
    """The names that deploy/env/<name>.example sets."""
    lines = (ROOT / f"{name}.example").read_text().splitlines()
    return {line.split("=")[0] for line in lines if line and not line.startswith("#")}


def test_every_process_has_its_container_and_no_other(services: dict[str, Any]) -> None:
    commands = {name: service["command"] for name, service in ours(services).items()}
    assert {name: command for name, command in commands.items() if command[0] == "run"} == {
        process: ["run", process] for process in PROCESSES
    }
    assert {name: command for name, command in commands.items() if command[0] != "run"} == {
        "topics": ["topics", "apply"],
        "rules": ["rules", "apply"],
    }


@pytest.mark.parametrize(
    "words", [["run", process] for process in PROCESSES] + [["topics", "apply"], ["rules", "apply"]]
)
def test_the_command_line_knows_the_command(words: list[str]) -> None:
    command: click.Command | None = main.get_command(click.Context(main), words[0])
    assert command is not None
    context = click.Context(command)
    if isinstance(command, click.Group):
        assert command.get_command(context, words[1]) is not None
    else:
        command.make_context(words[0], words[1:])  # a UsageError if it does not take the word


def test_long_running_containers_restart_and_are_watched(services: dict[str, Any]) -> None:
    for name, service in services.items():
        once = name in ("topics", "rules")
        assert service["restart"] == ("no" if once else "unless-stopped"), name
        assert ("healthcheck" in service) != once, name


def test_everything_waits_for_what_it_needs(services: dict[str, Any]) -> None:
    def needs(name: str, path: tuple[str, ...]) -> set[str]:
        assert name not in path, f"a circle: {path}"
        direct = services[name].get("depends_on", {})
        assert {wait["condition"] for wait in direct.values()} <= WAITS_FOR
        return set(direct).union(*(needs(each, (*path, name)) for each in direct))

    for process in PROCESSES:
        assert needs(process, ()) == {"kafka", "registry", "topics", "rules"}


def test_kafka_is_the_embedded_version_with_the_same_promises(services: dict[str, Any]) -> None:
    kafka = services["kafka"]
    assert kafka["image"] == f"apache/kafka:{KAFKA_VERSION}"
    given = {key.removeprefix("KAFKA_").lower().replace("_", "."): value for key, value in kafka["environment"].items()}
    for promise in (
        "auto.create.topics.enable",
        "log.retention.ms",
        "log.retention.bytes",
        "offsets.retention.minutes",
        "transactional.id.expiration.ms",
    ):
        assert given[promise] == str(SERVER[promise]), promise
    listeners = {each.split("://")[0] for each in given["listeners"].split(",")}
    assert listeners == {each.split(":")[0] for each in given["listener.security.protocol.map"].split(",")}
    assert given["log.dirs"] in {volume.split(":")[1] for volume in kafka["volumes"]}, "data must outlive the container"


def test_registry_is_the_one_that_is_tested(services: dict[str, Any]) -> None:
    [locked] = read_lock(ROOT / "tests" / "registry" / "apicurio.lock")
    assert services["registry"]["image"] == f"apicurio/apicurio-registry:{locked.version}"
    assert services["registry"]["environment"]["APICURIO_STORAGE_KIND"] == "kafkasql", "ids must outlive the container"


def test_addresses_in_the_settings_are_those_of_the_containers(services: dict[str, Any], settings: Settings) -> None:
    advertised = services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"PLAINTEXT://{settings.kafka.bootstrap}" in advertised.split(",")
    assert services["registry"]["environment"]["APICURIO_KAFKASQL_BOOTSTRAP_SERVERS"] == settings.kafka.bootstrap
    url = urlsplit(settings.schema_registry.url or "")
    assert url.hostname == "registry"
    assert f"127.0.0.1:8081:{url.port}" in services["registry"]["ports"]
    assert url.path == "/apis/ccompat/v7"


def test_ports_agree(services: dict[str, Any], settings: Settings) -> None:
    assert settings.ports.metrics == Ports().metrics
    assert settings.ports.host == "0.0.0.0"
    for process, port in settings.ports.metrics.items():
        published = [each for each in services[process]["ports"] if each != f"8080:{settings.ports.receiver}"]
        assert published == [f"127.0.0.1:{port}:{port}"], process
        assert services[process]["healthcheck"]["test"][-1] == str(port), process
    assert f"8080:{settings.ports.receiver}" in services["receiver"]["ports"]
    hosts = [each.rsplit(":", 1)[0] for service in services.values() for each in service.get("ports", [])]
    assert len(hosts) == len(set(hosts)), "one port published twice"


def test_each_secret_goes_only_where_it_is_used(services: dict[str, Any], settings: Settings) -> None:
    instances, organisations = settings.instances.values(), settings.organisations.values()
    webhooks = {name for i in instances for name in [*i.webhook_secret_envs, i.hint_token_env] if name}
    rest = {i.rest.password_env for i in instances if i.rest}
    xero = {o.client_secret_env for o in organisations if o.client_secret_env} | {settings.xero.token_key_env}
    given = {name: {v for file in s.get("env_file", []) for v in variables(file)} for name, s in ours(services).items()}
    assert given == {
        "topics": set(),
        "rules": set(),
        "receiver": webhooks,
        "reader": rest,
        "poller": rest,
        "cdc": set(),
        "confirm": set(),
        "streams": set(),
        "sink": xero,
        "writeback": rest,
        "watch": set(),
    }
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "deploy/env/*.env" in ignored, "filled-in secrets stay out of git"


def test_each_process_is_told_all_it_needs_by_its_containers_secrets(
    services: dict[str, Any], settings: Settings
) -> None:
    told: dict[str, Callable[[dict[str, str]], Any]] = {
        "receiver": lambda env: wiring.receiver(settings, env),
        "reader": lambda env: wiring.reader(settings, env),
        "poller": lambda env: wiring.poller(settings, env),
        "cdc": lambda env: wiring.cdc(settings, env),
        "writeback": lambda env: wiring.writeback(settings, True, env),
    }
    for name, tell in told.items():
        files = services[name].get("env_file", [])
        assert tell({variable: "x" * 32 for file in files for variable in variables(file)}).instances, name


def test_state_is_on_a_volume_and_configuration_is_mounted(compose: dict[str, Any], settings: Settings) -> None:
    for name, service in ours(compose["services"]).items():
        assert "./deploy:/etc/k2x:ro" in service["volumes"], name
        assert service["read_only"], name
    for process in PROCESSES:
        assert f"{process}-data:{settings.data_dir}" in compose["services"][process]["volumes"]
    named = {v.split(":")[0] for s in compose["services"].values() for v in s.get("volumes", []) if v[0] not in "./"}
    assert named == set(compose["volumes"])
    for organisation in settings.organisations.values():
        assert organisation.rules.is_file()
    assert all_topics(settings.organisations), "the organisations' slugs are legal in topic names"


def test_dockerfile_installs_the_lock_and_every_package_and_is_not_root() -> None:
    text = (ROOT / "Dockerfile").read_text()
    stages = re.findall(r"(?m)^FROM (\S+)", text)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(stages) == {"python:3.11-slim"}
    assert project["project"]["requires-python"] == ">=3.11"
    assert "--require-hashes -r requirements.lock" in text
    assert re.search(r"(?m)^USER k2x$", text)
    assert 'ENTRYPOINT ["k2x"]' in text
    assert "K2X_CONFIG=/etc/k2x/k2x.yaml" in text
    copied = {word for line in re.findall(r"(?m)^COPY (?!--from)(.+) \S+$", text) for word in line.split()}
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*wheel["packages"], *wheel.get("force-include", {})} <= copied
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == allowed
    assert [name for name in copied if not (ROOT / name).exists()] == []
