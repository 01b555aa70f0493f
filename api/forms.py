"""A multipart form -> its text fields and files; what is too large is refused as it comes."""

from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from api.requests import received
from api.state import AppRequest
from services.errors import FileTooLarge, InvalidRequest

FILE_LIMIT: Final = 5 * 1024 * 1024  #: bytes
FIELD_LIMIT: Final = 64 * 1024  #: bytes of `meta`, and of any other field
MOST_FIELDS: Final = 16


class NamedFile(NamedTuple):
    name: str  #: of its field
    content: bytes


class Form(NamedTuple):
    fields: dict[str, str]
    files: tuple[NamedFile, ...]  #: without empty ones, which browsers send for none


async def read_form(request: AppRequest, most_files: int, no_form: InvalidRequest) -> Form:
    """Raise `no_form` for another type of body, `InvalidRequest` or `FileTooLarge`."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise no_form
    parser = MultiPartParser(
        request.headers,
        _limited(request, most_files * FILE_LIMIT + MOST_FIELDS * FIELD_LIMIT),
        max_files=most_files,
        max_fields=MOST_FIELDS,
        max_part_size=FIELD_LIMIT,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidRequest(error.message) from error
    except UnicodeError as error:  # of a charset that is no text's
        raise InvalidRequest("The form can't be read") from error
    try:
        fields = {name: text for name, text in form.items() if isinstance(text, str)}
        return Form(fields, await _files(form))
    finally:
        await form.close()


async def _limited(request: AppRequest, limit: int) -> AsyncGenerator[bytes, None]:
    """Whatever Content-Length says, or doesn't."""
    size = 0
    async for piece in received(request):
        size += len(piece)
        if size > limit:
            raise FileTooLarge
        yield piece


async def _files(form: FormData) -> tuple[NamedFile, ...]:
    files = []
    for name, file in form.multi_items():
        if not isinstance(file, UploadFile) or not file.size:
            continue
        if file.size > FILE_LIMIT:
            raise FileTooLarge
        files.append(NamedFile(name, await file.read()))
    return tuple(files)
