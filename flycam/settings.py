"""Settings: the environment is read once, here, and becomes one frozen value.

FLYCAM_DATA      data folder, where flycam keeps everything (default ./flycam-data)
FLYCAM_STORE     file:///… or s3://bucket/prefix?endpoint=http://… (default: DATA/store)
FLYCAM_DATABASE  postgresql+psycopg://user@host/name (default: SQLite in the data folder); its password as
                 PostgreSQL's own programs take it: PGPASSWORD, PGPASSFILE
FLYCAM_BOX       name of this node in the tile log (default: the host's name)
FLYCAM_OPERATOR  who flies and uploads here, written into every flight
FLYCAM_LETTERHEAD  letterhead of documents, JSON or YAML (default: dots to fill in)
FLYCAM_LANGUAGE  "vi" or "en": language of packs and reports that commands make (default: vi)
FLYCAM_TIME_ZONE IANA time zone in which times are shown and read (default: Asia/Ho_Chi_Minh)
FLYCAM_CORS_ORIGINS origins of pages that may read from the server, "https://gis.laocai.gov.vn,…"
                 (default: none)
FLYCAM_TRUSTED_PROXIES  proxies whose statement of a request's address and scheme is trusted,
                    "10.0.0.5,10.1.0.0/24" (default: this machine)
FLYCAM_AUDIT_KEYS  public keys of other nodes that write into the same database (default: none)
FLYCAM_OIDC_ISSUER  the province's own sign-in service, "https://id.laocai.gov.vn" (default: none); with it go
                    FLYCAM_OIDC_CLIENT, FLYCAM_OIDC_ADDRESS (of the map, as browsers call it),
                    FLYCAM_OIDC_SECRET (default: none), FLYCAM_OIDC_ROLES "word=role,…" (default: viewers),
                    FLYCAM_OIDC_ROLE_CLAIM (default: groups), FLYCAM_OIDC_COMMUNES_CLAIM (default: for all)
FLYCAM_POWER     full, low, or auto: low on battery below 50 % (default: auto); see `pipeline.power`
FLYCAM_LAYER_HOSTS  hosts that layers may be fetched from, "gis.evn.vn,10.0.0.5:8080" (default: none)
FLYCAM_CLUSTER   scheduler of the machines that ingest and finish, "tls://10.0.0.5:8786", or on one machine
                 "tcp://127.0.0.1:8786" (default: only this process)
FLYCAM_CLUSTER_CERTIFICATE  file that lets a machine into the cluster, made by `worker --make-certificate`
FLYCAM_TLS       on: serve the map over HTTPS, by this node's own certificate authority (default: off)
FLYCAM_TLS_NAMES more names and addresses by which others reach this node, "map.laocai.gov.vn,10.0.0.5"
FLYCAM_TLS_CERTIFICATE, FLYCAM_TLS_KEY  files of an external certificate and of its key (PEM)
FLYCAM_REQUEST_LOG  where `serve` writes a line of JSON for each request: a file, or - for standard output
                 (default: nowhere)
FLYCAM_CAP_SENDER  sender of CAP messages, "pccr@laocai.gov.vn": the same for every node of the office
                 (default: this node's name). They stay drafts
FLYCAM_CA        file of the certificate authorities (PEM) trusted for other nodes (default: the system's)
FLYCAM_FINGERPRINT  SHA-256 of the certificate, or of its authority, of the one server that this node speaks
                    to
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flycam.catalog.records import Role
from flycam.errors import OptionUnusable
from flycam.frame.text_normalization import strip_unprintable
from flycam.frame.timestamp import VIETNAM_NAME, parse_zone
from flycam.messages import _
from flycam.pipeline.access.openid_client import ROLES, OpenIdClient, is_secure_url
from flycam.pipeline.cluster.address import SchedulerAddress, parse_scheduler_address
from flycam.pipeline.power import PowerMode
from flycam.pipeline.server_trust import SYSTEM_TRUST, ServerTrust, parse_fingerprint

DEFAULT_DATA = "flycam-data"
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::\d{1,5})?")
_CAP_SENDER = re.compile(r"[A-Za-z0-9._+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}")
_AUDIT_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsSettings:
    """HTTPS settings of the map server.

    names             by which others reach it, beside those that the machine knows
    certificate, key  external files; None: the node's own certificate authority
    """

    is_on: bool = False
    names: frozenset[str] = frozenset()
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Settings of a node: where it keeps its data and how it is called."""

    data_dir: Path
    store_url: str
    database_url: str
    node_name: str
    operator: str | None
    layer_hosts: frozenset[str] = frozenset()
    letterhead: Path | None = None
    time_zone: str = VIETNAM_NAME
    cors_origins: frozenset[str] = frozenset()
    trusted_proxies: tuple[str, ...] | None = None
    audit_keys: frozenset[str] = frozenset()
    openid: OpenIdClient | None = None
    power: PowerMode = PowerMode.AUTO
    cluster: SchedulerAddress | None = None
    # frozen, so safe as a default
    tls: TlsSettings = TlsSettings()
    trust: ServerTrust = SYSTEM_TRUST
    request_log: str | None = None
    cap_sender: str = ""


