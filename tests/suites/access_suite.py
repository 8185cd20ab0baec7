"""Tokens and one-time codes, on every database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from flycam.catalog.access import MAX_TOKENS_PER_ACCOUNT, Guest, hash_token
from flycam.catalog.catalog import Catalog, open_catalog
from flycam.errors import AccessDenied, InputUnusable, NotFound
from flycam.model.access import Account, OneTimeCode, Role, Scope, Token
from flycam.model.records import AuditEntry

DAY_NS = 86_400 * 10**9
NOW_NS = time.time_ns()
LAN = Account(name="Lan", role=Role.ADMIN, token_hash=hash_token("first"), created_ns=NOW_NS)
GIS = Token(
    token_id="token-gis",
    account="Lan",
    label="QGIS",
    scope=Scope.MAP,
    secret_hash=hash_token("gis"),
    made_by="Lan",
    made_ns=NOW_NS,
    expires_ns=NOW_NS + DAY_NS,
)
CODE = OneTimeCode(
    code_hash=hash_token("CODE"), account="Lan", token_id="", made_ns=NOW_NS, expires_ns=NOW_NS + DAY_NS
)


def told(what: str = "token", at_ns: int = NOW_NS) -> AuditEntry:
    return AuditEntry(who="Lan", what=what, subject="x", detail="", at_ns=at_ns)


class AccessSuite:
    """Inherit it, give `url` (an empty database) and `tamper`."""

    @pytest.fixture
    def catalog(self, url: str) -> Iterator[Catalog]:
        with open_catalog(url) as one:
            yield one

    def test_each_token_lets_its_account_in_by_its_own_scope(self, catalog: Catalog) -> None:
        catalog.accounts.put(LAN)
        catalog.tokens.put(GIS, told())
        catalog.accounts.forget()
        found = catalog.accounts.find_by_token("gis")
        assert found == replace(LAN, scope=Scope.MAP, token_hash=GIS.secret_hash)
        assert (found.token_id, found.until_ns) == (GIS.token_id, GIS.expires_ns)
        assert catalog.accounts.find_by_token("first") == LAN
        assert [one.label for one in catalog.tokens.list_valid(NOW_NS)] == ["", "QGIS"]
        assert catalog.accounts.find("Lan") == LAN
        assert catalog.accounts.find("Lan", GIS.token_id) == found
        for nobody in (("Tú",), ("La\0n",), ("Lan", "token-none"), ("Lan", "\0")):
            assert catalog.accounts.find(*nobody) is None

    def test_one_is_revoked_and_the_others_hold(self, catalog: Catalog) -> None:
        catalog.accounts.put(LAN)
        catalog.tokens.put(GIS, told())
        catalog.tokens.revoke(GIS, hash_token("seal"), told("token revoked"))
        catalog.accounts.forget()
        assert (
            catalog.accounts.find_by_token("gis") is None and catalog.accounts.find_by_token("first") == LAN
        )
        assert catalog.accounts.all() == [LAN], "what seals the other sessions stays"
        (first,) = catalog.tokens.list_valid(NOW_NS)
        catalog.tokens.revoke(first, hash_token("seal"), told("token revoked"))
        catalog.accounts.forget()
        assert catalog.accounts.find_by_token("first") is None
        assert catalog.accounts.all() == [replace(LAN, token_hash=hash_token("seal"))]
        assert [one.what for one in catalog.audit.lines()] == ["token", "token revoked", "token revoked"]

    def test_a_token_ends_by_itself(self, catalog: Catalog) -> None:
        catalog.accounts.put(LAN)
        catalog.tokens.put(replace(GIS, expires_ns=time.time_ns() - 1), told())
        catalog.accounts.forget()
        assert catalog.accounts.find_by_token("gis") is None
        assert [one.label for one in catalog.tokens.list_valid(time.time_ns(), "Lan")] == [""]

    def test_a_new_first_token_and_a_removal_end_all_of_them(self, catalog: Catalog) -> None:
        catalog.accounts.put(LAN)
        catalog.accounts.put(replace(LAN, name="Minh", token_hash=hash_token("minh")))
        catalog.tokens.put(GIS, told())
        catalog.codes.put(CODE, told("sign-in code"))
        catalog.accounts.put(replace(LAN, token_hash=hash_token("new")))
        assert [catalog.accounts.find_by_token(one) is None for one in ("first", "gis", "new")] == [
            True,
            True,
            False,
        ]
        with pytest.raises(AccessDenied, match="ended"):
            catalog.codes.spend(CODE.code_hash, NOW_NS)
        catalog.tokens.put(replace(GIS, token_id="t2", secret_hash=hash_token("gis2")), told())
        catalog.accounts.remove("Lan", "Minh", NOW_NS)
        assert [one.account for one in catalog.tokens.list_valid(NOW_NS)] == ["Minh"]
        catalog.accounts.put(LAN)
        assert catalog.accounts.find_by_token("gis2") is None, "nor with a new account of the same name"

    def test_what_was_made_with_a_token_ends_with_it_in_turn(self, catalog: Catalog) -> None:
        first, minhs = self.fill_with_descendants(catalog)
        known = catalog.tokens.find_descendants(NOW_NS)
        assert {name: made.ids for name, made in known.items()} == {
            first: {"tokens": ["t1", "t2"], "guests": ["g1", "g2", "g4"]},
            minhs: {"tokens": [], "guests": ["g3"]},
            "t1": {"tokens": ["t2"], "guests": ["g2"]},
            "t2": {"tokens": [], "guests": ["g2"]},
        }
        (stolen,) = [one for one in catalog.tokens.list_valid(NOW_NS) if one.token_id == first]
        ended = catalog.tokens.revoke(stolen, hash_token("seal"), told("token revoked"))
        assert ended.ids == {"tokens": ["t1", "t2"], "guests": ["g1", "g2", "g4"]}, "g4: may be its"
        assert {one.token_id for one in catalog.tokens.list_valid(NOW_NS)} == {minhs, "t3"}
        assert {one.guest_id for one in catalog.guests.all() if one.is_valid(NOW_NS)} == {"g3"}
        lines = [(one.what, one.subject, one.detail) for one in catalog.audit.lines()][-6:]
        assert [one[:2] for one in lines] == [
            ("token revoked", "x"),
            ("token revoked", "t1"),
            ("token revoked", "t2"),
            *(("guest revoked", one) for one in ("g1", "g2", "g4")),
        ]
        assert [one[2].rpartition(", ")[2] for one in lines[1:3]] == [f"made with {first}", "made with t1"]

    @pytest.mark.parametrize("is_removed", [False, True])
    def test_what_an_account_made_for_others_ends_with_its_tokens(
        self, catalog: Catalog, is_removed: bool
    ) -> None:
        first, minhs = self.fill_with_descendants(catalog)
        if is_removed:
            _, ended = catalog.accounts.remove("Lan", "Minh", NOW_NS)
            assert [one.token_id for one in ended.tokens] == ["t1", "t2"]
        else:
            catalog.accounts.put(replace(LAN, token_hash=hash_token("new")), told("user add"))
        held = {one.token_id for one in catalog.tokens.list_valid(NOW_NS)}
        assert minhs in held and held.isdisjoint({first, "t1", "t2"}) and len(held) == 3 - is_removed
        assert ("token revoked", "t1") in [(one.what, one.subject) for one in catalog.audit.lines()]

    def fill_with_descendants(self, catalog: Catalog) -> tuple[str, str]:
        """Lan's first token made t1 for Minh and g1, t1 made t2 and t2 g2; t3, g3 are Minh's own, and of g4,
        which is Lan's, no token is known. Ids of the first tokens of Lan and Minh."""
        for account in (LAN, replace(LAN, name="Minh", token_hash=hash_token("minh"))):
            catalog.accounts.put(account)
        lans, minhs = (one.token_id for one in catalog.tokens.list_valid(NOW_NS))
        for name, made_with in (("t1", lans), ("t2", "t1"), ("t3", None)):
            one = replace(GIS, token_id=name, account="Minh", secret_hash=name, made_with=made_with)
            catalog.tokens.put(one, told())
        for name, made_by, made_with in (
            ("g1", "Lan", lans),
            ("g2", "Minh", "t2"),
            ("g3", "Minh", minhs),
            ("g4", "Lan", None),
        ):
            catalog.guests.put(
                Guest(
                    guest_id=name,
                    secret_hash=name,
                    event_id="",
                    communes=(),
                    made_by=made_by,
                    made_ns=NOW_NS,
                    expires_ns=NOW_NS + DAY_NS,
                    made_with=made_with,
                )
            )
        return lans, minhs

    def test_whom_anothers_token_let_in_is_in_while_it_holds(self, catalog: Catalog) -> None:
        catalog.accounts.put(LAN)
        catalog.accounts.put(replace(LAN, name="Minh", token_hash=hash_token("minh")))
        catalog.tokens.put(GIS, told())
        found = catalog.accounts.find("Minh", GIS.token_id)
        assert found is not None and catalog.accounts.is_valid(found)
        assert (found.name, found.token_hash) == ("Minh", hash_token("minh"))
        assert (found.token_id, found.until_ns) == (GIS.token_id, GIS.expires_ns)
        catalog.tokens.revoke(GIS, hash_token("seal"), told("token revoked"))
        assert catalog.accounts.find("Minh", GIS.token_id) is None and not catalog.accounts.is_valid(found)

    def test_a_word_is_spent_once_and_known_to_be(self, catalog: Catalog) -> None:
        assert not catalog.codes.is_spent("word")
        spent = [catalog.codes.mark_spent("word", "Lan", NOW_NS + DAY_NS, NOW_NS) for _ in range(2)]
        assert spent == [True, False] and catalog.codes.is_spent("word") and not catalog.codes.is_spent("w")

    def test_a_token_is_somebodys_and_an_account_holds_so_many(self, catalog: Catalog) -> None:
        with pytest.raises(NotFound, match="Lan"):
            catalog.tokens.put(GIS, told())
        catalog.accounts.put(LAN)
        for number in range(MAX_TOKENS_PER_ACCOUNT - 1):
            catalog.tokens.put(replace(GIS, token_id=f"t{number}", secret_hash=f"{number}"), told())
        with pytest.raises(InputUnusable, match="revoke"):
            catalog.tokens.put(GIS, told())
        assert len(catalog.audit.lines()) == MAX_TOKENS_PER_ACCOUNT - 1, "what is refused is not told as done"

    def test_of_many_who_would_be_the_first_at_once_one_is(self, catalog: Catalog) -> None:
        def tried(name: str) -> bool:
            try:
                catalog.accounts.put_first(replace(LAN, name=name, token_hash=name), told("user add"))
            except AccessDenied as error:
                assert "an account already" in str(error)
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(tried, [f"người {n}" for n in range(8)])) == 1
        (first,) = catalog.accounts.all()
        (held,) = catalog.tokens.list_valid(NOW_NS)
        assert (held.account, held.secret_hash) == (first.name, first.token_hash)
        assert [one.what for one in catalog.audit.lines()] == ["user add"]

    def test_a_code_of_an_account_lets_in_once_and_the_newest_alone(self, catalog: Catalog) -> None:
        with pytest.raises(NotFound, match="Lan"):
            catalog.codes.put(CODE, told("sign-in code"))
        catalog.accounts.put(LAN)
        older, newer = (replace(CODE, code_hash=one) for one in "on")
        catalog.codes.put(older, told("sign-in code"))
        catalog.codes.put(newer, told("sign-in code"))
        with pytest.raises(AccessDenied, match="newer"):
            catalog.codes.spend("o", NOW_NS)
        with pytest.raises(AccessDenied, match="expired"):
            catalog.codes.spend("n", newer.expires_ns)
        assert catalog.codes.spend("n", NOW_NS) == newer
        with pytest.raises(AccessDenied, match="used already"):
            catalog.codes.spend("n", NOW_NS)
        with pytest.raises(AccessDenied, match="wrong"):
            catalog.codes.spend("x", NOW_NS)
