"""No door gives withheld ground where the house lies in S3 and PostgreSQL, nor do these by themselves."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from flycam.catalog.catalog import open_catalog
from flycam.http.guards import Services
from flycam.model.access import Role
from flycam.storage.stores import open_store
from flycam.workspace import Workspace
from tests.access.test_withheld import leaks, questions, restrict
from tests.serve.running import running
from tests.serve.secret import TOKENS, build_secret
from tests.servers import S3Server

pytestmark = [pytest.mark.s3, pytest.mark.postgres]


def test_a_province_withholds_what_a_box_does(
    s3_server: S3Server, s3_url: str, postgres_url: str, tmp_path: Path
) -> None:
    with open_catalog(postgres_url) as catalog, closing(open_store(s3_url)) as store:
        house = build_secret(
            tmp_path, Workspace(store=store, catalog=catalog, box="province", cache_dir=tmp_path / "cache")
        )
        restrict(house, tmp_path)
        with running(Services(workspace=house.workspace)) as url:
            schema = httpx.get(f"{url}/api/openapi.json").json()
            addresses = list(questions(schema, house))
            assert len(leaks(url, addresses, Role.ADMIN)) > 20
            for role in set(TOKENS) - {Role.ADMIN}:
                assert leaks(url, addresses, role) == []
        prefix = s3_url.partition("?")[0].rpartition("/")[2]
        keys = list(store.list(""))
    asked = [f"{prefix}/{keys[0]}", f"{prefix}/{keys[-1]}", "", "?list-type=2", "?policy", "?acl"]
    for path in asked:
        answer = httpx.get(f"{s3_server.endpoint}/{s3_server.bucket}/{quote(path, safe='/?=')}", timeout=90)
        assert answer.status_code == 403, path
