"""Request bodies for the framework: decoded by our own validation, so that every mistake is told at once."""

from collections.abc import Generator
from typing import Any, TypeVar

from litestar._openapi.schema_generation import SchemaCreator
from litestar.dto import AbstractDTO
from litestar.dto._backend import DTOBackend
from litestar.dto.data_structures import DTOFieldDefinition
from litestar.openapi.spec import Reference, Schema
from litestar.typing import FieldDefinition

from meetkeeper.api.validation import decode

T = TypeVar("T")


class Fieldwise(AbstractDTO[T]):
    """`dto=Fieldwise[Model]` on a handler whose `data` is a `Model`."""

    def decode_bytes(self, value: bytes) -> Any:
        """The body as the model. Raises `Invalid` or `TheirMistake`."""
        return decode(value, self.model_type)

    @classmethod
    def create_for_field_definition(
        cls, field_definition: FieldDefinition, handler_id: str, backend_cls: type[DTOBackend] | None = None
    ) -> None:
        """No transfer model is made: the model itself is what is sent."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: SchemaCreator
    ) -> Reference | Schema:
        """The model's own schema."""
        return schema_creator.for_field_definition(field_definition)

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Generator[DTOFieldDefinition, None, None]:
        """None: see `create_for_field_definition`."""
        yield from ()

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        """Nothing is taken apart."""
        return False
