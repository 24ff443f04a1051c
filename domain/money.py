"""Money is a value, never a number: whole base units of one asset. Mixing assets raises; rounding is spoken."""

import re
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal, localcontext

from domain.asset import Asset
from domain.errors import Refused

# 78 digits hold any uint256; nothing a network can carry is larger.
UNITS_MAX = 2**256 - 1
_PLAIN = re.compile(r"^[0-9]{1,78}(\.[0-9]{1,36})?$")


@dataclass(frozen=True, slots=True)
class Amount:
    """`units` whole base units of `asset`. May be negative only as the difference of two amounts."""

    units: int
    asset: Asset

    def __post_init__(self) -> None:
        if type(self.units) is not int:
            raise TypeError(f"money is whole base units, not {type(self.units).__name__}")
        if abs(self.units) > UNITS_MAX:
            raise OverflowError("amount exceeds 2**256 - 1 base units")

    @classmethod
    def parse(cls, text: str, asset: Asset) -> "Amount":
        """The amount a client wrote, such as "12.5". Plain digits only: no sign, exponent, comma or space.

        Raises Refused AMOUNT_MALFORMED, or AMOUNT_TOO_PRECISE when the asset has fewer decimals than were written.
        """
        if not isinstance(text, str) or not _PLAIN.fullmatch(text):
            raise Refused(
                "AMOUNT_MALFORMED",
                'Write the amount as a string of plain digits, such as "12.5".',
                asset=asset.id,
            )
        whole, _, fraction = text.partition(".")
        fraction = fraction.rstrip("0")
        if len(fraction) > asset.decimals:
            raise Refused(
                "AMOUNT_TOO_PRECISE",
                f"{asset.code} on {asset.network} has {asset.decimals} decimals; write no more than that.",
                asset=asset.id,
                decimals=asset.decimals,
            )
        units = int(whole) * 10**asset.decimals + int(fraction.ljust(asset.decimals, "0") or "0")
        if units > UNITS_MAX:
            raise Refused("AMOUNT_TOO_LARGE", "No network can carry this amount; write a smaller one.", asset=asset.id)
        return cls(units, asset)

    @classmethod
    def zero(cls, asset: Asset) -> "Amount":
        return cls(0, asset)

    def text(self) -> str:
        """The amount in whole coins as a plain decimal string, without trailing zeros: "12.5"."""
        sign, digits = ("-" if self.units < 0 else ""), str(abs(self.units)).rjust(self.asset.decimals + 1, "0")
        cut = len(digits) - self.asset.decimals
        fraction = digits[cut:].rstrip("0")
        return f"{sign}{digits[:cut]}" + (f".{fraction}" if fraction else "")

    def portion(self, rate: Decimal, *, rounding: str = ROUND_DOWN) -> "Amount":
        """`rate` of this amount (0.001 is a tenth of a percent), rounded to base units as spoken."""
        if rounding not in (ROUND_DOWN, ROUND_UP):
            raise ValueError("round DOWN or UP, and say which")
        with localcontext() as context:
            context.prec = 120  # a uint256 has 78 digits; the product must be exact before it is rounded
            return Amount(int((Decimal(self.units) * rate).to_integral_value(rounding=rounding)), self.asset)

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.units + self._same(other), self.asset)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.units - self._same(other), self.asset)

    def __neg__(self) -> "Amount":
        return Amount(-self.units, self.asset)

    def __lt__(self, other: "Amount") -> bool:
        return self.units < self._same(other)

    def __le__(self, other: "Amount") -> bool:
        return self.units <= self._same(other)

    def __gt__(self, other: "Amount") -> bool:
        return self.units > self._same(other)

    def __ge__(self, other: "Amount") -> bool:
        return self.units >= self._same(other)

    def __bool__(self) -> bool:
        return self.units != 0

    def __str__(self) -> str:
        return f"{self.text()} {self.asset.code}"

    def _same(self, other: "Amount") -> int:
        if self.asset != other.asset:
            raise TypeError(f"cannot mix {self.asset.id} with {other.asset.id}")
        return other.units
