"""Bearer tokens in -> the `Caller` that they stand for: users' JWTs, and the service's own token.

https://datatracker.ietf.org/doc/html/rfc8725 has the attacks that the checks here answer.
"""

import hmac
from datetime import timedelta
from time import time
from typing import Annotated, Final

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, OctKey
from pydantic import AfterValidator, Field, ValidationError

from schemas.common import ProjectId, Value
from services.accounts import Caller
from services.errors import InvalidRequest, InvalidToken
from services.jwks import Jwks
from services.settings import Settings
from services.signing import Signer

LONGEST_LIFE: Final = timedelta(days=366)  #: of a token that is made here


def _one_line(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be printable, without spaces around it")
    return text


Owner = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_one_line)]


class OnBehalfOf(Value):
    """For whom the service asks; without an owner it sees all of its project."""

    owner: Owner | None = None
    project: ProjectId | None = None


class _Claims(Value):
    sub: Owner
    project: ProjectId | None = None


class Tokens:
    def __init__(self, settings: Settings, signer: Signer) -> None:
        """Secrets that no setting gives are derived from the master secret."""
        jwt_settings = settings.jwt
        self._settings = jwt_settings
        self._project = settings.project
        secret = jwt_settings.secret
        made = secret.get_secret_value() if secret else signer.mac("jwt", "HS256")
        self._secret = OctKey.import_key(made)
        self._jwks = Jwks(jwt_settings.jwks, jwt_settings.refresh) if jwt_settings.jwks else None
        given = settings.image_gen_token
        self.service = given.get_secret_value() if given else f"dst_{signer.mac('service', '')}"

    def is_service(self, text: str) -> bool:
        """Takes as long whatever is wrong with `text`."""
        return hmac.compare_digest(text.encode(), self.service.encode())

    def serves(self, asked: OnBehalfOf) -> Caller:
        """Who asks with the service's token."""
        return Caller(project=asked.project or self._project, owner=asked.owner)

    async def user(self, text: str) -> Caller:
        """The user whom the JWT `text` names; raise `InvalidToken`, or `Unavailable` where the
        keys to check it with have never been reached."""
        algorithm, kid = _header(text)
        if algorithm not in self._settings.algorithms:
            raise InvalidToken
        key = await self._key(algorithm, kid)
        try:
            token = jwt.decode(text, key, algorithms=[algorithm])
            self._registry().validate(token.claims)
            claims = _Claims.model_validate(token.claims)
        except (JoseError, ValueError) as error:  # pydantic's is a ValueError
            raise InvalidToken from error
        return Caller(project=claims.project or self._project, owner=claims.sub)

    def issue(self, user: str, project: str | None, expires_in: timedelta) -> str:
        """A user's token; raise `InvalidRequest` where they are signed elsewhere."""
        if "HS256" not in self._settings.algorithms:
            raise InvalidRequest("Tokens are signed elsewhere: HS256 is not among the algorithms")
        try:
            claims = _Claims(sub=user, project=project).model_dump(exclude_none=True)
        except ValidationError as error:
            raise InvalidRequest(f"The user or the project: {error.errors()[0]['msg']}") from error
        begins = int(time())
        given = {"iss": self._settings.issuer, "aud": self._settings.audience}
        claims |= {name: value for name, value in given.items() if value is not None}
        claims |= {"iat": begins, "exp": begins + int(expires_in.total_seconds())}
        return jwt.encode({"alg": "HS256"}, claims, self._secret, algorithms=["HS256"])

    async def _key(self, algorithm: str, kid: str | None) -> Key:
        """Each algorithm has keys of its own, so that no public key is ever taken for a secret."""
        if algorithm == "HS256":
            return self._secret
        assert self._jwks is not None, "the settings see to that"
        return await self._jwks.key(algorithm, kid)

    def _registry(self) -> jwt.JWTClaimsRegistry:
        wanted = {"iss": self._settings.issuer, "aud": self._settings.audience}
        options: dict[str, jwt.ClaimsOption] = {
            name: {"essential": True, "value": value} for name, value in wanted.items() if value
        }
        for name in ("exp", "sub"):
            options[name] = {"essential": True}
        leeway = int(self._settings.leeway.total_seconds())
        return jwt.JWTClaimsRegistry(None, leeway, **options)


def is_jwt(text: str) -> bool:
    """By its form alone: three parts, where an API key has none."""
    return text.count(".") == 2


def _header(text: str) -> tuple[str, str | None]:
    """What an unchecked token says of its own signature."""
    try:
        header = jws.extract_compact(text.encode()).headers()
    except (JoseError, ValueError) as error:
        raise InvalidToken from error
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not isinstance(kid, str | None):
        raise InvalidToken
    return algorithm, kid
