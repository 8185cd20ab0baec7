import numpy as np

from flycam.geometry.features import label_components


def test_parts_are_numbered_by_their_first_nodes():
    assert label_components(6, [4, 1, 3], [0, 5, 1]).tolist() == [0, 1, 2, 1, 0, 1]


def test_without_edges_each_is_a_part_of_its_own():
    assert label_components(3, np.empty(0), []).tolist() == [0, 1, 2]
