//! What hosts are told of options: their JSON Schemas come from the structs that they are read into.

use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

/// The JSON Schema of an options type.
#[must_use]
pub fn schema_of<T: JsonSchema>() -> Map<String, Value> {
    let schema = SchemaGenerator::default().into_root_schema_for::<T>();
    match serde_json::to_value(schema) {
        Ok(Value::Object(object)) => object,
        // A root schema of a struct is an object.
        _ => Map::new(),
    }
}
