"""What a key reads: `dk_<id>_<secret>`.

The prefix lets scanners find leaked ones; the id is public.
"""

import re
import secrets
import string
from typing import Final

_BASE62: Final = string.digits + string.ascii_letters
_ID_LENGTH: Final = 12
_SECRET_BYTES: Final = 32
_SECRET_LENGTH: Final = 43  # 62^43 > 2^256
_KEY: Final = re.compile(rf"dk_([0-9A-Za-z]{{{_ID_LENGTH}}})_[0-9A-Za-z]{{{_SECRET_LENGTH}}}")


def drawn_id() -> str:
    return "".join(secrets.choice(_BASE62) for _ in range(_ID_LENGTH))


def drawn_secret() -> bytes:
    return secrets.token_bytes(_SECRET_BYTES)


def key_text(key_id: str, secret: bytes) -> str:
    """`secret` is 32 bytes."""
    number, digits = int.from_bytes(secret), ""
    for _ in range(_SECRET_LENGTH):
        number, digit = divmod(number, len(_BASE62))
        digits += _BASE62[digit]
    return f"dk_{key_id}_{digits}"


def id_in(text: str | None) -> str | None:
    """The id in a key's text; None where it can't be one."""
    matched = _KEY.fullmatch(text or "")
    return matched[1] if matched else None