def read_settings(environment: Mapping[str, str], data_dir: str | None = None) -> Settings:
    """Read settings from the environment.

    `data_dir` (the --data option) takes precedence over FLYCAM_DATA.
    """
    folder = Path(data_dir or environment.get("FLYCAM_DATA") or DEFAULT_DATA).expanduser().resolve()
    return Settings(
        data_dir=folder,
        store_url=environment.get("FLYCAM_STORE") or (folder / "store").as_uri(),
        database_url=environment.get("FLYCAM_DATABASE") or f"sqlite:///{folder / 'catalog.sqlite'}",
        node_name=strip_unprintable(environment.get("FLYCAM_BOX", "")) or socket.gethostname(),
        operator=strip_unprintable(environment.get("FLYCAM_OPERATOR", "")) or None,
        letterhead=_file(environment, "FLYCAM_LETTERHEAD"),
        time_zone=_time_zone(environment.get("FLYCAM_TIME_ZONE", "").strip() or VIETNAM_NAME),
        layer_hosts=_parse_list(environment, "FLYCAM_LAYER_HOSTS"),
        audit_keys=frozenset(map(_audit_key, _parse_list(environment, "FLYCAM_AUDIT_KEYS"))),
        openid=_openid(environment),
        power=_power(environment.get("FLYCAM_POWER") or PowerMode.AUTO),
        cluster=_cluster(environment),
        trusted_proxies=tuple(sorted(map(_proxy, _parse_list(environment, "FLYCAM_TRUSTED_PROXIES"))))
        or None,
        tls=_tls(environment),
        trust=_trust(environment),
        cap_sender=_cap_sender(environment.get("FLYCAM_CAP_SENDER", "").strip()),
        request_log=environment.get("FLYCAM_REQUEST_LOG", "").strip() or None,
        cors_origins=frozenset(map(_origin, _parse_list(environment, "FLYCAM_CORS_ORIGINS"))),
    )


def _power(text: str) -> PowerMode:
    try:
        return PowerMode(text.strip().lower())
    except ValueError:
        raise OptionUnusable(_("FLYCAM_POWER: {text}: give full, low, or auto", text=text[:80])) from None


def _time_zone(name: str) -> str:
    try:
        parse_zone(name)
    except ValueError as error:
        raise OptionUnusable(
            _(
                "FLYCAM_TIME_ZONE: {name}: no such zone here; give an IANA name such as {vietnam_name}",
                name=strip_unprintable(name)[:80],
                vietnam_name=VIETNAM_NAME,
            )
        ) from error
    return name


def _cap_sender(text: str) -> str:
    """Check a CAP sender against CAP 1.2 (3.2.1).

    No spaces, commas, < or &; with a name and a domain, so that it belongs to one sender alone.
    """
    if not text or _CAP_SENDER.fullmatch(text):
        return text
    raise OptionUnusable(
        _(
            "FLYCAM_CAP_SENDER: {text}: give who sends as NAME@DOMAIN, such as "
            "pccr@laocai.gov.vn, without spaces, commas, < and &",
            text=text[:80],
        )
    )


def _parse_list(environment: Mapping[str, str], name: str) -> frozenset[str]:
    return frozenset(filter(None, map(str.strip, environment.get(name, "").split(","))))


