"""Money in integer minor units with its currency; no float comes near it."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from opsdesk.lib.errors import DomainError

# ISO 4217 minor-unit exponents of the currencies the desk knows; anything else is refused, never guessed.
_TWO = [
    "AED",
    "AUD",
    "BGN",
    "BRL",
    "CAD",
    "CHF",
    "CNY",
    "COP",
    "CZK",
    "DKK",
    "EGP",
    "EUR",
    "GBP",
    "GEL",
    "HKD",
    "IDR",
    "ILS",
    "INR",
    "KES",
    "MAD",
    "MXN",
    "MYR",
    "NGN",
    "NOK",
    "NZD",
    "PEN",
    "PHP",
    "PKR",
    "PLN",
    "QAR",
    "RON",
    "RSD",
    "SAR",
    "SEK",
    "SGD",
    "THB",
    "TRY",
    "TWD",
    "UAH",
    "USD",
    "UYU",
    "ZAR",
]
EXPONENTS: dict[str, int] = {
    **dict.fromkeys(_TWO, 2),
    **dict.fromkeys(["CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF"], 0),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    "CLF": 4,
}
SYMBOLS = {"GBP": "£", "EUR": "€", "USD": "$", "JPY": "¥"}
# What a signed 8-byte column holds with room to add up many of them.
LARGEST = 10**15


class BadAmount(DomainError):
    """The text is no amount in that currency."""


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount: `minor` units (pence, cents) of `currency` (ISO 4217 code)."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if self.currency not in EXPONENTS:
            raise BadAmount(f"“{self.currency}” is not a currency the desk knows.")
        if isinstance(self.minor, bool) or not isinstance(self.minor, int):
            raise BadAmount("Minor units are whole numbers.")

    @classmethod
    def parse(cls, text: object, currency: object) -> "Money":
        """Read a decimal string such as “141.48”; refuses floats, NaN, exponents, and too many decimals."""
        if not isinstance(currency, str) or currency not in EXPONENTS:
            raise BadAmount(f"“{str(currency)[:20]}” is not a currency the desk knows.")
        if not isinstance(text, str) or len(text) > 24 or not text.isascii():
            raise BadAmount(f"“{str(text)[:24]}” is not an amount: write digits with a point, such as 12.50.")
        if not text.lstrip("-").replace(".", "", 1).isdigit() or text.endswith(".") or text.startswith((".", "-.")):
            raise BadAmount(f"“{text}” is not an amount: write digits with a point, such as 12.50.")
        try:
            minor = Decimal(text).scaleb(EXPONENTS[currency])
        except InvalidOperation as error:
            raise BadAmount(f"“{text}” is not an amount.") from error
        if minor != minor.to_integral_value():
            raise BadAmount(f"“{text}” has more decimals than {currency} has ({EXPONENTS[currency]}).")
        if abs(minor) > LARGEST:
            raise BadAmount(f"“{text}” is larger than any amount the desk accepts.")
        return cls(int(minor), currency)

    @property
    def decimal(self) -> Decimal:
        """The amount in major units, exact."""
        return Decimal(self.minor).scaleb(-EXPONENTS[self.currency])

    def _same(self, other: "Money") -> int:
        if other.currency != self.currency:
            raise BadAmount(f"{self.currency} and {other.currency} cannot be put together.")
        return other.minor

    def __add__(self, other: "Money") -> "Money":
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.minor - self._same(other), self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.minor < self._same(other)

    def __le__(self, other: "Money") -> bool:
        return self.minor <= self._same(other)

    def __str__(self) -> str:
        sign = "−" if self.minor < 0 else ""
        digits = f"{abs(self.decimal):,.{EXPONENTS[self.currency]}f}"
        symbol = SYMBOLS.get(self.currency)
        return f"{sign}{symbol}{digits}" if symbol else f"{sign}{self.currency} {digits}"
