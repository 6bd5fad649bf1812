"""Attention as heatmaps: what is drawn, what it weighs, and which colours it names."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpt.interpret.mosaic import LARGEST_TILE, VIRIDIS, pooled, tile_size, tiles
from gpt.ui.charts.maps import DIVERGING, SCALES, head_map, mosaic, packed
from tests.ui.conftest import matrix_of, unpacked

HALF_A_MEGABYTE = 500_000


def random_maps(L: int, H: int, T: int) -> np.ndarray:
    """(L, H, T, T) attention weights: random rows that sum to 1, nothing above the diagonal."""
    weights = np.tril(np.random.default_rng(T).exponential(size=(L, H, T, T)))
    return (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)


def drawn(weights: np.ndarray, **more) -> dict:
    """The mosaic of (L, H, T, T) weights."""
    L, H, T, _ = weights.shape
    return mosaic(np.stack([tiles(layer, tile_size(L, H, T)) for layer in weights]), T, **more)


def tiles_of(figure: dict) -> np.ndarray:
    """(L, H, size, size) bytes of a mosaic, cut out where its meta says they are."""
    canvas, meta = unpacked(figure["data"][0]["z"]), figure["layout"]["meta"]
    pitch, size = meta["pitch"], meta["size"]
    return np.array([[canvas[layer * pitch:layer * pitch + size, head * pitch:head * pitch + size] for head in range(meta["heads"])]
                     for layer in range(meta["layers"])])


FIGURES = {"mosaic": drawn(random_maps(2, 3, 9)), "signed": head_map(random_maps(1, 1, 9)[0, 0] - 0.1, list("abcdefghi"), signed=True),
           **{scale: head_map(random_maps(1, 1, 9)[0, 0], list("abcdefghi"), scale) for scale in SCALES}}


def test_cells_of_a_mosaic_tell_absent_zero_and_one_apart():
    tile = tiles_of(drawn(np.eye(6, dtype=np.float32)[None, None]))[0, 0]
    assert (tile[np.triu_indices(6, 1)] == 0).all()
    assert (tile[np.tril_indices(6, -1)] == 1).all()
    assert np.diag(tile).tolist() == [1, *[255] * 5]  # the first token can read nothing but itself, which says nothing


def test_weights_in_a_mosaic_are_bright_by_how_far_they_are_above_an_even_spread():
    weights = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.5, 0, 0.5, 0], [0.1, 0.2, 0.3, 0.4]], dtype=np.float32)
    tile = tiles_of(drawn(weights[None, None]))[0, 0]
    assert tile[1].tolist() == [1, 1, 0, 0]
    np.testing.assert_array_equal(tile[2], [1 + round(254 / 4), 1, 1 + round(254 / 4), 0])  # from 1/3 a quarter of the way to 1
    np.testing.assert_array_equal(tile[3], 1 + np.rint(254 * np.array([0, 0, 0.05 / 0.75, 0.15 / 0.75])))


def test_every_head_lies_where_meta_says_and_gaps_between_them_are_absent():
    maps = random_maps(2, 3, 12)
    figure = drawn(maps)
    tiles, canvas, pitch = tiles_of(figure), unpacked(figure["data"][0]["z"]), figure["layout"]["meta"]["pitch"]
    assert tiles.shape == (2, 3, 12, 12)
    for layer in range(2):
        for head in range(3):
            np.testing.assert_array_equal(tiles[layer, head], tiles_of(drawn(maps[layer:layer + 1, head:head + 1]))[0, 0])
    rows, columns = np.indices(canvas.shape)
    assert pitch > 12
    assert not canvas[(rows % pitch >= 12) | (columns % pitch >= 12)].any()


def test_layers_and_heads_are_labelled_at_the_middle_of_their_tiles():
    layout = drawn(random_maps(2, 7, 9))["layout"]
    assert layout["yaxis"]["ticktext"] == ["layer 0", "layer 1"]
    assert layout["xaxis"]["ticktext"] == list("0123456")  # "head" is left out where there are many
    pitch = layout["meta"]["pitch"]
    assert layout["xaxis"]["tickvals"] == [head * pitch + 4 for head in range(7)]
    assert layout["yaxis"]["tickvals"] == [4, pitch + 4]


@pytest.mark.parametrize("back", [0, 1], ids=["current token", "previous token"])
def test_a_diagonal_survives_shrinking(back):
    tile = tiles_of(drawn(np.eye(200, k=-back, dtype=np.float32)[None, None]))[0, 0]
    assert len(tile) == LARGEST_TILE
    assert (np.diag(tile) == 255).all()
    assert (tile[np.tril_indices(len(tile), -2)] == 1).all()


@given(st.integers(1, 300))
def test_a_mosaic_of_any_length_is_a_lower_triangle_of_bounded_size(T):
    tile = tiles_of(drawn(random_maps(1, 1, T)))[0, 0]
    assert len(tile) == min(T, len(tile)) <= LARGEST_TILE
    assert ((tile > 0) == np.tri(len(tile), dtype=bool)).all()


@pytest.mark.parametrize(("L", "H", "T"), [(12, 12, 256), (12, 12, 64), (48, 32, 40), (1, 1, 256), (24, 16, 1)])
def test_the_default_view_weighs_less_than_half_a_megabyte(L, H, T):
    figure = drawn(np.broadcast_to(np.eye(T, dtype=np.float32), (L, H, T, T)))
    about_head = head_map(random_maps(1, 1, T)[0, 0], ["·parliament"] * T)
    assert len(json.dumps(figure)) + len(json.dumps(about_head)) < HALF_A_MEGABYTE
    assert (tiles_of(figure).diagonal(axis1=2, axis2=3)[:, :, 1:] == 255).all()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("T", [1, 2, 9, 41])
def test_a_head_carries_its_exact_weights_and_nothing_above_the_diagonal(scale, T):
    weights = random_maps(1, 1, T)[0, 0]
    figure = head_map(weights, ["x"] * T, scale)
    told = matrix_of(figure)
    below, above = np.tril_indices(T), np.triu_indices(T, 1)
    np.testing.assert_array_equal(told[below], weights[below])
    assert np.isnan(told[above]).all()
    coloured = unpacked(figure["data"][0]["z"])
    assert (coloured[below] >= 1).all()
    assert (coloured[above] == 0).all()


@pytest.mark.parametrize(("scale", "wanted"), [
    ("linear", [[255, 0], [1 + 51, 1 + 203]]), ("square root", [[255, 0], [1 + 114, 1 + 227]]), ("row maximum", [[255, 0], [1 + 64, 255]]),
    ("log", [[255, 0], [1 + 195, 1 + 246]])])
def test_the_scales_colour_the_same_weights(scale, wanted):
    figure = head_map(np.array([[1, 0], [0.2, 0.8]], dtype=np.float32), ["a", "b"], scale)
    assert unpacked(figure["data"][0]["z"]).tolist() == wanted
    assert (figure["data"][0]["zmin"], figure["data"][0]["zmax"]) == (0, 255)


@pytest.mark.parametrize(("scale", "last_row"), [
    ("linear", [0.2, 0, 0.8]), ("square root", [0.2, 0, 0.8]), ("row maximum", [0.16, 0.04, 0.8])])
def test_the_colour_bar_says_which_colour_stands_for_which_weight(scale, last_row):
    weights = np.array([[1, 0, 0], [0.5, 0.5, 0], last_row], dtype=np.float32)
    figure = head_map(weights, list("abc"), scale)
    bar = figure["data"][0]["colorbar"]
    at = bar["tickvals"][bar["ticktext"].index("0.2")]
    assert unpacked(figure["data"][0]["z"])[2, 0] == pytest.approx(at, abs=0.5)
    assert bar["title"]["text"] == ("share of the row's largest" if scale == "row maximum" else "weight")


@pytest.mark.parametrize("figure", [FIGURES["mosaic"], FIGURES["linear"]], ids=["mosaic", "head"])
def test_absent_cells_are_transparent_and_zero_is_the_darkest_colour(figure):
    scale = figure["data"][0]["colorscale"]
    assert [place for place, _ in scale] == sorted(place for place, _ in scale)
    assert [colour for place, colour in scale if place * 255 < 0.5] == ["rgba(0,0,0,0)"]
    assert dict(scale)[1 / 255] == VIRIDIS[0]
    assert dict(scale)[1] == VIRIDIS[-1]


@pytest.mark.parametrize("scale", SCALES)
def test_a_head_of_256_tokens_weighs_less_than_half_a_megabyte(scale):
    labels = ["·𝔭𝔞𝔯𝔩𝔦𝔞𝔪𝔢𝔫𝔱"] * 256
    assert len(json.dumps(head_map(random_maps(1, 1, 256)[0, 0], labels, scale))) < HALF_A_MEGABYTE


def test_tiles_come_in_the_order_asked_for_and_carry_their_marks():
    maps = random_maps(2, 2, 9)
    order = [(1, 1), (0, 0), (1, 0), (0, 1)]
    figure = drawn(maps, order=order, marks={(1, 1): {"letter": "I", "text": "0.64"}})
    np.testing.assert_array_equal(tiles_of(figure).reshape(4, 9, 9), tiles_of(drawn(maps))[[1, 0, 1, 0], [1, 0, 0, 1]])
    meta = figure["layout"]["meta"]
    assert meta["places"] == [[1, 1], [0, 0], [1, 0], [0, 1]]
    assert meta["marks"] == [{"letter": "I", "text": "0.64"}, {}, {}, {}]
    assert figure["layout"]["xaxis"]["showticklabels"] is False


def test_numbers_that_may_be_negative_diverge_from_the_middle_of_the_scale():
    figure = head_map(np.array([[-2, np.nan], [0, 1]], dtype=np.float32), ["a", "b"], unit="score", limit=2, signed=True)
    assert unpacked(figure["data"][0]["z"]).tolist() == [[1, 0], [128, 1 + round(254 * 0.75)]]
    scale = dict(figure["data"][0]["colorscale"])
    assert (scale[1 / 255], scale[1]) == (DIVERGING[0], DIVERGING[-1])
    assert figure["data"][0]["colorbar"]["ticktext"] == ["-2", "0", "2"]


def test_absent_cells_below_the_diagonal_are_drawn_absent():
    figure = head_map(np.array([[np.nan, np.nan], [np.nan, 1]], dtype=np.float32), ["a", "b"], "row maximum")
    assert unpacked(figure["data"][0]["z"]).tolist() == [[0, 0], [0, 255]]


@pytest.mark.parametrize("T", [5, 7, 9])
def test_pooling_takes_the_largest_of_each_block(T):
    matrix = np.arange(T * T, dtype=np.float32).reshape(T, T)
    small = pooled(matrix, 3)
    block = -(-T // 3)
    assert small.tolist() == [[matrix[y:y + block, x:x + block].max() for x in range(0, T, block)] for y in range(0, T, block)]


def test_of_numbers_of_both_signs_pooling_takes_the_one_furthest_from_0():
    matrix = np.array([[-0.9, 0, 0, 0], [0.1, 0.2, 0, 0], [0.5, -0.4, 0.4, 0], [0.1, 0.2, -0.3, np.nan]], dtype=np.float32)
    np.testing.assert_array_equal(pooled(matrix, 2), np.array([[-0.9, 0], [0.5, 0.4]], dtype=np.float32))
    np.testing.assert_array_equal(pooled(matrix, 4), matrix)


def test_labels_of_a_head_are_kept_as_they_are():
    labels = ["<b>", "${1+1}", "`", "⏎", "שלום", "U+0000"]
    assert head_map(random_maps(1, 1, 6)[0, 0], labels)["layout"]["meta"]["labels"] == labels


def test_an_array_is_packed_row_by_row():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(unpacked(packed(array.T)), array.T)
    assert packed(array)["shape"] == "2, 3"
