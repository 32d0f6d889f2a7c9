"""The dialect: error objects, form-encoded parameters, identifiers and amounts as Stripe documents them.

Messages and codes follow https://docs.stripe.com/api/errors and https://docs.stripe.com/error-codes.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl

# https://docs.stripe.com/currencies#zero-decimal and #three-decimal
ZERO_DECIMAL = frozenset(
    ("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof",
     "xpf")
)  # fmt: skip
THREE_DECIMAL = frozenset(("bhd", "jod", "kwd", "omr", "tnd"))
SIGNS = {"gbp": "£", "usd": "$", "eur": "€", "jpy": "¥"}
MAX_AMOUNT = 99_999_999_999
METADATA_KEYS, METADATA_KEY_LENGTH, METADATA_VALUE_LENGTH = 50, 40, 500

_KEY = re.compile(r"\[([^\[\]]*)\]")


class ApiError(Exception):
    """A refusal in the dialect.

    `executed` says whether the endpoint had begun its work: only then does an idempotency key keep the
    answer (https://docs.stripe.com/api/idempotent_requests).
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        executed: bool = False,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.executed = executed
        self.headers = headers
        fields = {"code": code, "message": message, "param": param, "type": kind}
        self.document = {"error": {name: value for name, value in fields.items() if value is not None}}


def missing(kind: str, wanted: str, *, param: str, status: int, executed: bool) -> ApiError:
    """The refusal for an object that does not exist."""
    message = f"No such {kind}: '{wanted}'"
    return ApiError(status, message, code="resource_missing", param=param, executed=executed)


def new_id(prefix: str) -> str:
    """An identifier nobody can guess, such as `re_5f0c…`."""
    return f"{prefix}_{secrets.token_hex(12)}"


def say_amount(amount: int, currency: str) -> str:
    """An amount of minor units in words: £20.00, ¥1,500, 9.50 CHF."""
    digits = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    whole, part = divmod(abs(amount), 10**digits)
    number = f"{whole:,}" + (f".{part:0{digits}d}" if digits else "")
    sign = "-" if amount < 0 else ""
    if currency in SIGNS:
        return f"{sign}{SIGNS[currency]}{number}"
    return f"{sign}{number} {currency.upper()}"


def nest(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Turn `metadata[order]=1&expand[]=latest_charge` into nested values."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        first, bracket, _ = name.partition("[")
        if not bracket:
            values[name] = value
            continue
        inner = _KEY.findall(name)
        if len(inner) != 1 or name != f"{first}[{inner[0]}]":
            raise ApiError(400, f"Invalid parameter name: {name}", param=name)
        if inner[0] == "":
            listed = values.setdefault(first, [])
            if not isinstance(listed, list):
                raise ApiError(400, f"Invalid array: {first}", param=first)
            listed.append(value)
        else:
            mapped = values.setdefault(first, {})
            if not isinstance(mapped, dict):
                raise ApiError(400, "Invalid object", param=first)
            mapped[inner[0]] = value
    return values


class Params:
    """The parameters of one call, read by name and type; every refusal names its parameter."""

    def __init__(self, encoded: str) -> None:
        try:
            pairs = parse_qsl(encoded, keep_blank_values=True, errors="strict", max_num_fields=1000)
        except ValueError:
            raise ApiError(400, "The parameters are not form-encoded UTF-8.") from None
        self.values = nest(pairs)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def only(self, *names: str) -> None:
        """Refuse parameters this endpoint does not know."""
        for name in self.values:
            if name not in names and name != "expand":
                raise ApiError(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)

    def text(self, name: str) -> str | None:
        """A text, or nothing when it was not sent."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise ApiError(400, f"Invalid string: {name}", param=name)
        if value == "":
            raise ApiError(
                400,
                f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a "
                f"parameter; however '{name}' cannot be unset.",
                code="parameter_invalid_empty",
                param=name,
            )
        return value

    def required(self, name: str) -> str:
        """A text that must be there."""
        value = self.text(name)
        if value is None:
            raise ApiError(400, f"Missing required param: {name}.", code="parameter_missing", param=name)
        return value

    def choice(self, name: str, *choices: str) -> str | None:
        """One of a few words."""
        value = self.text(name)
        if value is not None and value not in choices:
            listed = ", ".join(choices[:-1]) + f" or {choices[-1]}"
            raise ApiError(400, f"Invalid {name}: must be one of {listed}", param=name)
        return value

    def integer(self, name: str, *, least: int = 1, most: int = MAX_AMOUNT) -> int | None:
        """A whole number in ASCII digits; fractions, signs and other scripts are refused."""
        value = self.text(name)
        if value is None:
            return None
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise ApiError(400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=name)
        number = int(value)
        if number < least:
            wanted = "positive integer" if least == 1 else f"integer: must be at least {least}"
            raise ApiError(400, f"Invalid {wanted}", code="parameter_invalid_integer", param=name)
        if number > most:
            raise ApiError(
                400,
                f"Invalid integer: must be no more than {most}",
                code="amount_too_large" if name.startswith("amount") else "parameter_invalid_integer",
                param=name,
            )
        return number

    def flag(self, name: str) -> bool:
        """True or false, absent is false."""
        return self.choice(name, "true", "false") == "true"

    def metadata(self) -> dict[str, str] | None:
        """Key-value pairs within the documented sizes; a blank value unsets its key."""
        value = self.values.get("metadata")
        if value is None:
            return None
        if value == "":
            return {}
        if not isinstance(value, dict):
            raise ApiError(400, "Invalid metadata: metadata must be an object", param="metadata")
        if len(value) > METADATA_KEYS:
            raise ApiError(400, f"Metadata cannot have more than {METADATA_KEYS} keys", param="metadata")
        for key, text in value.items():
            if len(key) > METADATA_KEY_LENGTH:
                raise ApiError(400, f"Metadata keys are at most {METADATA_KEY_LENGTH} long", param="metadata")
            if len(text) > METADATA_VALUE_LENGTH:
                raise ApiError(
                    400,
                    f"Metadata values can have up to {METADATA_VALUE_LENGTH} characters",
                    param=f"metadata[{key}]",
                )
        return dict(value)

    def expansions(self) -> list[str]:
        """The paths of `expand[]`."""
        value = self.values.get("expand", [])
        if isinstance(value, dict) and all(place.isdecimal() for place in value):
            value = list(value.values())  # some clients write expand[0] instead of expand[]
        if not isinstance(value, list):
            raise ApiError(400, "Invalid array", param="expand")
        return value

    def interval(self, name: str) -> dict[str, int]:
        """Bounds such as created[gte]; a bare value means exactly that moment."""
        value = self.values.get(name)
        if value is None:
            return {}
        bounds = value if isinstance(value, dict) else {"eq": value}
        for bound, moment in bounds.items():
            if bound not in {"gt", "gte", "lt", "lte", "eq"} or not str(moment).isdigit():
                raise ApiError(400, f"Invalid {name} filter", param=name)
        return {bound: int(moment) for bound, moment in bounds.items()}
