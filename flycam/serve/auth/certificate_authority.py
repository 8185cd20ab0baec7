"""`/authority.crt`: certificate of this node's own authority. Public."""

from __future__ import annotations

from fastapi import APIRouter, Response

from flycam.errors import NotFound
from flycam.messages import _
from flycam.pipeline.server_trust import AUTHORITY_PATH
from flycam.serve.services import ServicesHere

router = APIRouter()


@router.get(AUTHORITY_PATH, response_class=Response)
def get_authority_certificate(services: ServicesHere) -> Response:
    """PEM. Needs no account: what it says is shown in every handshake, and its fingerprint proves it."""
    if services.authority is None:
        raise NotFound(
            _("this server has no authority of its own; its certificate is from elsewhere, or it has none")
        )
    return Response(
        services.authority,
        media_type="application/x-x509-ca-cert",
        headers={"Content-Disposition": 'attachment; filename="flycam-authority.crt"'},
    )
