"""Lists with cursors, and `expand[]`, alike for all objects of the dialect."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from opsdesk.sandbox.gateway import documents
from opsdesk.sandbox.gateway.dialect import ApiError, Params, missing
from opsdesk.sandbox.gateway.documents import Document
from opsdesk.sandbox.gateway.ledger import Turn

PAGE = 10
LONGEST_PAGE = 100
BOUNDS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "="}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object: where its rows are, which column names it, how it is shown and filtered."""

    name: str
    table: str
    column: str
    url: str
    show: Callable[[sqlite3.Row], Document]
    filters: tuple[tuple[str, str], ...] = ()

    def find(
        self, turn: Turn, wanted: str, *, param: str = "id", status: int = 404, executed: bool = False
    ) -> sqlite3.Row:
        """The row with this identifier, or the dialect's refusal: 404, or 400 where a parameter named it."""
        row = turn.one(f"SELECT * FROM {self.table} WHERE {self.column} = ?", wanted)  # noqa: S608 - own names
        if row is None:
            raise missing(self.name, wanted, param=param, status=status, executed=executed)
        return row


PAYMENT_INTENTS = Kind(
    "payment_intent", "payments", "id", "/v1/payment_intents", documents.payment_intent,
    (("customer", "customer"),),
)  # fmt: skip
CHARGES = Kind(
    "charge", "payments", "charge", "/v1/charges", documents.charge,
    (("customer", "customer"), ("payment_intent", "id")),
)  # fmt: skip
REFUNDS = Kind(
    "refund", "refunds", "id", "/v1/refunds", documents.refund,
    (("charge", "charge"), ("payment_intent", "payment")),
)  # fmt: skip
EVENTS = Kind("event", "events", "id", "/v1/events", documents.event, (("type", "type"),))
CUSTOMERS = Kind("customer", "customers", "id", "/v1/customers", documents.customer, (("email", "email"),))

# Which property of which object may be expanded, and into what.
EXPANDABLE = {
    ("payment_intent", "latest_charge"): CHARGES,
    ("payment_intent", "customer"): CUSTOMERS,
    ("charge", "payment_intent"): PAYMENT_INTENTS,
    ("charge", "customer"): CUSTOMERS,
    ("refund", "charge"): CHARGES,
    ("refund", "payment_intent"): PAYMENT_INTENTS,
}


def page(turn: Turn, params: Params, kind: Kind) -> Document:
    """One page, newest first."""
    params.only("limit", "starting_after", "ending_before", "created", *(name for name, _ in kind.filters))
    limit = params.integer("limit", most=LONGEST_PAGE) or PAGE
    conditions, values = _conditions(turn, params, kind)
    backwards = "ending_before" in params
    order = "ASC" if backwards else "DESC"
    where = " AND ".join(conditions)
    rows = turn.db.execute(
        f"SELECT * FROM {kind.table} WHERE {where} ORDER BY created {order}, seq {order} LIMIT ?",  # noqa: S608
        (*values, limit + 1),
    ).fetchall()
    shown = rows[:limit]
    items = [kind.show(row) for row in (reversed(shown) if backwards else shown)]
    return documents.listing(kind.url, items, has_more=len(rows) > limit)


def _conditions(turn: Turn, params: Params, kind: Kind) -> tuple[list[str], list[object]]:
    """The WHERE of a page; every piece of SQL in it is written in this module."""
    conditions, values = [f"{kind.column} IS NOT NULL"], list[object]()
    for name, column in kind.filters:
        if (wanted := params.text(name)) is not None:
            conditions.append(f"{column} = ?")
            values.append(wanted)
    for bound, moment in params.interval("created").items():
        conditions.append(f"created {BOUNDS[bound]} ?")
        values.append(moment)
    cursors = [name for name in ("starting_after", "ending_before") if name in params]
    if len(cursors) == 2:
        raise ApiError(400, "You may only specify one of these parameters: starting_after, ending_before.")
    for name in cursors:
        row = kind.find(turn, params.required(name), param=name, status=400)
        conditions.append(f"(created, seq) {'<' if name == 'starting_after' else '>'} (?, ?)")
        values += [row["created"], row["seq"]]
    return conditions, values


def expand(turn: Turn, document: Document, paths: list[str]) -> Document:
    """Replace identifiers by their objects along `expand[]` paths such as data.latest_charge."""
    for path in paths:
        names = path.split(".")
        if len(names) > 4:
            raise ApiError(400, "You cannot expand more than 4 levels of a property.", param="expand")
        if document["object"] == "list":
            if names[0] != "data" or len(names) == 1:
                raise _not_expandable(path)
            for item in document["data"]:
                _expand_one(turn, item, names[1:], path)
        else:
            _expand_one(turn, document, names, path)
    return document


def _expand_one(turn: Turn, document: Document, names: list[str], path: str) -> None:
    first, rest = names[0], names[1:]
    if document["object"] == "charge" and first == "refunds" and not rest:
        rows = turn.db.execute(
            "SELECT * FROM refunds WHERE charge = ? ORDER BY seq DESC LIMIT 11", (document["id"],)
        ).fetchall()
        url = f"/v1/charges/{document['id']}/refunds"
        items = [documents.refund(row) for row in rows[:PAGE]]
        document["refunds"] = documents.listing(url, items, has_more=len(rows) > PAGE)
        return
    kind = EXPANDABLE.get((document["object"], first))
    if kind is None:
        raise _not_expandable(path)
    if isinstance(document[first], str):
        row = turn.one(f"SELECT * FROM {kind.table} WHERE {kind.column} = ?", document[first])  # noqa: S608
        if row is not None:
            document[first] = kind.show(row)
    if rest and isinstance(document[first], dict):
        _expand_one(turn, document[first], rest, path)


def _not_expandable(path: str) -> ApiError:
    return ApiError(400, f"This property cannot be expanded ({path}).", param="expand")
