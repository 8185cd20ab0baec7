"""Signing in through a sign-in service: a real provider in a process of its own, a real map."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from flycam.access.accounts import add_user, map_role, remove_user
from flycam.access.openid import OpenIdProvider
from flycam.config import OpenIdClient, read_settings
from flycam.errors import OptionUnusable, SignInUnavailable
from flycam.http.guards import Services
from flycam.model.access import Account, Role
from flycam.workspace import Workspace
from tests.ports import free_port
from tests.serve.oidc_provider import CLIENT_ID, SECRET, provider, tell
from tests.serve.running import running
from tests.serve.world import add_account, make_world

LAN = {"sub": "u-1", "preferred_username": "lan", "groups": ["đội bay", "to-bay"]}
MINH = {"sub": "u-2", "email": "minh@laocai.gov.vn", "realm_access": {"roles": ["admin"]}}
ROLES = {"to-bay": Role.OPERATOR, "phan-tich": Role.ANALYST, "quan-tri": Role.ADMIN}


@dataclass
class House:
    """A map that knows a sign-in service. clock: seconds, as the service's keys grow old by it."""

    url: str
    issuer: str
    workspace: Workspace
    service: OpenIdProvider
    clock: list[float]

    def sign_in(self, person: str = "Lan", browser: httpx.Client | None = None) -> httpx.Response:
        """What the map answers to a browser that comes back from the service."""
        with httpx.Client(timeout=90) as fresh:
            client = browser or fresh
            return client.get(self.way_back(client, person))

    def way_back(self, client: httpx.Client, person: str = "Lan") -> str:
        """Where the service sends a browser that went there and chose a person."""
        out = client.get(f"{self.url}/openid/begin")
        assert out.status_code == 303, out.text
        page = client.get(out.headers["location"])
        (link,) = re.findall(rf'href="([^"]*person={person})"', page.text)
        return client.get(f"{self.issuer}{link}").headers["location"]

    def account(self, name: str) -> Account | None:
        return next((one for one in self.workspace.catalog.accounts.all() if one.name == name), None)

    def names(self) -> set[str]:
        return {one.name for one in self.workspace.catalog.accounts.all()}

    def told(self) -> list[tuple[str, str, str]]:
        lines = self.workspace.catalog.audit.lines(limit=10_000)
        return [(one.who, one.what, one.detail) for one in lines]


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with provider() as running_there:
        yield running_there


