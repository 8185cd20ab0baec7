"""Events, flights and what became of their frames, as the map reads them."""

from __future__ import annotations

import httpx

from tests.serve.world import BASE_ZOOM, MIN_ZOOM, World


def test_flights_are_newest_first_and_carry_what_a_screen_needs(client: httpx.Client, world: World) -> None:
    flights = client.get("/api/flights").json()
    assert [flight["flight_id"] for flight in flights] == [world.drill, world.after, world.before]
    assert [flight["is_drill"] for flight in flights] == [True, False, False]
    after = flights[1]
    assert after["last"] == "2024-09-10T03:15:20.000Z"
    mosaic = after["mosaics"][0]
    assert (mosaic["layer"], mosaic["base_zoom"], mosaic["min_zoom"]) == ("colour", BASE_ZOOM, MIN_ZOOM)
    assert mosaic["seq"] == world.workspace.catalog.tiles.last_seq(mosaic["mosaic_id"])
    names = [commune["name"] for commune in after["communes"]]
    assert "Bản Liền" in names
    assert all(0 < commune["covered_pct"] <= 100 for commune in after["communes"])


def test_a_flight_counts_its_frames_by_fate_and_reason(client: httpx.Client, world: World) -> None:
    flight = client.get(f"/api/flights/{world.after}").json()
    assert flight["frames"] == {"used": 6, "withdrawn": 0, "rejected": {"too_blurred": 1}}
    by_name = client.get("/api/flights/Thung lũng Nậm Lúc – sau bão").json()
    assert by_name["flight_id"] == world.after


def test_tilejson_points_at_the_tiles_and_marks_a_drill(client: httpx.Client, world: World) -> None:
    mosaic = world.mosaic_of(world.drill)
    document = client.get(f"/tilejson/{mosaic.mosaic_id}").json()
    assert document["name"].startswith("DIỄN TẬP")
    assert (document["minzoom"], document["maxzoom"]) == (MIN_ZOOM, BASE_ZOOM)
    head = world.workspace.catalog.tiles.heads(mosaic.mosaic_id, 0, z=BASE_ZOOM)[0].tile_id
    url = document["tiles"][0].format(z=head.z, x=head.x, y=head.y)
    assert httpx.get(url).status_code == 200
    assert (
        not client.get(f"/tilejson/{world.mosaic_of(world.after).mosaic_id}").json()["name"].startswith("D")
    )
