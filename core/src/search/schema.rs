//! What can be searched: the fields of each kind of row and how they compare.

use super::SearchError;

/// Something of a row that a clause or an order names. `A` are the row's attributes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Field<A> {
    /// The latest value of a metric.
    Metric(String),
    /// A param.
    Param(String),
    /// A tag.
    Tag(String),
    /// What every row has.
    Attribute(A),
    /// Something of any dataset that the run read.
    Dataset(DatasetField),
}

/// What can be asked of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatasetField {
    /// Its name.
    Name,
    /// Its digest.
    Digest,
    /// What the run used it for: a tag of the use.
    Context,
}

/// What every run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunAttribute {
    /// The run's id in hex.
    Id,
    /// The run's name.
    Name,
    /// Who ran it.
    User,
    /// How far it has come, in upper case.
    Status,
    /// Start, in milliseconds since 1970.
    StartTime,
    /// End, in milliseconds since 1970.
    EndTime,
    /// From start to end, in milliseconds; none of a run that goes on. MLflow's clients know none.
    Duration,
    /// Where its artifacts are; see `RunQuery::artifact_roots`.
    ArtifactUri,
    /// The device that created it; see `RunQuery::devices`. MLflow's clients know none.
    Device,
    /// The note that people edit. No filter names it: client protocols map a tag of theirs to it.
    Description,
}

/// What every experiment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExperimentAttribute {
    /// The number that clients know it by.
    Id,
    /// Its name.
    Name,
    /// Creation, in milliseconds since 1970.
    CreationTime,
    /// Last rename, deletion or restoration, in milliseconds since 1970.
    LastUpdateTime,
    /// The note that people edit. No filter names it: client protocols map a tag of theirs to it.
    Description,
}

/// How an attribute compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeKind {
    /// A text.
    Text,
    /// A text that is also compared with a list of texts.
    ListedText,
    /// A number.
    Number,
    /// A number that is only compared with integers.
    Integer,
    /// A whole number that clients write as text, and that is one of a list or is not.
    DecimalId,
}

/// The kinds of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    Metric,
    Param,
    Tag,
    Attribute,
    Dataset,
}

/// A name of an attribute.
pub(super) struct AttributeName<A: 'static> {
    name: &'static str,
    pub(super) attribute: A,
    pub(super) kind: AttributeKind,
    /// Some names are for filters alone, and some for orders.
    filters: bool,
    orders: bool,
}

/// What one kind of row can be searched by.
pub struct Schema<A: 'static> {
    /// What may stand before the first dot; without a dot it is an attribute.
    pub(super) entities: &'static [(&'static str, FieldKind)],
    pub(super) valid_entities: &'static str,
    pub(super) attributes: &'static [AttributeName<A>],
    pub(super) orders_by: &'static [FieldKind],
    /// Whether params and tags are also compared with lists, and texts with plain numbers.
    pub(super) lenient: bool,
    /// The kinds that can be absent, and how to call them.
    pub(super) nullable: (&'static [FieldKind], &'static str),
    /// How MLflow puts the errors, which differs from search to search.
    pub(super) wording: Wording,
}

/// How MLflow puts the errors of a search.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wording {
    /// Whether clauses that mean nothing are in quotes.
    pub(super) quoted_clauses: bool,
    /// Where rows are ordered by bare names alone: those that an error proposes.
    pub(super) bare_orders: Option<&'static str>,
}

impl Wording {
    /// That of runs and experiments.
    pub(super) const OF_TRACKING: Self = Self { quoted_clauses: true, bare_orders: None };
    /// That of registered models and versions.
    pub(super) const OF_REGISTRY: Self = Self { quoted_clauses: false, bare_orders: None };
}

/// A name that was looked up.
pub(super) struct Named<A: 'static> {
    pub(super) kind: FieldKind,
    pub(super) key: String,
    pub(super) attribute: Option<&'static AttributeName<A>>,
    dataset: Option<DatasetField>,
}

/// A name for filters alone.
pub(super) const fn filters<A>(
    name: &'static str,
    attribute: A,
    kind: AttributeKind,
) -> AttributeName<A> {
    AttributeName { name, attribute, kind, filters: true, orders: false }
}