@pytest.fixture(scope="module")
def served(issuer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    world = make_world(tmp_path_factory.mktemp("openid"))
    add_account(world.workspace, "Quản trị", Role.ADMIN, "admin-token")
    port, clock = free_port(), [0.0]
    client = OpenIdClient(
        issuer=issuer,
        client_id=CLIENT_ID,
        secret=SECRET,
        address=f"http://127.0.0.1:{port}",
        roles=ROLES,
    )
    service = OpenIdProvider(client, clock_s=lambda: clock[0])
    with running(Services(workspace=world.workspace, openid=service), port) as url:
        yield House(url, issuer, world.workspace, service, clock)


@pytest.fixture
def house(served: House) -> Iterator[House]:
    """As it is when nobody of the service has come yet, who all do as they should."""
    tell(served.issuer, "people", {"Lan": LAN, "Minh": MINH})
    tell(served.issuer, "faults", {})
    client, served.clock[0] = served.service.client, served.clock[0] + 3600.0
    yield served
    served.service.client = client
    for name in served.names() - {"Quản trị"}:
        remove_user(served.workspace, name)
        add_user(served.workspace, name, "viewer")  # lets in again whoever was barred


def test_a_person_gets_an_account_and_comes_back_to_it(house: House) -> None:
    with httpx.Client(timeout=90) as browser:
        answer = house.sign_in("Lan", browser)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        said = browser.get(f"{house.url}/api/session").json()["account"]
    name = "lan@127.0.0.1"
    assert said == {"name": name, "role": "operator"}
    first = house.account(name)
    assert first is not None and first.communes == ()
    assert (name, "user by sign-in service", f"operator, u-1 of {house.issuer}") in house.told()
    assert house.told()[-1][:2] == (name, "login by sign-in service")
    tell(house.issuer, "people", {"Lan": {**LAN, "preferred_username": "lan.nguyen", "groups": "phan-tich"}})
    assert house.sign_in().status_code == 303
    assert house.account(name) == replace(first, role=Role.ANALYST), "known by subject, not by name"
    assert house.account("lan.nguyen@127.0.0.1") is None
    lines = len(house.told())
    assert house.sign_in().status_code == 303
    assert [one[1] for one in house.told()[lines:]] == ["login by sign-in service"]


def test_a_name_that_somebody_has_is_not_given_to_another(house: House) -> None:
    add_account(house.workspace, "quan@tri", Role.ADMIN, "another-token")
    tell(house.issuer, "people", {"Lan": {"sub": "u-9", "preferred_username": "quan@tri"}})
    with httpx.Client(timeout=90) as browser:
        assert house.sign_in("Lan", browser).status_code == 303
        said = browser.get(f"{house.url}/api/session").json()["account"]
    assert said == {"name": "quan@tri (2)", "role": "viewer"}


@pytest.mark.parametrize(
    "faults",
    [
        {"claims": {"nonce": "another"}},
        {"claims": {"nonce": None}},
        {"claims": {"aud": "another map"}},
        {"claims": {"aud": [CLIENT_ID, "another map"], "azp": "another map"}},
        {"claims": {"iss": "https://id.example"}},
        {"claims": {"exp": 1_700_000_000}},
        {"claims": {"iat": 4_000_000_000}},
        {"claims": {"at_hash": "another"}},
        {"claims": {"sub": ""}},
        {"signature": "none"},
        {"signature": "public key as secret"},
        {"signature": "another key"},
    ],
    ids=str,
)
def test_what_is_not_proven_lets_nobody_in(house: House, faults: dict[str, Any]) -> None:
    before = house.names()
    tell(house.issuer, "people", {"Lan": {**LAN, "sub": "u-3"}})
    tell(house.issuer, "faults", faults)
    with httpx.Client(timeout=90) as browser:
        answer = house.sign_in("Lan", browser)
        assert (answer.status_code, answer.json()["error"]) == (403, "AccessDenied")
        assert browser.get(f"{house.url}/api/session").status_code == 401
    assert house.names() == before
    tell(house.issuer, "faults", {})
    assert house.sign_in().status_code == 303


def test_the_way_back_is_met_in_the_browser_that_went_out_and_once(house: House) -> None:
    with httpx.Client(timeout=90) as browser, httpx.Client(timeout=90) as thief:
        back = house.way_back(browser)
        house.way_back(thief)  # has a way out of its own
        assert thief.get(back).status_code == 403, "another's code"
        assert httpx.get(back).status_code == 403, "nobody's"
        assert browser.get(re.sub("state=[^&]+", "state=x", back)).status_code == 403
        refused = browser.get(re.sub("code=[^&]+", "error=access_denied", back))
        assert refused.status_code == 403 and "access_denied" in refused.json()["message"]
        asked = re.sub("code=[^&]+", "error=<script>", back)
        page = browser.get(asked, headers={"Accept": "text/html"})
        assert page.status_code == 403 and "(&lt;script&gt;)" in page.text and "<script" not in page.text
        kept = dict(browser.cookies)
        assert browser.get(back).status_code == 303
        assert "flycam_openid" not in browser.cookies
        assert httpx.get(back, cookies=kept).status_code == 403, "the service takes a code once"


def test_whoever_was_taken_away_stays_out_until_let_in_again(house: House) -> None:
    with httpx.Client(timeout=90) as browser:
        assert house.sign_in("Lan", browser).status_code == 303
        name = browser.get(f"{house.url}/api/session").json()["account"]["name"]
    remove_user(house.workspace, name)
    answer = house.sign_in()
    assert answer.status_code == 403 and shlex.quote(name) in answer.json()["message"]
    assert name not in house.names()
    add_user(house.workspace, name, "viewer")
    assert house.sign_in().status_code == 303


def test_communes_are_those_of_the_claim_and_without_it_nobody_comes_in(house: House) -> None:
    house.service.client = replace(house.service.client, communes_claim="xa")
    (first, name), (second, _) = list(house.workspace.catalog.boundaries.names().items())[:2]
    for said, communes in (([name, second], (first, second)), (first, (first,)), ("all", ())):
        tell(house.issuer, "people", {"Lan": {**LAN, "sub": "u-4", "preferred_username": "xa", "xa": said}})
        assert house.sign_in().status_code == 303
        account = house.account("xa@127.0.0.1")
        assert account is not None and account.communes == communes
    for said in (None, "", [], "không có", 7):
        tell(house.issuer, "people", {"Lan": {**LAN, "sub": "u-5", "xa": said}})
        answer = house.sign_in()
        assert (answer.status_code, answer.json()["error"]) == (403, "AccessDenied")


def test_a_new_key_is_learnt_and_not_asked_for_at_every_nonsense(house: House) -> None:
    assert house.sign_in().status_code == 303
    httpx.post(f"{house.issuer}/rotate").raise_for_status()
    assert house.sign_in().status_code == 403, "read a moment ago"
    house.clock[0] += 61.0
    assert house.sign_in().status_code == 303


def test_a_service_that_does_not_answer_or_lies_is_told_and_tokens_still_work(house: House) -> None:
    asked = {"state": "s", "nonce": "n", "verifier": "v" * 43}
    for document, why in (
        ({"issuer": "https://id.example"}, "names itself https://id.example"),
        ({"token_endpoint": "http://10.0.0.1/token"}, "token_endpoint"),
        ({"jwks_uri": "file:///etc/passwd"}, "jwks_uri"),
        ({"authorization_endpoint": None}, "authorization_endpoint"),
    ):
        tell(house.issuer, "faults", {"document": document})
        with pytest.raises(SignInUnavailable, match=why):
            OpenIdProvider(house.service.client).begin(**asked)
    gone = replace(house.service.client, issuer=f"http://127.0.0.1:{free_port()}")
    with running(Services(workspace=house.workspace, openid=OpenIdProvider(gone))) as url:
        answer = httpx.get(f"{url}/openid/begin", params={"lang": "en"}, headers={"Accept": "text/html"})
        assert answer.status_code == 503 and answer.headers["content-type"].startswith("text/html")
        assert "does not answer" in answer.text and '<a href="/">' in answer.text
        assert httpx.post(f"{url}/api/login", json={"token": "admin-token"}).status_code == 200


def test_a_house_without_any_account_is_closed_by_nobody_who_comes(issuer: str, tmp_path: Path) -> None:
    tell(issuer, "people", {"Lan": LAN})
    tell(issuer, "faults", {})
    workspace, port = make_world(tmp_path).workspace, free_port()
    client = OpenIdClient(
        issuer=issuer, client_id=CLIENT_ID, secret=SECRET, address=f"http://127.0.0.1:{port}"
    )
    service = OpenIdProvider(client)
    with running(Services(workspace=workspace, openid=service), port) as url:
        answer = House(url, issuer, workspace, service, []).sign_in()
        assert answer.status_code == 403 and "--role admin" in answer.json()["message"]
        assert workspace.catalog.accounts.all() == []
        assert httpx.get(f"{url}/api/session").json()["open"] is True


CONFIGURED = {
    "FLYCAM_OIDC_ISSUER": "https://id.laocai.gov.vn/realms/tinh/",
    "FLYCAM_OIDC_CLIENT": "flycam",
    "FLYCAM_OIDC_ADDRESS": "https://map.laocai.gov.vn/",
}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("FLYCAM_OIDC_ISSUER", "http://id.laocai.gov.vn"),
        ("FLYCAM_OIDC_ISSUER", "id.laocai.gov.vn"),
        ("FLYCAM_OIDC_ISSUER", "https://lan:1@id.laocai.gov.vn"),
        ("FLYCAM_OIDC_ISSUER", "https://id.laocai.gov.vn?x=1"),
        ("FLYCAM_OIDC_ISSUER", "https://id:port"),
        ("FLYCAM_OIDC_ADDRESS", ""),
        ("FLYCAM_OIDC_ADDRESS", "http://10.0.0.5:8000"),
        ("FLYCAM_OIDC_CLIENT", " "),
        ("FLYCAM_OIDC_ROLES", "to-bay=boss"),
        ("FLYCAM_OIDC_ROLES", "to-bay=box"),
        ("FLYCAM_OIDC_ROLES", "admin"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(name: str, wrong: str) -> None:
    with pytest.raises(OptionUnusable, match=name):
        read_settings({**CONFIGURED, name: wrong})


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({}, Role.VIEWER),
        ({"groups": None}, Role.VIEWER),
        ({"groups": ["admin", "ADMIN", "Quan-Tri", 7]}, Role.VIEWER),
        ({"groups": ["to-bay", "phan-tich"]}, Role.ANALYST),
        ({"groups": "to-bay, quan-tri"}, Role.ADMIN),
        ({"role": "quan-tri"}, Role.VIEWER),
    ],
)
def test_a_role_is_given_by_the_words_of_its_claim_alone(claims: dict[str, Any], role: Role) -> None:
    client = OpenIdClient(issuer="https://id", client_id="c", address="https://map", roles=ROLES)
    assert map_role(client, claims) is role
