//! Searching models and versions.

use super::view::{Model, Version};
use crate::search::{Field, FieldValue, ModelAttribute, Order, Searched, VersionAttribute};

/// A registered model to be searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchedModel(pub Model);

impl Searched for SearchedModel {
    type Attribute = ModelAttribute;

    fn value(&self, field: &Field<ModelAttribute>) -> FieldValue<'_> {
        match field {
            Field::Tag(key) => FieldValue::text(self.0.tag(key)),
            Field::Attribute(ModelAttribute::Name) => FieldValue::text(Some(&self.0.name)),
            Field::Attribute(ModelAttribute::LastUpdateTime) => {
                FieldValue::Integer(Some(self.0.updated_ms()))
            }
            Field::Metric(_) | Field::Param(_) | Field::Dataset(_) => FieldValue::Text(None),
        }
    }

    fn tie(&self, _: &[Order<ModelAttribute>]) -> Vec<(FieldValue<'_>, bool)> {
        vec![(FieldValue::text(Some(&self.0.name)), true)]
    }
}

/// A version to be searched, with its model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchedVersion<'m> {
    /// The model.
    pub model: &'m Model,
    /// The version.
    pub version: Version,
}

impl Searched for SearchedVersion<'_> {
    type Attribute = VersionAttribute;

    fn value(&self, field: &Field<VersionAttribute>) -> FieldValue<'_> {
        let version = &self.version;
        match field {
            Field::Tag(key) => FieldValue::text(version.tag(key)),
            Field::Attribute(VersionAttribute::Name) => FieldValue::text(Some(&self.model.name)),
            Field::Attribute(VersionAttribute::Number) => {
                FieldValue::Integer(Some(version.number()))
            }
            Field::Attribute(VersionAttribute::Semver) => {
                FieldValue::text(Some(version.semver_text()).filter(|text| !text.is_empty()))
            }
            Field::Attribute(VersionAttribute::RunId) => FieldValue::text(Some(version.run_id())),
            Field::Attribute(VersionAttribute::Source) => FieldValue::text(Some(version.source())),
            Field::Attribute(VersionAttribute::CreationTime) => {
                FieldValue::Integer(Some(version.created().millis() as i64))
            }
            Field::Attribute(VersionAttribute::LastUpdateTime) => {
                FieldValue::Integer(Some(version.updated_ms(self.model)))
            }
            Field::Metric(_) | Field::Param(_) | Field::Dataset(_) => FieldValue::Text(None),
        }
    }

    /// The last changed first if there is no order, then by name, and the higher number first. Two
    /// that claim one number go by their ids.
    fn tie(&self, order: &[Order<VersionAttribute>]) -> Vec<(FieldValue<'_>, bool)> {
        let updated = FieldValue::Integer(Some(self.version.updated_ms(self.model)));
        let mut tie = vec![(updated, false)];
        tie.retain(|_| order.is_empty());
        tie.push((FieldValue::text(Some(&self.model.name)), true));
        tie.push((FieldValue::Integer(Some(self.version.number())), false));
        tie.push((FieldValue::Text(Some(self.version.id().reference().into())), true));
        tie
    }
}
