"""Checks: whether what looks like a secret or like personal data is one, and which part of it."""

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterator

__all__ = [
    "Part",
    "base64_pair",
    "card",
    "iban",
    "ip_address",
    "not_a_placeholder",
    "phone",
    "random_looking",
    "user_info",
    "weakly_assigned",
]

Part = tuple[int, int]
"""First byte and end of what is a secret, within what was found."""

_PLACEHOLDERS = re.compile(
    rb"\[REDACTED|__REDACTED__|\*{3}|hmac:|<|\$|\{|%[a-z(]|your\b|x{4}|\.\.\.|"
    rb"(?:none|null|true|false|undefined|string|str|required|optional|password|secret|token|any)$",
    re.IGNORECASE,
)
_CARD_LENGTHS = (
    (re.compile(rb"4"), (13, 16, 19)),
    (re.compile(rb"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile(rb"3[47]"), (15,)),
    (re.compile(rb"6011|65|64[4-9]|62"), (16, 17, 18, 19)),
    (re.compile(rb"35(?:2[89]|[3-8])"), (16,)),
    (re.compile(rb"3(?:0[0-5]|[689])"), (14,)),
    (re.compile(rb"50|5[6-9]|6"), (16,)),
)
_MOST_CARD_DIGITS = 19
_IBAN_LENGTHS = {
    b"AD": 24, b"AE": 23, b"AL": 28, b"AT": 20, b"AZ": 28, b"BA": 20, b"BE": 16, b"BG": 22, b"BH": 22, b"BI": 27,
    b"BR": 29, b"BY": 28, b"CH": 21, b"CR": 22, b"CY": 28, b"CZ": 24, b"DE": 22, b"DJ": 27, b"DK": 18, b"DO": 28,
    b"EE": 20, b"EG": 29, b"ES": 24, b"FI": 18, b"FK": 18, b"FO": 18, b"FR": 27, b"GB": 22, b"GE": 22, b"GI": 23,
    b"GL": 18, b"GR": 27, b"GT": 28, b"HN": 28, b"HR": 21, b"HU": 28, b"IE": 22, b"IL": 23, b"IQ": 23, b"IS": 26,
    b"IT": 27, b"JO": 30, b"KW": 30, b"KZ": 20, b"LB": 28, b"LC": 32, b"LI": 21, b"LT": 20, b"LU": 20, b"LV": 21,
    b"LY": 25, b"MC": 27, b"MD": 24, b"ME": 22, b"MK": 19, b"MN": 20, b"MR": 27, b"MT": 31, b"MU": 30, b"NI": 28,
    b"NL": 18, b"NO": 15, b"OM": 23, b"PK": 24, b"PL": 28, b"PS": 29, b"PT": 25, b"QA": 29, b"RO": 24, b"RS": 22,
    b"RU": 33, b"SA": 24, b"SC": 31, b"SD": 18, b"SE": 24, b"SI": 19, b"SK": 24, b"SM": 27, b"SO": 23, b"ST": 25,
    b"SV": 28, b"TL": 23, b"TN": 24, b"TR": 26, b"UA": 29, b"VA": 22, b"VG": 24, b"XK": 20, b"YE": 30,
}  # fmt: skip  # IBAN registry of SWIFT, release 99


def random_looking(found: bytes, whole: bytes) -> Part | None:
    """All of it, if it has a digit, or capitals and small letters mixed as words do not have them."""
    if _PLACEHOLDERS.match(found):
        return None
    core = found.strip(b".,:;-_/=+")
    has_digit = re.search(rb"[0-9]", core) is not None
    is_mixed = re.search(rb"[a-z][A-Z]+[a-z]|[A-Z]{2,}[a-z]{2,}[A-Z]", core) is not None
    return (0, len(found)) if has_digit or is_mixed else None


def not_a_placeholder(found: bytes, whole: bytes) -> Part | None:
    """All of it, unless it stands for a secret that is filled in later, or has been redacted already."""
    return None if _PLACEHOLDERS.match(found.strip()) else (0, len(found))


def weakly_assigned(found: bytes, whole: bytes) -> Part | None:
    """All of it, unless it reads like a sentence, or like code that computes the value."""
    before = whole[: whole.rfind(found)]
    if not_a_placeholder(found, whole) is None or before.endswith(b"=="):
        return None
    if before.endswith((b"=", b":")) and not found[:1].isspace():
        return (0, len(found)) if before.endswith(b"=") or random_looking(found, whole) else None
    return random_looking(found, whole) if re.search(rb"\d|[^\w.'-]", found) else None


def base64_pair(found: bytes, whole: bytes) -> Part | None:
    """All of it, if it is `user:password` in Base64."""
    padded = found.rstrip(b"=")
    try:
        decoded = base64.b64decode(padded + b"=" * (-len(padded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return (0, len(found)) if b":" in decoded else None


def user_info(found: bytes, whole: bytes) -> Part | None:
    """All of it, if it has a password, or is a token."""
    if not_a_placeholder(found, whole) is None:
        return None
    user, colon, password = found.partition(b":")
    if colon:
        return (0, len(found)) if password and not_a_placeholder(password, whole) else None
    return random_looking(found, whole) if len(user) >= 16 else None


def phone(found: bytes, whole: bytes) -> Part | None:
    """All of it, if it has as many digits as a phone number."""
    return (0, len(found)) if 8 <= sum(48 <= byte <= 57 for byte in found) <= 15 else None


def card(found: bytes, whole: bytes) -> Part | None:
    """The groups of digits that are the number of a payment card: first digits, length and check digit are right."""
    groups = [(match.start(), match.end()) for match in re.finditer(rb"\d+", found)]
    for first, (start, _) in enumerate(groups):
        for _, end in groups[first:]:
            digits = re.sub(rb"\D", b"", found[start:end])
            if len(digits) > _MOST_CARD_DIGITS:
                break
            if _is_card(digits):
                return start, end
    return None


def _is_card(digits: bytes) -> bool:
    if not any(len(digits) in lengths for prefix, lengths in _CARD_LENGTHS if prefix.match(digits)):
        return False
    if len(set(digits)) == 1:
        return False
    total = 0
    for index, byte in enumerate(reversed(digits)):
        digit = byte - 48
        total += digit if index % 2 == 0 else digit * 2 - 9 * (digit > 4)
    return total % 10 == 0


def iban(found: bytes, whole: bytes) -> Part | None:
    """The part that is an account number: as long as its country has them, and its check digits are right."""
    length = _IBAN_LENGTHS.get(found[:2].upper())
    if length is None:
        return None
    end = next((end for end, count in _ends(found) if count == length), None)
    if end is None:
        return None
    compact = re.sub(rb"[ -]", b"", found[:end]).upper()
    number = "".join(str(int(chr(byte), 36)) for byte in compact[4:] + compact[:4])
    return (0, end) if int(number) % 97 == 1 else None


def _ends(found: bytes) -> Iterator[tuple[int, int]]:
    """Each end within a text, and the letters and digits before it."""
    count = 0
    for index, byte in enumerate(found):
        count += chr(byte).isalnum()
        yield index + 1, count


def ip_address(found: bytes, whole: bytes) -> Part | None:
    """All of it, if it is an address that could be somebody's."""
    try:
        address = ipaddress.ip_address(found.decode("ascii"))
    except ValueError:
        return None
    if address.is_loopback or address.is_unspecified:
        return None
    if address.version == 6 and not (any(48 <= byte <= 57 for byte in found) and len(found) >= 6):
        return None
    return 0, len(found)
