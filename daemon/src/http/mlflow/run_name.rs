//! Names for runs that were given none: `calm-heron-417`.

use rand::seq::IndexedRandom;

/// No word is longer than eight letters, so that a name fits in a column of twenty.
const ADJECTIVES: [&str; 64] = [
    "able", "agile", "amber", "ample", "arctic", "blithe", "bold", "brave", "bright", "brisk",
    "calm", "candid", "clear", "clever", "coral", "crisp", "curious", "dapper", "deft", "eager",
    "early", "earnest", "fabled", "fleet", "fond", "frank", "gentle", "gilded", "glad", "golden",
    "grand", "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "loyal", "lucid",
    "mellow", "merry", "mild", "modest", "nimble", "noble", "olive", "patient", "placid", "polite",
    "proud", "quick", "quiet", "rapid", "serene", "sharp", "silver", "steady", "sunny", "swift",
    "tidy", "vivid", "warm", "witty",
];
const NOUNS: [&str; 64] = [
    "alder", "badger", "beaver", "birch", "bison", "brook", "cedar", "comet", "cove", "crane",
    "delta", "dune", "eagle", "elm", "ember", "falcon", "fern", "finch", "fjord", "fox", "gecko",
    "glade", "grove", "gull", "harbor", "hare", "heron", "ibis", "island", "jay", "kestrel",
    "kite", "lagoon", "lark", "lemur", "lynx", "maple", "marten", "meadow", "mole", "newt", "oak",
    "orca", "otter", "owl", "panda", "pine", "plover", "pond", "quail", "raven", "reef", "ridge",
    "robin", "salmon", "seal", "sparrow", "stork", "swan", "tern", "trout", "vole", "willow",
    "wren",
];

/// A random name: four million different ones.
pub(crate) fn random() -> String {
    let mut rng = rand::rng();
    let adjective = ADJECTIVES.choose(&mut rng).expect("there are adjectives");
    let noun = NOUNS.choose(&mut rng).expect("there are nouns");
    let number = rand::random_range(0..1000);
    format!("{adjective}-{noun}-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_in_a_column_of_twenty() {
        let longest = |words: &[&str]| words.iter().map(|word| word.len()).max();
        let [adjective, noun] =
            [longest(&ADJECTIVES), longest(&NOUNS)].map(Option::unwrap_or_default);
        assert!(adjective + noun + "--999".len() <= 20, "{adjective} {noun}");
        assert_eq!(random().split('-').count(), 3);
    }
}
