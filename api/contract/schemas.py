"""JSON Schema of whatever requests say and answers are made of, and examples of it."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from api.contract.refusals import DETAILS, REFUSALS
from api.serving.errors import FLAT

Json = dict[str, Any]

# Of a whole model by its name, else of a field: Model.field, or field.
EXAMPLES: Json = json.loads(Path(__file__).with_name("examples.json").read_text())

_REF = "#/components/schemas/"


class _Plain(GenerateJsonSchema):
    """JSON Schema without a title for every field, which would only repeat its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False

    def default_schema(self, schema: Any) -> Json:
        """Leave defaults out: the database knows them."""
        return self.generate_inner(schema["schema"])


class Schemas:
    """Schemas by their names, collected as they are asked for."""

    def __init__(self) -> None:
        """Begin with none."""
        self.made: Json = {}
        self._responses: Json = {}

    def components(self) -> Json:
        """Return what was asked for."""
        return {"schemas": dict(sorted(self.made.items())), "responses": self._responses}

    def fields(self, model: type[BaseModel]) -> Json:
        """Return the schemas of a query's fields, each of which may be left out and none null."""
        made = model.model_json_schema(schema_generator=_Plain)
        for field in made["properties"].values():
            [given] = [kind for kind in field.pop("anyOf") if kind != {"type": "null"}]
            field |= given
        properties: Json = made["properties"]
        return properties

    def response(self, codes: list[str]) -> Json:
        """Return the answer that is a refusal with one of these codes."""
        for code in codes:
            self.made[code] = self._refusal(code)
        refs = [{"$ref": _REF + code} for code in codes]
        made: Json = {
            "description": " ".join(f"{code}: {REFUSALS[code]['when']}." for code in codes),
            "content": {
                "application/json": {"schema": refs[0] if len(refs) == 1 else {"anyOf": refs}}
            },
        }
        if codes == ["RATE_LIMITED"]:
            made["headers"] = header("Retry-After")
        if len(codes) > 1:
            return made
        self._responses[codes[0]] = made
        return {"$ref": "#/components/responses/" + codes[0]}

    def _refusal(self, code: str) -> Json:
        said = REFUSALS[code]
        details = self.of(DETAILS.get(code, type(None)), "serialization")
        properties: Json = {
            "success": {"const": False},
            "error": {"type": "string"},
            "code": {"const": code},
            "details": details,
        }
        example = {"success": False, "error": said["error"], "code": code}
        example["details"] = said["details"]
        if code == FLAT:
            properties |= self.made[details["$ref"].removeprefix(_REF)]["properties"]
            example |= said["details"]
        return {
            "type": "object",
            "description": said["when"],
            "properties": properties,
            "required": list(properties),
            "examples": [example],
        }

    def of(self, kind: Any, mode: JsonSchemaMode) -> Json:
        """Return a type's schema; a model's by its name, under which it is collected."""
        made = TypeAdapter(kind).json_schema(
            mode=mode, ref_template=_REF + "{model}", schema_generator=_Plain
        )
        self.made |= made.pop("$defs", {})
        if "properties" not in made:
            return made
        self.made[made.pop("title")] = made
        return {"$ref": _REF + kind.__name__}

    def example(self, schema: Json) -> Any:
        """Make an example of a schema out of those of its fields, model.field or field."""
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(_REF)
            if name in EXAMPLES:
                return EXAMPLES[name]
            fields = self.made[name].get("properties", {})
            known = {
                field: EXAMPLES.get(f"{name}.{field}", EXAMPLES.get(field)) for field in fields
            }
            return {
                field: known[field] if known[field] is not None else self.example(inner)
                for field, inner in fields.items()
            }
        if schema.get("type") == "array":
            return [self.example(schema["items"])]
        return self.example(schema["anyOf"][0]) if "anyOf" in schema else None


def header(name: str) -> Json:
    """Return a header of an answer."""
    return {name: {"schema": {"type": "string"}}}
