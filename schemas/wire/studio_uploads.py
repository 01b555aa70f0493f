"""Studio's upload form: its fields in. Pure: no I/O, no clock."""

from typing import Annotated, Final

from pydantic import BeforeValidator, Json, WithJsonSchema

from schemas.common import Meta
from schemas.wire.studio import Camel
from schemas.wire.studio_generations import Name

FILE: Final = "file"  #: the field that holds the picture

Empty = BeforeValidator(lambda text: None if text == "" else text)  #: as HTML forms send none


class UploadFields(Camel):
    """Beside the file."""

    alias: Name | None = None
    flow_alias: Name | None = None
    flow_id: Annotated[Name | None, Empty] = None
    meta: Annotated[Json[Meta] | None, Empty] = None


class UploadForm(UploadFields):
    """As it is described; the file is read as it comes."""

    file: Annotated[bytes, WithJsonSchema({"type": "string", "format": "binary"})]
