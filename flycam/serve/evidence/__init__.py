"""What a place on the map rests on: the photo, the film, the report, what is blacked out."""
