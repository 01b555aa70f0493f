"""A signed URL's id and end <-> its token: `<version>.<id>.<end>.<HMAC-SHA256>`. Pure."""

import hmac
import re
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from schemas.live import LiveUrl
from services.errors import LiveUrlRefused
from services.signing import Signer

VERSION: Final = "1"
PURPOSE: Final = "live-url"  #: what the HMAC is for, so that none of another kind fits

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_TOKEN = re.compile(r"(1\.([0-9a-f]{32})\.([0-9]{1,14}))\.([A-Za-z0-9_-]{43})")


def token_of(url: LiveUrl, signer: Signer) -> str:
    """The same for the same URL, so that a list can show it again."""
    claim = f"{VERSION}.{url.id.hex}.{(url.expires_at - _EPOCH) // _MILLISECOND}"
    return f"{claim}.{signer.mac(PURPOSE, claim)}"


def read_token(token: str, signer: Signer, moment: datetime) -> UUID:
    """The id of the URL that it was signed for; raise `LiveUrlRefused`, also after its end.

    Compared in time that tells nothing, as text: no two spellings mean the same.
    """
    matched = _TOKEN.fullmatch(token)
    claim, mac = (matched[1], matched[4]) if matched else ("", "")
    genuine = hmac.compare_digest(signer.mac(PURPOSE, claim), mac)
    if matched is None or not genuine:
        raise LiveUrlRefused
    if _EPOCH + int(matched[3]) * _MILLISECOND <= moment:
        raise LiveUrlRefused("The live URL has expired")
    return UUID(matched[2])
