"""Settings of a node, read once from the environment into a frozen value.

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
FLYCAM_POWER     full, low, or auto: low on battery below 50 % (default: auto); see `flycam.power`
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
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from importlib.util import find_spec
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from flycam.errors import OptionUnusable
from flycam.messages import _
from flycam.model.access import Role
from flycam.model.text import is_printable, strip_unprintable
from flycam.model.time import VIETNAM_NAME, parse_zone

# -- Recognition of loopback hosts -----------------------------------------------------------------


def is_loopback(host: str) -> bool:
    """Return True if a host is this machine alone: 127.0.0.0/8, ::1 or "localhost".

    IPv6 without brackets. False for any other name, whatever it resolves to now.
    """
    try:
        return parse_ip(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def parse_ip(text: str) -> IPv4Address | IPv6Address:
    """Parse an address, IPv6 without brackets. Raises ValueError.

    An IPv4-mapped IPv6 address (::ffff:127.0.0.1) becomes its IPv4 address, about which Python versions
    differ.
    """
    ip = ip_address(text)
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip


# -- Location of the data folder `models/` ---------------------------------------------------------
#
# Beside the package in a source tree, inside it in a wheel.


@lru_cache(maxsize=1)
def find_models_dir() -> Path:
    """Find the folder with cameras/, geoid/ and more; FileNotFoundError if there is none."""
    package = Path(__file__).resolve().parent
    for folder in (package / "models", package.parent / "models"):
        if (folder / "geoid").is_dir():
            return folder
    raise FileNotFoundError(
        "models/: the data folder is missing from this installation: install flycam again"
    )


# -- This node as a client of the province's sign-in service (OpenID Connect) ----------------------


CALLBACK_PATH = "/openid/callback"
ROLES = (Role.VIEWER, Role.OPERATOR, Role.ANALYST, Role.ADMIN)
"""Roles that a service may give, lowest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenIdClient:
    """Configured sign-in service, client credentials, and mapping of claims.

    issuer          its address, exactly as it names itself
    secret          None: a client without one; the exchange is bound by PKCE in any case
    address         of the map in browsers, "https://map.laocai.gov.vn"
    role_claim      the claim that holds one or more words; of nested claims "realm_access.roles"
    roles           the role that each of these words gives; the highest holds, without any: viewer
    communes_claim  the claim that names the communes of a person; None: everybody has all of them
    """

    issuer: str
    client_id: str
    address: str
    secret: str | None = field(default=None, repr=False)
    role_claim: str = "groups"
    roles: Mapping[str, Role] = field(default_factory=dict)
    communes_claim: str | None = None

    @property
    def redirect_uri(self) -> str:
        return f"{self.address}{CALLBACK_PATH}"


def is_secure_url(address: str) -> bool:
    """Return True if secrets may be sent there: https, or this machine itself.

    The address has no password and no fragment.
    """
    try:
        place = urlsplit(address)
        place.port  # noqa: B018  # raises for what is no number
    except ValueError:
        return False
    plain = is_printable(address) and not any(one.isspace() or one == "\\" for one in address)
    if not plain or not place.hostname or "@" in place.netloc or place.fragment:
        return False
    return place.scheme == "https" or (place.scheme == "http" and is_loopback(place.hostname))


# -- Address of a cluster's scheduler, and the cluster's certificates ------------------------------
#
# Anyone who can speak to a scheduler or a worker can run any program as its user: Dask unpickles what
# arrives. So TCP, which has no authentication, is for loopback alone; between machines it is TLS, and each
# end shows a certificate of the cluster's own authority and demands one (decision 0030).


_ADDRESS = re.compile(r"([a-z]+)://([a-z0-9.-]+|\[[0-9a-f:]+\]):(\d{1,5})")
_EVERYWHERE = (ip_network("0.0.0.0/8"), ip_network("::/128"))
_MAX_PORT = 65535


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerAddress:
    """Address of a scheduler, checked by `parse_scheduler_address`.

    host         a name or an address, IPv6 without brackets
    certificate  file (PEM) of key, certificate and authority that each end shows and demands; None: TCP
    """

    host: str
    port: int
    certificate: Path | None = None

    @property
    def protocol(self) -> str:
        return "tcp" if self.certificate is None else "tls"

    def __str__(self) -> str:
        return f"{self.protocol}://{bracket_host(self.host)}:{self.port}"