/// A name for orders alone.
pub(super) const fn orders<A>(
    name: &'static str,
    attribute: A,
    kind: AttributeKind,
) -> AttributeName<A> {
    AttributeName { name, attribute, kind, filters: false, orders: true }
}

/// A name for filters and orders.
pub(super) const fn both<A>(
    name: &'static str,
    attribute: A,
    kind: AttributeKind,
) -> AttributeName<A> {
    AttributeName { name, attribute, kind, filters: true, orders: true }
}

/// What every run has, first what MLflow's clients know.
const RUN_ATTRIBUTES: &[AttributeName<RunAttribute>] = &[
    both("run_id", RunAttribute::Id, AttributeKind::ListedText),
    both("run_name", RunAttribute::Name, AttributeKind::Text),
    filters("run name", RunAttribute::Name, AttributeKind::Text),
    filters("Run name", RunAttribute::Name, AttributeKind::Text),
    filters("Run Name", RunAttribute::Name, AttributeKind::Text),
    both("user_id", RunAttribute::User, AttributeKind::Text),
    both("status", RunAttribute::Status, AttributeKind::Text),
    both("start_time", RunAttribute::StartTime, AttributeKind::Number),
    both("created", RunAttribute::StartTime, AttributeKind::Number),
    both("Created", RunAttribute::StartTime, AttributeKind::Number),
    both("end_time", RunAttribute::EndTime, AttributeKind::Number),
    both("artifact_uri", RunAttribute::ArtifactUri, AttributeKind::Text),
    both("duration", RunAttribute::Duration, AttributeKind::Number),
    both("device", RunAttribute::Device, AttributeKind::ListedText),
];
const OF_MLFLOW: usize = 12;

/// What MLflow's clients can search runs by.
pub const RUNS: Schema<RunAttribute> = Schema {
    entities: &[
        ("metric", FieldKind::Metric),
        ("metrics", FieldKind::Metric),
        ("parameter", FieldKind::Param),
        ("parameters", FieldKind::Param),
        ("param", FieldKind::Param),
        ("params", FieldKind::Param),
        ("tag", FieldKind::Tag),
        ("tags", FieldKind::Tag),
        ("attribute", FieldKind::Attribute),
        ("attributes", FieldKind::Attribute),
        ("attr", FieldKind::Attribute),
        ("run", FieldKind::Attribute),
        ("dataset", FieldKind::Dataset),
        ("datasets", FieldKind::Dataset),
    ],
    valid_entities: "Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']",
    attributes: RUN_ATTRIBUTES.split_at(OF_MLFLOW).0,
    orders_by: &[FieldKind::Metric, FieldKind::Param, FieldKind::Tag, FieldKind::Attribute],
    lenient: false,
    nullable: (&[FieldKind::Param, FieldKind::Tag], "tags and params"),
    wording: Wording::OF_TRACKING,
};

/// What runs can be searched by where it need not be as in MLflow.
pub const ALL_OF_RUNS: Schema<RunAttribute> = Schema { attributes: RUN_ATTRIBUTES, ..RUNS };

/// What experiments can be searched by.
pub const EXPERIMENTS: Schema<ExperimentAttribute> = Schema {
    entities: &[
        ("attribute", FieldKind::Attribute),
        ("tag", FieldKind::Tag),
        ("tags", FieldKind::Tag),
    ],
    valid_entities: "Valid entity types are ('attribute', 'tag', 'tags')",
    attributes: &[
        both("name", ExperimentAttribute::Name, AttributeKind::Text),
        both("experiment_id", ExperimentAttribute::Id, AttributeKind::DecimalId),
        both("creation_time", ExperimentAttribute::CreationTime, AttributeKind::Integer),
        both("last_update_time", ExperimentAttribute::LastUpdateTime, AttributeKind::Integer),
    ],
    orders_by: &[FieldKind::Attribute],
    lenient: false,
    nullable: (&[FieldKind::Tag], "tags"),
    wording: Wording::OF_TRACKING,
};

impl FieldKind {
    /// What errors call it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Metric => "metric",
            Self::Param => "parameter",
            Self::Tag => "tag",
            Self::Attribute => "attribute",
            Self::Dataset => "dataset",
        }
    }
}

