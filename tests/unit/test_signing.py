"""Who signed a message: nobody but the holder of the key's secret."""

import base64
import hmac

import pytest

from services.errors import UnreadableMessage
from services.signing import OWN_KEY, Signer

SIGNER = Signer("a master secret of tests")
VALUE = b'{"a": 1}'


def test_a_signature_names_the_key_that_made_it() -> None:
    assert SIGNER.verify(VALUE, SIGNER.sign(VALUE, "k1")) == "k1"
    assert SIGNER.verify(VALUE, SIGNER.sign(VALUE)) == OWN_KEY


def test_a_producer_needs_only_the_printed_secret_and_the_standard_library() -> None:
    secret = SIGNER.secret("k1")
    mac = base64.b64encode(hmac.digest(secret.encode(), VALUE, "sha256")).decode()

    assert SIGNER.verify(VALUE, f"k1:{mac}") == "k1"


@pytest.mark.parametrize("signature", [None, ""])
def test_a_message_without_a_signature_is_unsigned(signature: str | None) -> None:
    with pytest.raises(UnreadableMessage) as refused:
        SIGNER.verify(VALUE, signature)

    assert refused.value.reason_code == "unsigned"


@pytest.mark.parametrize(
    "signature",
    [
        "k1",
        "k1:",
        ":",
        "k1:bm9uc2Vuc2U=",
        SIGNER.sign(VALUE, "k2").replace("k2:", "k1:"),
        SIGNER.sign(b'{"a": 2}', "k1"),
        Signer("another master secret").sign(VALUE, "k1"),
        SIGNER.sign(VALUE, "k1") + "=",
        "\ufffd\x00:é",
    ],
)
def test_a_signature_of_another_key_text_or_deployment_is_wrong(signature: str) -> None:
    with pytest.raises(UnreadableMessage) as refused:
        SIGNER.verify(VALUE, signature)

    assert refused.value.reason_code == "wrong_signature"


def test_a_short_master_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        Signer("short")


def test_what_is_stored_of_a_key_does_not_sign() -> None:
    assert SIGNER.digest("k1") not in SIGNER.secret("k1")
    assert SIGNER.digest("k1") != SIGNER.digest("k2")
