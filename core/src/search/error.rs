//! What can be wrong with a filter or an order_by. All of it is the client's to mend.

/// A filter or an order_by that means nothing. The text is MLflow's, which its users know; the
/// sets in it are in an order of our own, since MLflow's changes with every start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// There is nothing in the filter but space.
    #[error("Invalid filter '{0}'. Could not be parsed.")]
    BlankFilter(String),
    /// There is more in it than anybody writes.
    #[error("Error on parsing filter: it has more than {limit} words and signs")]
    TooLong {
        /// How many there may be.
        limit: usize,
    },
    /// There is a `;` in it, and something after it.
    #[error("Search filter contained multiple expression {0:?}. Provide AND-ed expression list.")]
    SeveralStatements(String),
    /// Parts of it are neither a comparison nor `AND`.
    #[error("Invalid clause(s) in filter string: {0}")]
    InvalidClauses(String),
    /// A comparison is not of a name with a value.
    #[error("Invalid comparison clause. Expected 'Identifier' found '{0}'")]
    NotAnIdentifier(String),
    /// What stands before the first dot is no kind of thing.
    #[error("Invalid entity type '{found}'. {valid}")]
    UnknownEntity {
        /// What stands there.
        found: String,
        /// What could stand there, as a sentence.
        valid: &'static str,
    },
    /// There is no such attribute.
    #[error("Invalid attribute key '{key}' specified. Valid keys are '{{{valid}}}'")]
    UnknownAttribute {
        /// The name given.
        key: String,
        /// The names there are.
        valid: String,
    },
    /// There is no order by this name.
    #[error("Invalid order by key '{key}' specified. Valid keys are '{{{valid}}}'")]
    UnknownOrder {
        /// The name given.
        key: String,
        /// Names there are.
        valid: &'static str,
    },
    /// Datasets have no such attribute.
    #[error(
        "Invalid dataset key '{0}' specified. Valid keys are '{{'name', 'digest', 'context'}}'"
    )]
    UnknownDatasetKey(String),
    /// A metric is compared with something else than a number.
    #[error("Expected numeric value type for metric. Found {0}")]
    MetricNeedsNumber(String),
    /// A number is compared with something else.
    #[error("Expected numeric value type for numeric attribute: {key}. Found {found}")]
    AttributeNeedsNumber {
        /// The attribute.
        key: String,
        /// The value given.
        found: String,
    },
    /// An integer is compared with a fraction.
    #[error("Invalid value for numeric attribute '{key}': '{found}'")]
    AttributeNeedsInteger {
        /// The attribute.
        key: String,
        /// The value given.
        found: String,
    },
    /// A text is compared with something else.
    #[error("Expected a quoted string value for {what}. Got value {found}")]
    NeedsText {
        /// What is compared.
        what: &'static str,
        /// The value given.
        found: String,
    },
    /// A text is not quoted.
    #[error(
        "Parameter value is either not quoted or unidentified quote types used for string value \
         {0}. Use either single or double quotes."
    )]
    Unquoted(String),
    /// The attribute cannot be compared with a list.
    #[error("Only [{valid}] attributes support comparison with a list of quoted string values.")]
    NoList {
        /// The attributes that can.
        valid: String,
    },
    /// A list has nothing in it.
    #[error(
        "While parsing a list in the query, expected a non-empty list of string values, but got \
         empty list"
    )]
    EmptyList,
    /// A list is not of texts with commas between them.
    #[error(
        "While parsing a list in the query, expected a non-empty list of string values, but got \
         ill-formed list."
    )]
    IllFormedList,
    /// A list has something else than texts in it.
    #[error(
        "While parsing a list in the query, expected string value, punctuation, or whitespace, \
         but got different type in list: {0}"
    )]
    ListOfOther(String),
    /// The comparator does not go with what it compares.
    #[error("Invalid comparator '{found}' not one of '{{{valid}}}'")]
    InvalidComparator {
        /// The comparator given.
        found: String,
        /// Those that go with it.
        valid: &'static str,
    },
    /// The comparator does not go with an id.
    #[error("Invalid comparator for {key}: {found}")]
    InvalidIdComparator {
        /// The id.
        key: String,
        /// The comparator given.
        found: String,
    },
    /// An experiment's id is not a number.
    #[error("Invalid experiment ID '{0}'. Experiment ID must be a valid integer.")]
    InvalidExperimentId(String),
    /// Only some things can be absent.
    #[error("IS NULL / IS NOT NULL is only supported for {nullable}, not for '{kind}' '{key}'")]
    NeverNull {
        /// The things that can.
        nullable: &'static str,
        /// What kind of thing was given.
        kind: &'static str,
        /// Which.
        key: String,
    },
    /// A pattern of RLIKE is none.
    #[error("Invalid regular expression '{pattern}': {reason}")]
    InvalidPattern {
        /// The pattern given.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
    /// Spans have no such attribute.
    #[error(
        "Invalid span attribute '{0}'. Supported attributes: name, status, type, \
         attributes.<attribute_name>."
    )]
    UnknownSpanKey(String),
    /// A version of a prompt is not `name/version`.
    #[error("Invalid prompts filter value '{0}'. Expected format: prompt = \"name/version\"")]
    InvalidPrompt(String),
    /// An order_by is not a name and a direction.
    #[error("Invalid order_by clause '{0}'. Could not be parsed.")]
    InvalidOrder(String),
    /// The direction is neither ASC nor DESC.
    #[error("Invalid ordering key in order_by clause '{0}'.")]
    InvalidDirection(String),
    /// There is no order by this kind of thing.
    #[error("Invalid identifier type '{0}'")]
    Unorderable(&'static str),
    /// One thing is given twice to order by.
    #[error("`order_by` contains duplicate fields: [{0}]")]
    RepeatedOrder(String),
}