def bracket_host(host: str) -> str:
    """Format a host for an address: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def parse_scheduler_address(text: str, certificate: Path | None) -> SchedulerAddress:
    """Parse FLYCAM_CLUSTER, with FLYCAM_CLUSTER_CERTIFICATE for tls://.

    Raises OptionUnusable.
    """
    found = _ADDRESS.fullmatch(text.lower())
    protocol, host, port = found.groups() if found else ("", "", "0")
    host = host.strip("[]")
    is_address = protocol in ("tcp", "tls") and 0 < int(port) <= _MAX_PORT
    if not is_address or _is_everywhere(host):
        raise OptionUnusable(
            _(
                "FLYCAM_CLUSTER: {text}: give the address by which others reach the "
                "scheduler, such as tls://10.0.0.5:8786, or tcp://127.0.0.1:8786 on one "
                "machine",
                text=text[:80],
            )
        )
    # never resolved: a resolver may know it as another machine
    if host == "localhost":
        host = "127.0.0.1"
    if protocol == "tcp" and not is_loopback(host):
        raise OptionUnusable(
            _(
                "FLYCAM_CLUSTER: {text}: over tcp anyone who reaches that port could run any "
                "program there; write tls:// and name the file of 'flycam worker "
                "--make-certificate FILE' in FLYCAM_CLUSTER_CERTIFICATE on every machine. "
                "tcp is for 127.0.0.1 alone",
                text=text[:80],
            )
        )
    if protocol == "tls" and certificate is None:
        raise OptionUnusable(
            _(
                "FLYCAM_CLUSTER_CERTIFICATE: {text} needs it: make a file once with 'flycam "
                "worker --make-certificate FILE', copy it to every machine, and name it "
                "there",
                text=text[:80],
            )
        )
    return SchedulerAddress(host=host, port=int(port), certificate=certificate if protocol == "tls" else None)


def _is_everywhere(host: str) -> bool:
    """Return True if a host is a wildcard to listen on, which nobody can reach."""
    try:
        address = parse_ip(host)
    except ValueError:
        # as the system parses what is no name: "0" and "0x0" are 0.0.0.0
        try:
            address = ip_address(socket.inet_aton(host))
        except OSError:
            return False
    return any(address in network for network in _EVERYWHERE)


# -- Trust in a server -----------------------------------------------------------------------------
#
# Which certificates are accepted; applied by `flycam.http.client`.


AUTHORITY_PATH = "/authority.crt"
"""Path at which a server with its own authority offers that authority's certificate."""
_DIGITS = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ServerTrust:
    """Trust in a server's certificate.

    ca           a file of authorities (PEM), instead of the system's
    fingerprint  SHA-256 of the server's certificate or of its own authority's, 64 hex digits, instead of
                 either
    """

    ca: Path | None = None
    fingerprint: str | None = None


SYSTEM_TRUST = ServerTrust()


def parse_fingerprint(text: str, where: str) -> str:
    """Parse a fingerprint as people copy it into 64 hex digits.

    Raises OptionUnusable.
    """
    digits = re.sub(r"^sha-?256[:= ]|[\s:]", "", text.strip().lower())
    if not _DIGITS.fullmatch(digits):
        raise OptionUnusable(
            _(
                "{where}: {text}: give the SHA-256 fingerprint of 64 digits that 'flycam serve --tls' prints",
                where=where,
                text=text[:100],
            )
        )
    return digits


def is_token_exposed(url: str, token: str | None) -> bool:
    """Return True if a token would be sent unencrypted over a network."""
    parts = urlsplit(url)
    return bool(token) and parts.scheme == "http" and not is_loopback(parts.hostname or "")


# -- Settings of a node, and their parser ----------------------------------------------------------


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


class PowerMode(StrEnum):
    """Low power by the battery's charge, never, or always."""

    AUTO = "auto"
    FULL = "full"
    LOW = "low"


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
    for setting, prefix, extra, module in _EXTRAS:
        value = environment.get(setting, "")
        if value and value.startswith(prefix) and find_spec(module) is None:
            raise OptionUnusable(
                _(
                    "{setting}: its part of flycam is not installed; install flycam[{extra}] or leave it out",
                    setting=setting,
                    extra=extra,
                )
            )
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


_EXTRAS = (
    ("FLYCAM_DATABASE", "postgres", "postgres", "psycopg"),
    ("FLYCAM_OIDC_ISSUER", "", "oidc", "joserfc"),
    ("FLYCAM_CLUSTER", "", "cluster", "distributed"),
)
"""Setting, how a value begins that needs an extra of the package, that extra, a module that it brings."""


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
    value = environment.get("FLYCAM_FINGERPRINT", "").strip()
    fingerprint = parse_fingerprint(value, "FLYCAM_FINGERPRINT") if value else None
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
