//! The language against what a real MLflow server answered.

use proptest::prelude::*;

use super::*;

/// What a server of MLflow 3.18 made of each: nothing, or the error it gave.
const ANSWERS: &[(Language, &str, Option<&str>)] = &[
    (RunFilter, "metrics.nan > -1", None),
    (RunFilter, "metrics.nan != 5", None),
    (RunFilter, "metrics.nan = 0", None),
    (RunFilter, "metrics.inf > 1e300", None),
    (RunFilter, "tags.te = ''", None),
    (
        RunFilter,
        "params.p = 1",
        Some("Expected a quoted string value for parameter (e.g. 'my-value'). Got value 1"),
    ),
    (RunFilter, "params.p = '1'", None),
    (RunFilter, r#"params."p" = "1""#, None),
    (RunFilter, r#"params.`p` = "1""#, None),
    (RunFilter, "param.p='1' AND parameter.p='1' and parameters.p='1'", None),
    (RunFilter, "tags.nope != 'x'", None),
    (RunFilter, "metrics.m > '1'", Some("Expected numeric value type for metric. Found '1'")),
    (RunFilter, "metric.m >= 0.7", None),
    (RunFilter, "attribute.status='finished'", None),
    (RunFilter, "status='FINISHED'", None),
    (
        RunFilter,
        "attr.status IN ('FINISHED')",
        Some("Only ['run_id'] attributes support comparison with a list of quoted string values."),
    ),
    (RunFilter, "run.run_id = '8d3ac2444f8640abb0287986776a2de8'", None),
    (RunFilter, "run_id LIKE '%'", None),
    (
        RunFilter,
        "start_time > '1'",
        Some("Expected numeric value type for numeric attribute: start_time. Found '1'"),
    ),
    (RunFilter, "(params.p = '1')", Some("Invalid clause(s) in filter string: '(params.p = '1')'")),
    (RunFilter, "NOT params.p='1'", Some("Invalid clause(s) in filter string: 'NOT'")),
    (RunFilter, "params.p = '1' OR params.p='2'", Some("Invalid clause(s) in filter string: 'OR'")),
    (RunFilter, "params.p", Some("Invalid clause(s) in filter string: 'params.p'")),
    (RunFilter, "metrics.m", Some("Invalid clause(s) in filter string: 'metrics.m'")),
    (
        RunFilter,
        "foo.bar = '1'",
        Some(
            "Invalid entity type 'foo'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']",
        ),
    ),
    (
        RunFilter,
        "attributes.nope='1'",
        Some("Invalid attribute key 'nope' specified. Valid keys are "),
    ),
    (RunFilter, "params.p > '1'", Some("Invalid comparator '>' not one of ")),
    (RunFilter, "metrics.m LIKE '1'", Some("Expected numeric value type for metric. Found '1'")),
    (
        RunFilter,
        "dataset.nope = 'x'",
        Some("Invalid dataset key 'nope' specified. Valid keys are "),
    ),
    (
        RunFilter,
        "metrics.m IS NULL",
        Some("IS NULL / IS NOT NULL is only supported for tags and params, not for 'metric' 'm'"),
    ),
    (
        RunFilter,
        "status IS NULL",
        Some(
            "IS NULL / IS NOT NULL is only supported for tags and params, not for 'attribute' 'status'",
        ),
    ),
    (
        RunFilter,
        "experiment_id = '1'",
        Some("Invalid attribute key 'experiment_id' specified. Valid keys are "),
    ),
    (
        RunFilter,
        "attributes.experiment_id='1'",
        Some("Invalid attribute key 'experiment_id' specified. Valid keys are "),
    ),
    (
        RunFilter,
        "lifecycle_stage='active'",
        Some("Invalid attribute key 'lifecycle_stage' specified. Valid keys are "),
    ),
    (RunFilter, "tags.`a.b c` = 'x'", None),
    (RunFilter, "run_name ILIKE 'UPD'", None),
    (RunFilter, "run_name LIKE 'UPD'", None),
    (
        RunFilter,
        "params.p = '1';params.p='2'",
        Some(
            r#"Search filter contained multiple expression "params.p = '1';params.p='2'". Provide AND-ed expression list."#,
        ),
    ),
    (RunFilter, "user_id=''", None),
    (RunFilter, "`run name` = 'upd'", None),
    (RunFilter, r#"attributes."run name" = 'upd'"#, None),
    (RunFilter, "params.p = 'it''s'", None),
    (
        RunFilter,
        "params.p BETWEEN '1' AND '2'",
        Some("Invalid clause(s) in filter string: 'params.p', 'BETWEEN', ''1'', ''2''"),
    ),
    (RunOrder, "metrics.m DESC", None),
    (RunOrder, "params.p", None),
    (RunOrder, "tags.`x y` ASC", None),
    (RunOrder, "start_time ASC", None),
    (RunOrder, "attributes.start_time desc", None),
    (RunOrder, "bogus", Some("Invalid attribute key 'bogus' specified. Valid keys are ")),
    (
        RunOrder,
        "metrics.m SIDEWAYS",
        Some("Invalid ordering key in order_by clause 'metrics.m SIDEWAYS'."),
    ),
    (RunOrder, "created", None),
    (RunOrder, "run_name", None),
    (RunOrder, "attributes.artifact_uri", None),
    (RunOrder, "end_time", None),
    (RunOrder, "status", None),
    (RunOrder, "dataset.name", Some("Invalid identifier type 'dataset'")),
    (
        RunOrder,
        "metrics.m DESC, params.p",
        Some("Invalid order_by clause 'metrics.m DESC, params.p'. Could not be parsed."),
    ),
    (ExperimentFilter, "name = 'probe'", None),
    (
        ExperimentFilter,
        "name IN ('probe')",
        Some(
            "Only ['experiment_id'] attributes support comparison with a list of quoted string values.",
        ),
    ),
    (ExperimentFilter, "experiment_id = '12'", None),
    (ExperimentFilter, "experiment_id IN ('0','12')", None),
    (ExperimentFilter, "experiment_id > '0'", Some("Invalid comparator for experiment_id: >")),
    (ExperimentFilter, "tags.x IS NULL", None),
    (ExperimentFilter, "tag.x = 'y'", None),
    (ExperimentFilter, "attribute.name='probe'", None),
    (
        ExperimentFilter,
        "lifecycle_stage='active'",
        Some("Invalid attribute key 'lifecycle_stage' specified. Valid keys are "),
    ),
    (
        ExperimentFilter,
        "creation_time > '1'",
        Some("Expected numeric value type for numeric attribute: creation_time. Found '1'"),
    ),
    (
        ExperimentFilter,
        "creation_time > 1.5",
        Some("Invalid value for numeric attribute 'creation_time': '1.5'"),
    ),
    (ExperimentFilter, "name LIKE 'PRO%'", None),
    (VersionFilter, "name='prm'", None),
    (VersionFilter, "name LIKE 'PR%'", None),
    (VersionFilter, "run_id IN ('8d3ac2444f8640abb0287986776a2de8')", None),
    (VersionFilter, "source_path LIKE 's3%'", None),
    (VersionFilter, "version_number >= 2", None),
    (VersionFilter, "tag.a='b'", None),
    (VersionFilter, "name='prm' OR name='z'", Some("Invalid clause(s) in filter string: OR")),
    (
        VersionFilter,
        "creation_timestamp > 1",
        Some("Invalid attribute key 'creation_timestamp' specified. Valid keys are "),
    ),
    (VersionFilter, "name IN ('prm','x')", None),
    (ModelFilter, "name ILIKE 'PR%'", None),
    (ModelFilter, "tags.a != 'b'", None),
    (ModelFilter, "tags.a LIKE 'b'", None),
    (ModelFilter, "name IN ('prm')", None),
    (
        ModelFilter,
        "creation_timestamp > 1",
        Some("Invalid attribute key 'creation_timestamp' specified. Valid keys are '{'name'}'"),
    ),
    (ModelOrder, "name DESC", None),
    (ModelOrder, "timestamp", None),
    (ModelOrder, "last_updated_timestamp DESC", None),
    (
        ModelOrder,
        "creation_timestamp",
        Some(
            "Invalid order by key 'creation_timestamp' specified. Valid keys are '{'name', 'timestamp'}'",
        ),
    ),
];

#[derive(Debug, Clone, Copy)]
enum Language {
    RunFilter,
    RunOrder,
    ExperimentFilter,
    ModelFilter,
    ModelOrder,
    VersionFilter,
}
use Language::*;

/// What is wrong with a text.
fn error_of(language: Language, text: &str) -> Option<SearchError> {
    match language {
        RunFilter => parse_filter(&RUNS, text).err(),
        RunOrder => parse_order(&RUNS, &[text]).err(),
        ExperimentFilter => parse_filter(&EXPERIMENTS, text).err(),
        ModelFilter => parse_filter(&REGISTERED_MODELS, text).err(),
        ModelOrder => parse_order(&REGISTERED_MODELS, &[text]).err(),
        VersionFilter => parse_filter(&MODEL_VERSIONS, text).err(),
    }
}

#[test]
fn every_answer_of_a_real_server_is_given_again() {
    let mut differing = Vec::new();
    for (language, text, expected) in ANSWERS {
        let found = error_of(*language, text).map(|error| error.to_string());
        let same = match (&found, expected) {
            (None, None) => true,
            // Sets are left out: Python prints them in any order.
            (Some(found), Some(expected)) => found.starts_with(expected),
            _ => false,
        };
        if !same {
            differing.push(format!("{text}\n  found {found:?}\n  expected {expected:?}"));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn clauses_mean_what_they_say() {
    let filter = "params.`a.b` LIKE 'x%' AND run_id NOT IN ('a', \"b\") and metrics.loss<=-1e-3 \
                  AND tag.t IS not NULL AND datasets.context = \"train\" AND created > 5";
    let clause = |field, condition| Clause { field, condition };
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(
        parse_filter(&RUNS, filter),
        Ok(vec![
            clause(Field::Param("a.b".into()), Condition::Like(Pattern::like("x%"))),
            clause(Field::Attribute(RunAttribute::Id), Condition::NotIn(texts(&["a", "b"]))),
            clause(Field::Metric("loss".into()), Condition::Number(Relation::LessOrEqual, -0.001)),
            clause(Field::Tag("t".into()), Condition::IsNotNull),
            clause(Field::Dataset(DatasetField::Context), Condition::Equal("train".into())),
            clause(
                Field::Attribute(RunAttribute::StartTime),
                Condition::Number(Relation::Greater, 5.0)
            ),
        ])
    );
    let order = parse_order(&RUNS, &["`start_time` desc", "metrics.`a b`", "\"tags.c\" ASC"]);
    let by = |field, ascending| Order { field, ascending };
    assert_eq!(
        order,
        Ok(vec![
            by(Field::Attribute(RunAttribute::StartTime), false),
            by(Field::Metric("a b".into()), true),
            by(Field::Tag("c".into()), true),
        ])
    );
}

#[test]
fn what_mlflow_fails_on_is_refused() {
    for (filter, expected) in [
        ("run_id IN (a)", SearchError::IllFormedList),
        ("run_id IN ('a' 'b')", SearchError::IllFormedList),
        ("run_id IN ()", SearchError::EmptyList),
        ("run_id IN (1)", SearchError::ListOfOther("(1)".into())),
        (
            "run_id = ('a')",
            SearchError::InvalidComparator { found: "=".into(), valid: "'IN', 'NOT IN'" },
        ),
        ("1 < metrics.m", SearchError::NotAnIdentifier("1".into())),
        ("metrics.val-loss > 1", SearchError::NotAnIdentifier("metrics.val-loss".into())),
        ("  ", SearchError::BlankFilter("  ".into())),
        ("params.p = x", SearchError::Unquoted("x".into())),
        ("params.p = 'x' LIMIT 1", SearchError::InvalidClauses("'LIMIT', '1'".into())),
        ("((params.p = '1'", SearchError::InvalidClauses("'(', '('".into())),
    ] {
        assert_eq!(parse_filter(&RUNS, filter), Err(expected), "{filter}");
    }
    let repeated = parse_order(&RUNS, &["start_time", "created DESC"]);
    assert_eq!(repeated, Err(SearchError::RepeatedOrder("'start_time', 'created DESC'".into())));
    for order in ["", "asc", "metrics.m asc desc", "'x'", "metrics.m;", "metrics.a-b"] {
        let refused = parse_order(&RUNS, &[order]);
        assert_eq!(refused, Err(SearchError::InvalidOrder(order.into())), "{order}");
    }
}

#[test]
fn a_filter_of_a_million_parentheses_is_refused_at_once() {
    let deep = "(".repeat(1_000_000);
    assert_eq!(parse_filter(&RUNS, &deep), Err(SearchError::TooLong { limit: 10_000 }));
    let quotes = "'\\`\"".repeat(100_000);
    assert!(parse_filter(&RUNS, &quotes).is_err());
    assert!(parse_order(&RUNS, &[deep, quotes]).is_err());
}

/// A valid filter with some characters taken out, doubled or replaced.
fn mutated() -> impl Strategy<Value = String> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..4, any::<char>()), 0..4);
    (prop::sample::select(ANSWERS), edits).prop_map(|((_, text, _), edits)| {
        let mut chars: Vec<char> = text.chars().collect();
        for (place, edit, other) in edits {
            let at = place.index(chars.len() + 1);
            match edit {
                0 => chars.insert(at, other),
                1 => chars.insert(at, ['\'', '"', '`', '(', '.', '\\', '-'][at % 7]),
                _ if at == chars.len() => {}
                2 => drop(chars.remove(at)),
                _ => chars.insert(at, chars[at]),
            }
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in prop_oneof![any::<String>(), mutated()]) {
        for language in [RunFilter, RunOrder, ExperimentFilter, ModelOrder, VersionFilter] {
            if let Some(error) = error_of(language, &text) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn any_key_and_value_can_be_quoted(
        key in "[^`\\\\.][^`\\\\]{0,8}", value in "[^'\\\\]{0,8}", number: f64,
    ) {
        prop_assume!(number.is_finite());
        // A key in quotes of its own inside the backticks is trimmed further, as in MLflow.
        prop_assume!(!key.starts_with(['\'', '"']));
        let filter = format!("tags.`{key}` = '{value}' AND metrics.`{key}` < {number:?}");
        let number = number.to_string().parse().expect("it was printed");
        prop_assert_eq!(
            parse_filter(&RUNS, &filter),
            Ok(vec![
                Clause { field: Field::Tag(key.clone()), condition: Condition::Equal(value) },
                Clause {
                    field: Field::Metric(key),
                    condition: Condition::Number(Relation::Less, number),
                },
            ])
        );
    }
}
