//! What registered models and their versions can be searched by.

use super::schema::{AttributeKind, FieldKind, Schema, Wording, both, filters, orders};

/// What every registered model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModelAttribute {
    /// Its name.
    Name,
    /// Last change, in milliseconds since 1970.
    LastUpdateTime,
}

/// What every version of a registered model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VersionAttribute {
    /// The name of its model.
    Name,
    /// Its number.
    Number,
    /// Its semantic version. No filter names it: client protocols map a tag of theirs to it.
    Semver,
    /// The run that it came from.
    RunId,
    /// Where it came from.
    Source,
    /// Registration, in milliseconds since 1970.
    CreationTime,
    /// Last change, in milliseconds since 1970.
    LastUpdateTime,
}

const ENTITIES: &[(&str, FieldKind)] =
    &[("attribute", FieldKind::Attribute), ("tag", FieldKind::Tag), ("tags", FieldKind::Tag)];
const VALID_ENTITIES: &str = "Valid entity types are ('attribute', 'tag', 'tags')";

/// What registered models can be searched by.
pub const REGISTERED_MODELS: Schema<ModelAttribute> = Schema {
    entities: ENTITIES,
    valid_entities: VALID_ENTITIES,
    attributes: &[
        both("name", ModelAttribute::Name, AttributeKind::ListedText),
        orders("timestamp", ModelAttribute::LastUpdateTime, AttributeKind::Integer),
        orders("last_updated_timestamp", ModelAttribute::LastUpdateTime, AttributeKind::Integer),
    ],
    orders_by: &[FieldKind::Attribute],
    lenient: false,
    nullable: (&[FieldKind::Tag], "tags"),
    wording: Wording { bare_orders: Some("'name', 'timestamp'"), ..Wording::OF_REGISTRY },
};

/// What versions of registered models can be searched by.
pub const MODEL_VERSIONS: Schema<VersionAttribute> = Schema {
    entities: ENTITIES,
    valid_entities: VALID_ENTITIES,
    attributes: &[
        both("name", VersionAttribute::Name, AttributeKind::ListedText),
        both("version_number", VersionAttribute::Number, AttributeKind::Integer),
        filters("run_id", VersionAttribute::RunId, AttributeKind::ListedText),
        filters("source_path", VersionAttribute::Source, AttributeKind::Text),
        orders("creation_timestamp", VersionAttribute::CreationTime, AttributeKind::Integer),
        orders("last_updated_timestamp", VersionAttribute::LastUpdateTime, AttributeKind::Integer),
    ],
    orders_by: &[FieldKind::Attribute],
    lenient: false,
    nullable: (&[FieldKind::Tag], "tags"),
    wording: Wording::OF_REGISTRY,
};
