from flycam.geometry.features import label_components


def test_parts_are_numbered_by_their_first_nodes():
    assert label_components(6, [4, 1, 3], [0, 5, 1]).tolist() == [0, 1, 2, 1, 0, 1]
