//! Search: MLflow's filter and order_by language, and its answers from the index.
//!
//! Text becomes tokens (`lexer`), tokens become clauses of what a `schema` knows (`filter`,
//! `order`), and clauses are answered from columns of the index and the rows that may be found (`runs`),
//! or, where rows are few, by reading them all (`documents`).
//!
//! Invariants: no text makes the parser panic or recurse; the answer to a query equals that of
//! reading every row, filtering, sorting and slicing, whichever way they were found.

mod column_filter;
mod condition;
mod documents;
mod error;
mod evaluation_datasets;
mod experiments;
mod filter;
mod lexer;
mod logged_models;
mod models;
mod order;
mod pattern;
mod run_choice;
mod run_column;
mod run_columns;
mod run_counts;
mod run_datasets;
mod run_devices;
mod run_find;
mod run_groups;
mod run_rows;
mod run_texts;
mod run_view;
mod run_walk;
mod runs;
mod schema;
mod sort_key;
mod spread;
mod trace_filter;
mod trace_view;
mod trace_walk;
mod traces;

pub use condition::{Condition, Relation};
pub use documents::{FieldValue, PageStart, RowPage, RowQuery, Searched, search_rows};
pub use error::SearchError;
pub use evaluation_datasets::{DatasetAttribute, EVALUATION_DATASETS, search_datasets};
pub use experiments::{ExperimentQuery, search_experiments};
pub use filter::{Clause, parse_filter};
pub use logged_models::{
    DatasetFilter, LOGGED_MODELS, LoggedModelAttribute, LoggedModelOrder, LoggedModelPage,
    LoggedModelQuery, search_logged_models,
};
pub use models::{MODEL_VERSIONS, ModelAttribute, REGISTERED_MODELS, VersionAttribute};
pub use order::{Order, parse_order};
pub use pattern::Pattern;
pub use run_columns::RunColumns;
pub use run_counts::count_runs;
pub use run_datasets::{DatasetUse, dataset_uses};
pub use run_devices::RunDevices;
pub use run_find::{RunNumber, find_for_devices, find_runs, read_ids, read_runs};
pub use run_groups::{Grouped, RunGroup, group_runs};
pub use runs::{PageEnd, RunPage, RunQuery, ViewType, search_runs, visit_runs};
pub use schema::{
    ALL_OF_RUNS, AttributeKind, DatasetField, EXPERIMENTS, ExperimentAttribute, Field, RUNS,
    RunAttribute, Schema,
};
pub use spread::MetricSpread;
pub use trace_filter::{
    SpanField, TraceAttribute, TraceClause, TraceCondition, TraceField, TraceOrder,
    parse_trace_filter, parse_trace_order,
};
pub use traces::{Assessed, AssessmentKind, TracePage, TraceQuery, TraceWords, search_traces};

#[cfg(test)]
mod language_tests;
#[cfg(test)]
mod run_tests;
