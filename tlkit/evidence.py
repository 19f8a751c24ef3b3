"""A claim, what was measured about it, and the ledger that keeps both.

The ledger, `data/claims.toml`, holds every claim of the source assessments: what it says, where
it comes from, which lesson measures it and how. A lesson's cell calls `record` with the numbers it
has just measured. That shows a card in the notebook; the numbers go to the ledger only where the
environment variable `TLKIT_LEDGER` names a file, as `tlkit run` does, so that a reader who runs a
lesson again changes nothing in the repository.
"""

import hashlib
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from tlkit.errors import InputError
from tlkit.paths import DATA, cache_folder
from tlkit.site import templates, write_atomically

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LEDGER = DATA / "claims.toml"

_HEADER = """\
# The claims of the source assessments, in our words, and what the lessons measured about them.
# Edit lesson, claim, experiment, source and question here; `tlkit run` writes the rest.

"""
_STATED = ("lesson", "claim", "experiment", "source", "question")
_MEASURED = ("verdict", "value", "low", "high", "unit", "quantity", "seeds", "sentence")
_VERDICT = re.compile(r"holds|does not hold|holds when (?!\.\.\.|…)\S.*")
_SIGNS = {"holds": "✓", "holds when": "◐", "does not hold": "✗"}


@dataclass(frozen=True)
class Measurement:
    """What one experiment said about one claim; shows itself as a card in a notebook."""

    id: str
    claim: str
    verdict: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""
    quantity: str = ""
    seeds: int | None = None
    sentence: str = ""

    def __repr__(self) -> str:
        """The card as lines of text."""
        return "\n".join(f"{name}: {text}" for name, text in self._lines())

    def _lines(self) -> list[tuple[str, str]]:
        row = _shown(asdict(self))
        lines = [
            (f"Claim {self.id}", self.claim),
            ("Measured", f"{self.quantity}: {row['number']}" if self.quantity else row["number"]),
            ("Verdict", f"{row['sign']} {self.verdict}"),
        ]
        return [*lines, ("Better said", self.sentence)] if self.sentence else lines

    def _repr_markdown_(self) -> str:
        return "\n>\n".join(f"> **{name}:** {text}" for name, text in self._lines())

    def _repr_html_(self) -> str:
        return str(_macros().card(_shown(asdict(self))))


@dataclass(frozen=True)
class Table:
    """A table of claims that shows itself as HTML in a notebook and as lines elsewhere."""

    rows: tuple[Mapping[str, Any], ...]

    def __repr__(self) -> str:
        """One line a claim."""
        lines = [f"{row['id']}: {row['verdict']}; {row['number']}" for row in self.rows]
        return "\n".join(lines) or "No claim is recorded yet."

    def _repr_html_(self) -> str:
        return render_ledger(self.rows)


_session: dict[str, Measurement] = {}


def record(
    claim: str,
    *,
    value: float,
    low: float | None = None,
    high: float | None = None,
    verdict: str,
    sentence: str = "",
    unit: str = "",
    quantity: str = "",
    seeds: int | None = None,
) -> Measurement:
    """Records what a lesson measured about a claim.

    Args:
        claim: identifier of the claim in the ledger, such as `"A10.1"`.
        value: the number measured. A whole number is kept as it is, any other is rounded to
            three significant figures, so that the ledger changes only when the result does.
        low: lower end of its interval, in the unit of `value`. Leave out `low` and `high` for a
            number without a spread, such as a count.
        high: upper end of its interval.
        verdict: `"holds"`, `"holds when ..."` with the condition in words, or `"does not hold"`.
            Derive it from the numbers, in the same cell.
        sentence: the sentence as it should read; required unless the claim simply holds.
        unit: unit of the numbers, such as `"points"` or `"s"`.
        quantity: what the number is, such as `"accuracy, pretrained minus scratch"`.
        seeds: number of seeds over which it was measured.

    Returns:
        A `Measurement`, which a notebook shows as a card.

    Raises:
        InputError: the claim is not in the ledger, the verdict has another form, or the numbers
            are not finite or not in the order low, value, high.

    Example:
        >>> record("A10.1", value=0.3129, low=0.2514, high=0.3701, verdict="holds",
        ...        quantity="accuracy, pretrained minus scratch", seeds=5)
        Claim A10.1: Starting from a pretrained network helps most when the new task has few labels.
        Measured: accuracy, pretrained minus scratch: 0.313 [0.251, 0.370], 5 seeds
        Verdict: ✓ holds
    """
    path = ledger_path()
    known = read_ledger(path)
    if claim not in known:
        raise InputError(f"claim: {claim!r} is not in the ledger, which has {', '.join(known)}")
    _check_verdict(verdict, sentence)
    _check_numbers(value, low, high)
    if seeds is not None and not (isinstance(seeds, Integral) and seeds >= 1):
        raise InputError(f"seeds: {seeds!r} is not a whole number of at least 1")
    measurement = Measurement(
        id=claim,
        claim=known[claim]["claim"],
        verdict=verdict,
        value=_rounded(value),
        low=None if low is None else _rounded(low),
        high=None if high is None else _rounded(high),
        unit=unit,
        quantity=quantity,
        seeds=None if seeds is None else int(seeds),
        sentence=sentence,
    )
    _session[claim] = measurement
    if os.environ.get("TLKIT_LEDGER"):
        update_ledger(path, {claim: asdict(measurement)})
    return measurement


def measured() -> Table:
    """The claims recorded so far in this Python session, as a table to close a lesson with."""
    return Table(tuple(_shown(asdict(measurement)) for measurement in _session.values()))