impl<A: Copy> Schema<A> {
    /// Looks up what a filter calls a field.
    pub(super) fn named(&self, name: &str) -> Result<Named<A>, SearchError> {
        self.lookup(name, |attribute| attribute.filters)
    }

    /// Looks up what an order_by calls a field.
    pub(super) fn named_in_order(&self, name: &str) -> Result<Named<A>, SearchError> {
        if let Some(valid) = self.wording.bare_orders
            && !self.attributes.iter().any(|known| known.orders && known.name == name)
        {
            return Err(SearchError::UnknownOrder { key: name.to_owned(), valid });
        }
        let named = self.lookup(name, |attribute| attribute.orders)?;
        if !self.orders_by.contains(&named.kind) {
            return Err(SearchError::Unorderable(named.kind.as_str()));
        }
        Ok(named)
    }

    /// The attribute of a name, if rows can be sorted by it.
    pub fn attribute_to_order_by(&self, name: &str) -> Option<A> {
        let known = self.attributes.iter().find(|known| known.name == name && known.orders);
        known.map(|known| known.attribute)
    }

    fn lookup(
        &self,
        name: &str,
        allowed: impl Fn(&AttributeName<A>) -> bool,
    ) -> Result<Named<A>, SearchError> {
        let (kind, key) = match name.split_once('.') {
            None => (FieldKind::Attribute, name),
            Some((entity, key)) => (self.entity(unquoted(entity, "`"))?, key),
        };
        let key = unquoted(unquoted(key, "'\""), "`");
        let attribute = self.attributes.iter().find(|known| known.name == key && allowed(known));
        if kind == FieldKind::Attribute && attribute.is_none() {
            let valid = self.attributes.iter().filter(|known| allowed(known));
            let valid = quoted_list(valid.map(|known| known.name));
            return Err(SearchError::UnknownAttribute { key: key.to_owned(), valid });
        }
        let dataset = match (kind, key) {
            (FieldKind::Dataset, "name") => Some(DatasetField::Name),
            (FieldKind::Dataset, "digest") => Some(DatasetField::Digest),
            (FieldKind::Dataset, "context") => Some(DatasetField::Context),
            (FieldKind::Dataset, _) => return Err(SearchError::UnknownDatasetKey(key.to_owned())),
            _ => None,
        };
        Ok(Named { kind, key: key.to_owned(), attribute, dataset })
    }

    fn entity(&self, entity: &str) -> Result<FieldKind, SearchError> {
        let known = self.entities.iter().find(|(name, _)| *name == entity);
        known.map(|(_, kind)| *kind).ok_or_else(|| SearchError::UnknownEntity {
            found: entity.to_owned(),
            valid: self.valid_entities,
        })
    }

    /// The attributes that are compared with lists, for errors.
    pub(super) fn listed_attributes(&self) -> String {
        let listed = |known: &&AttributeName<A>| {
            matches!(known.kind, AttributeKind::ListedText | AttributeKind::DecimalId)
        };
        let filtering = self.attributes.iter().filter(|known| known.filters);
        quoted_list(filtering.filter(listed).map(|known| known.name))
    }
}

impl<A: Copy> Named<A> {
    /// The field that was named.
    pub(super) fn field(&self) -> Field<A> {
        let key = self.key.clone();
        match (self.kind, self.attribute, self.dataset) {
            (FieldKind::Metric, ..) => Field::Metric(key),
            (FieldKind::Param, ..) => Field::Param(key),
            (FieldKind::Tag, ..) => Field::Tag(key),
            (FieldKind::Attribute, Some(known), _) => Field::Attribute(known.attribute),
            (FieldKind::Dataset, _, Some(field)) => Field::Dataset(field),
            (FieldKind::Attribute | FieldKind::Dataset, ..) => {
                unreachable!("the lookup refuses unknown attributes")
            }
        }
    }
}

/// Takes off one of these kinds of quotes, if it is at both ends.
pub(super) fn unquoted<'a>(text: &'a str, quotes: &str) -> &'a str {
    let inside = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    quotes.chars().find_map(inside).unwrap_or(text)
}

/// `'a', 'b'`
pub(super) fn quoted_list<'a>(items: impl Iterator<Item = &'a str>) -> String {
    items.map(|item| format!("'{item}'")).collect::<Vec<_>>().join(", ")
}
