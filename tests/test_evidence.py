import multiprocessing
import os
import shutil
from concurrent.futures import ProcessPoolExecutor

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlkit import evidence
from tlkit.errors import InputError

GOOD = {"value": 0.3, "low": 0.2, "high": 0.4, "verdict": "holds"}


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """A copy of the ledger that `record` may write to."""
    path = tmp_path / "claims.toml"
    shutil.copy(evidence.LEDGER, path)
    monkeypatch.setenv("TLKIT_LEDGER", str(path))
    return path


def test_every_claim_of_the_ledger_is_complete():
    for name, entry in evidence.read_ledger(evidence.LEDGER).items():
        for field in ("lesson", "claim", "experiment", "source", "question"):
            assert entry.get(field), f"{name} lacks {field}"
        if "verdict" in entry:
            evidence._check_verdict(entry["verdict"], entry.get("sentence", ""))


def test_the_ledger_is_as_tlkit_would_write_it(tmp_path):
    copy = tmp_path / "claims.toml"
    evidence.write_ledger(copy, evidence.read_ledger(evidence.LEDGER))
    assert copy.read_bytes() == evidence.LEDGER.read_bytes()


def test_record_leaves_the_ledger_alone_unless_asked():
    before = evidence.LEDGER.read_bytes()
    evidence.record("A10.1", **GOOD)
    assert evidence.LEDGER.read_bytes() == before


def test_record_writes_rounded_numbers_where_asked(scratch):
    evidence.record(
        "A10.1",
        value=numpy.float64(0.312949),
        low=0.25149,
        high=numpy.float32(0.37),
        verdict="holds when labels are few",
        sentence="With few labels it helps.",
        seeds=numpy.int64(3),
    )
    entry = evidence.read_ledger(scratch)["A10.1"]
    assert (entry["value"], entry["low"], entry["high"]) == (0.313, 0.251, 0.37)
    assert entry["seeds"] == 3
    others = set(evidence.read_ledger(scratch)) - {"A10.1"}
    original = evidence.read_ledger(evidence.LEDGER)
    assert all(evidence.read_ledger(scratch)[name] == original[name] for name in others)


def test_recording_the_same_again_changes_no_byte(scratch):
    evidence.record("B1", value=12.3456, low=12.01, high=12.9, verdict="holds", unit="s")
    first = scratch.read_bytes()
    evidence.record("B1", value=12.3461, low=12.013, high=12.8999, verdict="holds", unit="s")
    assert scratch.read_bytes() == first


def test_counts_are_kept_exactly(scratch):
    card = evidence.record("B1", value=138_357_544, verdict="holds")
    assert evidence.read_ledger(scratch)["B1"]["value"] == 138_357_544
    assert "138,357,544" in str(card)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"verdict": "maybe"}, "verdict: 'maybe'"),
        ({"verdict": "holds when"}, "verdict"),
        ({"verdict": "holds when ..."}, "verdict"),
        ({"verdict": "does not hold"}, "sentence"),
        ({"verdict": "holds when it rains"}, "sentence"),
        ({"low": 0.31}, "low, value, high"),
        ({"high": None}, "both ends"),
        ({"value": float("nan")}, "value"),
        ({"high": float("inf")}, "high"),
        ({"value": "0.3"}, "value"),
        ({"seeds": 0}, "seeds"),
        ({"seeds": 2.5}, "seeds"),
    ],
)
def test_what_record_refuses(changes, words, scratch):
    before = scratch.read_bytes()
    with pytest.raises(InputError, match=words):
        evidence.record("A10.1", **{**GOOD, **changes})
    assert scratch.read_bytes() == before


def test_unknown_claim_is_named_with_the_known_ones():
    with pytest.raises(InputError, match=r"'A99' is not in the ledger, which has A1\.1"):
        evidence.record("A99", **GOOD)


@pytest.mark.parametrize("text", [None, "claims = [", "other = 1"])
def test_an_unreadable_ledger_is_one_clear_error(text, tmp_path, monkeypatch):
    path = tmp_path / "claims.toml"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("TLKIT_LEDGER", str(path))
    with pytest.raises(InputError, match="cannot be read as a ledger"):
        evidence.record("A10.1", **GOOD)


@given(st.tuples(*[st.floats(-1e9, 1e9, allow_nan=False)] * 3).map(sorted))
def test_rounding_keeps_the_value_inside_its_interval(numbers):
    low, value, high = numbers
    card = evidence.record("A10.1", value=value, low=low, high=high, verdict="holds")
    assert card.low <= card.value <= card.high
    assert (card.low > 0) == (low > 0)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((0.31, 0.254, 0.37), "0.310 [0.254, 0.370]"),
        ((12.4, 11, 13.9), "12.4 [11.0, 13.9]"),
        ((0, -0.01, 0.01), "0.000 [-0.010, 0.010]"),
        ((99.9, 99.8, 100), "100 [100, 100]"),
        ((1500.0, 1400.0, 1600.0), "1,500 [1,400, 1,600]"),
        ((2e-5, 1e-5, 3e-5), "2e-05 [1e-05, 3e-05]"),
        ((0.0, 0.0, 0.0), "0.00 [0.00, 0.00]"),
    ],
)
def test_numbers_in_words(numbers, words):
    value, low, high = numbers
    card = evidence.record("A10.1", value=value, low=low, high=high, verdict="holds")
    assert words in str(card)


def test_the_card_reads_in_every_form():
    card = evidence.record(
        "A10.3",
        **{**GOOD, "verdict": "does not hold"},
        sentence="<script>alert(1)</script> & more",
        quantity="gain in accuracy",
    )
    html = card._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    for text in (html, card._repr_markdown_(), str(card), repr(card)):
        for part in ("A10.3", "does not hold", "✗", "0.300 [0.200, 0.400]", "gain in accuracy"):
            assert part in text


def test_measured_shows_this_session(monkeypatch):
    monkeypatch.setattr(evidence, "_session", {})
    assert "No claim" in repr(evidence.measured())
    evidence.record("B2", **GOOD)
    assert repr(evidence.measured()) == "B2: holds; 0.300 [0.200, 0.400]"
    assert evidence.measured()._repr_html_().count("<tr") == 2


def test_ledger_is_a_table_with_all_columns():
    table = evidence.ledger()
    assert list(table.columns[:3]) == ["id", "lesson", "claim"]
    assert {"verdict", "value", "low", "high", "unit", "seeds", "sentence"} <= set(table.columns)
    assert {"A10.1", "A10.2", "A10.3", "B1", "B2", "B3"} <= set(table["id"])


def test_rendered_ledger_has_one_row_a_claim(scratch):
    evidence.update_ledger(scratch, {"B3": {}})
    evidence.record("A10.1", **GOOD)
    html = evidence.render_ledger()
    assert html.count("<tr id=") == len(evidence.ledger())
    assert "✓ holds" in html
    assert "not yet measured" in html


def _record_in_another_process(path, claim, value):
    os.environ["TLKIT_LEDGER"] = str(path)
    evidence.record(claim, value=value, verdict="holds")


def test_writers_at_the_same_time_lose_nothing(scratch):
    claims = list(evidence.read_ledger(scratch))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        jobs = [
            pool.submit(_record_in_another_process, scratch, claim, value)
            for value in range(2)
            for claim in claims
        ]
        for job in jobs:
            job.result()
    assert all("value" in entry for entry in evidence.read_ledger(scratch).values())
    assert [path.name for path in scratch.parent.iterdir()] == ["claims.toml"]
