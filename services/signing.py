"""Who produced a message: HMAC-SHA256 (RFC 2104) with a secret derived from the key's id."""

import base64
import hmac
from typing import Final

from services.errors import UnreadableMessage

HEADER: Final = "darkroom-signature"
OWN_KEY: Final = "darkroom"  #: the id under which our own processes sign


class Signer:
    """Secrets are derived, so that none is stored in clear."""

    def __init__(self, master_secret: str) -> None:
        if len(master_secret) < 16:
            raise ValueError("DARKROOM_MASTER_SECRET must have at least 16 characters")
        self._master = master_secret.encode()
        self._own = self.secret(OWN_KEY).encode()

    def secret(self, key_id: str) -> str:
        """The signing secret of a key, as `darkroom keys create` prints it."""
        derived = _keyed(self._master, f"signing:{key_id}".encode())
        return "dss_" + base64.urlsafe_b64encode(derived).decode().rstrip("=")

    def sign(self, value: bytes, key_id: str = OWN_KEY) -> str:
        """The value of the `darkroom-signature` header: `<key id>:<base64 HMAC>`."""
        return f"{key_id}:{self._mac(value, key_id)}"

    def verify(self, value: bytes, signature: str | None) -> str:
        """Return the id of the key that signed `value`, or raise `UnreadableMessage`."""
        if not signature:
            raise UnreadableMessage("unsigned", f"there is no {HEADER} header")
        key_id, _, mac = signature.partition(":")
        if not hmac.compare_digest(self._mac(value, key_id).encode(), mac.encode()):
            raise UnreadableMessage("wrong_signature", "the signature does not fit the message")
        return key_id

    def key_secret(self, key_id: str, word: str) -> bytes:
        """32 bytes that only we can tell: the same again for the same key and word."""
        return _keyed(self._master, f"key:{key_id}:{word}".encode())

    def mac(self, purpose: str, text: str) -> str:
        """What only we can say of `text`, fit for a URL; never the same for two purposes."""
        made = _keyed(self._master, f"mac:{purpose}:{text}".encode())
        return base64.urlsafe_b64encode(made).decode().rstrip("=")

    def digest(self, text: str) -> str:
        """A keyed hash of a high-entropy secret, as it is stored."""
        return _keyed(self._master, f"stored:{text}".encode()).hex()

    def _mac(self, value: bytes, key_id: str) -> str:
        secret = self._own if key_id == OWN_KEY else self.secret(key_id).encode()
        return base64.b64encode(_keyed(secret, value)).decode()


def _keyed(secret: bytes, value: bytes) -> bytes:
    return hmac.digest(secret, value, "sha256")
