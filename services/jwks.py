"""Where an issuer publishes its public keys -> the one that a token names (RFC 7517)."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Final

import httpx2
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, RSAKey, import_key
from pydantic import ValidationError

from schemas.common import Value
from services.errors import InvalidToken, Unavailable
from services.loopback import is_loopback

log = structlog.get_logger()

FETCH_WITHIN: Final = 2.0  #: seconds; a request waits for it
LONGEST_KEPT: Final = 3600.0  #: seconds; a key that was withdrawn ends then
RETRY_AFTER: Final = 1.0  #: seconds, while no keys are known at all
SMALLEST_RSA: Final = 2048  #: bits


class _KeySet(Value):
    keys: tuple[dict[str, Any], ...]


class Jwks:
    def __init__(self, source: str, refresh: timedelta) -> None:
        """`source` is a URL or a file; it is looked at no oftener than each `refresh`."""
        self._source = source
        self._refresh = refresh.total_seconds()
        self._keys: tuple[Key, ...] = ()
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")
        self._fetched_at = float("-inf")

    async def key(self, algorithm: str, kid: str | None) -> Key:
        """Raise `InvalidToken`, or `Unavailable` as long as there was never an answer.

        A token without `kid` is for an issuer with one key of that kind.
        """
        if monotonic() - self._fetched_at > LONGEST_KEPT or not self._fitting(algorithm, kid):
            await self._look()
        if not self._keys:
            raise Unavailable("The keys that tokens are checked with can't be reached")
        found = self._fitting(algorithm, kid)
        if len(found) != 1:
            raise InvalidToken
        return found[0]

    def _fitting(self, algorithm: str, kid: str | None) -> list[Key]:
        fitting = [key for key in self._keys if _signs(key, algorithm)]
        return [key for key in fitting if kid is None or key.kid == kid]

    async def _look(self) -> None:
        """Once for all who ask meanwhile; what was known stays while nothing answers."""
        async with self._looking:
            pause = self._refresh if self._keys else RETRY_AFTER
            if monotonic() - self._looked_at < pause:
                return
            try:
                content = await self._content()
                self._keys = _imported(_KeySet.model_validate_json(content).keys)
                self._fetched_at = monotonic()
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValidationError) as error:
                log.warning("jwks_unavailable", error=type(error).__name__)
            finally:
                self._looked_at = monotonic()

    async def _content(self) -> bytes:
        if not self._source.startswith(("http://", "https://")):
            return await asyncio.to_thread(Path(self._source).read_bytes)
        async with (
            asyncio.timeout(FETCH_WITHIN),
            httpx2.AsyncClient(trust_env=not is_loopback(self._source)) as http,
        ):
            answer = await http.get(self._source)
        answer.raise_for_status()
        return answer.content


def _imported(keys: tuple[Mapping[str, Any], ...]) -> tuple[Key, ...]:
    """Those that can be read: an issuer may have kinds that we don't know."""
    found = []
    for key in keys:
        try:
            found.append(import_key(dict(key)))
        except (JoseError, ValueError):
            log.warning("jwks_key_skipped", kid=str(key.get("kid"))[:100])
    return tuple(found)


def _signs(key: Key, algorithm: str) -> bool:
    """A shared secret in a public set is none; a key for encryption signs nothing."""
    stated = key.as_dict()
    if stated.get("use", "sig") != "sig" or stated.get("alg", algorithm) != algorithm:
        return False
    if algorithm == "RS256":
        return isinstance(key, RSAKey) and key.raw_value.key_size >= SMALLEST_RSA
    return isinstance(key, ECKey) and key.curve_name == "P-256"