def ledger() -> Any:
    """The whole ledger as a `pandas.DataFrame`, one row a claim, in the ledger's order.

    Returns:
        Columns id, lesson, claim, experiment, source, question and, missing until a lesson has
        measured the claim, verdict, value, low, high, unit, quantity, seeds, sentence.

    Example:
        >>> ledger().set_index("id").loc["A10.1", "lesson"]
        '07_transfer_learning'
    """
    import pandas

    return pandas.DataFrame(claims(), columns=["id", *_STATED, *_MEASURED])


def claims(path: Path | None = None) -> list[dict[str, Any]]:
    """The rows of a ledger, each with what a page shows of it: number, sign, kind, condition."""
    return [_shown({"id": name, **e}) for name, e in read_ledger(path or ledger_path()).items()]


def tally(rows: Iterable[Mapping[str, Any]]) -> str:
    """Count verdicts in rows from `claims()`.

    Example:
        >>> tally([{"kind": "holds"}, {"kind": ""}, {"kind": "holds"}])
        '2 hold, 0 hold when a condition is met, 0 do not hold, 1 not yet measured'
    """
    counts = Counter(row["kind"] for row in rows)
    words = dict(zip(_SIGNS, ("hold", "hold when a condition is met", "do not hold"), strict=True))
    return ", ".join(
        f"{counts[k]} {text}" for k, text in (words | {"": "not yet measured"}).items()
    )


def render_ledger(rows: Iterable[Mapping[str, Any]] | None = None) -> str:
    """The ledger as an HTML table: claim, what was measured, verdict, better sentence.

    Args:
        rows: rows from `claims()`; by default all of them.

    Returns:
        One `<table class="ledger">`, every text escaped.
    """
    return str(_macros().table(claims() if rows is None else rows))


def ledger_path() -> Path:
    """The ledger in force: the file that `TLKIT_LEDGER` names, else data/claims.toml."""
    return Path(os.environ.get("TLKIT_LEDGER") or LEDGER)


def read_ledger(path: Path) -> dict[str, dict[str, Any]]:
    """The claims in a ledger file by identifier; `InputError` where it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))["claims"]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise InputError(f"{path} cannot be read as a ledger of claims: {error!r}") from None


def write_ledger(path: Path, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes a ledger; the same claims give the same file to the last byte."""
    import tomli_w

    order = (*_STATED, *_MEASURED)
    tables = {
        name: {key: entry[key] for key in order if entry.get(key) not in (None, "")}
        for name, entry in entries.items()
    }
    write_atomically(path, _HEADER + tomli_w.dumps({"claims": tables}))


def update_ledger(path: Path, measurements: Mapping[str, Mapping[str, Any]]) -> None:
    """Replaces the measured part of some claims; safe while others write to the same ledger.

    Args:
        path: the ledger.
        measurements: by claim, the values of the measured columns; `{}` removes them.
    """
    from filelock import FileLock

    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    with FileLock(cache_folder() / f"ledger-{digest}.lock"):
        entries = read_ledger(path)
        for name, new in measurements.items():
            stated = {key: entries[name].get(key) for key in _STATED}
            entries[name] = stated | {key: new.get(key) for key in _MEASURED}
        write_ledger(path, entries)


def _macros() -> Any:
    return templates().get_template("ledger.html.j2").module


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the ledger with what a template shows of it: number, sign, kind, condition."""
    verdict = row.get("verdict") or ""
    kind = "holds when" if verdict.startswith("holds when") else verdict
    words = {"kind": kind, "sign": _SIGNS.get(kind, "?"), "condition": verdict[len(kind) :]}
    return {**row, **words, "number": _in_words(row)}


def _in_words(row: Mapping[str, Any]) -> str:
    """Value, interval, unit and seeds of a row in words, all numbers with the same decimals."""
    numbers = [row[key] for key in ("value", "low", "high") if row.get(key) is not None]
    if not numbers:
        return ""
    size = max(abs(number) for number in numbers)
    form = ".3g"
    if all(isinstance(number, Integral) for number in numbers) or size >= 1000:
        form = ",.0f"
    elif size >= 0.001 or size == 0:
        form = f".{3 - max(0, 1 + math.floor(math.log10(size or 1)))}f"
    value, *ends = (format(number, form) for number in numbers)
    interval = f" [{', '.join(ends)}]" if ends else ""
    unit = f" {row['unit']}" if row.get("unit") else ""
    return value + interval + unit + (f", {row['seeds']} seeds" if row.get("seeds") else "")


def _check_verdict(verdict: str, sentence: str) -> None:
    if not _VERDICT.fullmatch(verdict):
        raise InputError(
            f"verdict: {verdict!r} is none of 'holds', 'does not hold' and 'holds when' followed "
            "by the condition in words"
        )
    if verdict != "holds" and not sentence:
        raise InputError(f"sentence: the verdict {verdict!r} needs the better sentence")


def _check_numbers(value: float, low: float | None, high: float | None) -> None:
    if (low is None) != (high is None):
        raise InputError("low, high: give both ends of the interval, or neither")
    for name, number in (("value", value), ("low", low), ("high", high)):
        if number is not None and not (isinstance(number, Real) and math.isfinite(number)):
            raise InputError(f"{name}: {number!r} is not a finite number; are there enough seeds?")
    if low is not None and high is not None and not low <= value <= high:
        raise InputError(f"low, value, high: {low} <= {value} <= {high} does not hold")


def _rounded(number: float) -> float:
    return int(number) if isinstance(number, Integral) else float(f"{float(number):.3g}")