def _cluster(environment: Mapping[str, str]) -> SchedulerAddress | None:
    text = environment.get("FLYCAM_CLUSTER", "").strip()
    certificate = _file(environment, "FLYCAM_CLUSTER_CERTIFICATE")
    return parse_scheduler_address(text, certificate) if text else None


def _tls(environment: Mapping[str, str]) -> TlsSettings:
    word = environment.get("FLYCAM_TLS", "").strip().lower() or "off"
    certificate, key = _file(environment, "FLYCAM_TLS_CERTIFICATE"), _file(environment, "FLYCAM_TLS_KEY")
    if word not in ("on", "off"):
        raise OptionUnusable(_("FLYCAM_TLS: {word}: give on or off", word=word[:80]))
    return TlsSettings(
        is_on=word == "on",
        names=_parse_list(environment, "FLYCAM_TLS_NAMES"),
        certificate=certificate,
        key=key,
    )


def _trust(environment: Mapping[str, str]) -> ServerTrust:
    said = environment.get("FLYCAM_FINGERPRINT", "").strip()
    fingerprint = parse_fingerprint(said, "FLYCAM_FINGERPRINT") if said else None
    return ServerTrust(ca=_file(environment, "FLYCAM_CA"), fingerprint=fingerprint)


def _file(environment: Mapping[str, str], name: str) -> Path | None:
    text = environment.get(name)
    return Path(text).expanduser() if text else None


def _audit_key(text: str) -> str:
    key = text.lower()
    if not _AUDIT_KEY.fullmatch(key):
        raise OptionUnusable(
            _(
                "FLYCAM_AUDIT_KEYS: {text}: give keys of 64 digits as 'flycam audit verify' prints them",
                text=text[:80],
            )
        )
    return key


def _openid(environment: Mapping[str, str]) -> OpenIdClient | None:
    issuer = environment.get("FLYCAM_OIDC_ISSUER")
    if not issuer:
        return None
    address = environment.get("FLYCAM_OIDC_ADDRESS", "").removesuffix("/")
    for name, value in (("FLYCAM_OIDC_ISSUER", issuer), ("FLYCAM_OIDC_ADDRESS", address)):
        if not is_secure_url(value) or "?" in value:
            raise OptionUnusable(
                _(
                    "{name}: {value}: give an address such as https://id.laocai.gov.vn; http "
                    "is for this machine only",
                    name=name,
                    value=value[:200],
                )
            )
    client_id = environment.get("FLYCAM_OIDC_CLIENT", "").strip()
    if not client_id:
        raise OptionUnusable(
            _("FLYCAM_OIDC_CLIENT: give the name under which the sign-in service knows this map")
        )
    return OpenIdClient(
        issuer=issuer,
        client_id=client_id,
        address=address,
        secret=environment.get("FLYCAM_OIDC_SECRET") or None,
        role_claim=environment.get("FLYCAM_OIDC_ROLE_CLAIM") or "groups",
        roles=dict(map(_role_of_word, _parse_list(environment, "FLYCAM_OIDC_ROLES"))),
        communes_claim=environment.get("FLYCAM_OIDC_COMMUNES_CLAIM") or None,
    )


def _role_of_word(text: str) -> tuple[str, Role]:
    word, __, role = (part.strip() for part in text.rpartition("="))
    if not word or role not in ROLES:
        raise OptionUnusable(
            _(
                "FLYCAM_OIDC_ROLES: {text}: give word=role, commas between; roles: {roles}",
                text=text[:80],
                roles=", ".join(ROLES),
            )
        )
    return word, Role(role)


def _proxy(text: str) -> str:
    """Return a proxy's address or network as written.

    "*" is refused: any client could then claim any address.
    """
    try:
        return str(ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text))
    except ValueError as error:
        raise OptionUnusable(
            _(
                "FLYCAM_TRUSTED_PROXIES: {text}: give addresses or networks such as 10.0.0.5,10.1.0.0/24",
                text=text[:80],
            )
        ) from error


def _origin(text: str) -> str:
    """Return an origin as browsers send it.

    "*" is refused: a node without accounts would be open to every page.
    """
    origin = text.lower().removesuffix("/")
    if not _ORIGIN.fullmatch(origin):
        raise OptionUnusable(
            _(
                "FLYCAM_CORS_ORIGINS: {text}: give sites such as https://gis.laocai.gov.vn, commas between",
                text=text,
            )
        )
    return origin
