//! Which modules a module cannot run without: those that it imports, those that they import, and so on.
//!
//! Invariant: the page's list of modules is made from the modules themselves, so it cannot be older
//! than they are. What `import(…)` fetches later is not in it.
//!
//! This is no parser of JavaScript: it finds `from "…"` and `import "…"`, which is how modules are
//! written here and by who publishes the vendored ones. A test in a browser compares what it finds
//! with what the browser fetches.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// What bare names stand for, as the page's import map has it.
#[derive(Deserialize)]
pub(super) struct ImportMap {
    imports: BTreeMap<String, String>,
}

impl ImportMap {
    /// The map of a page, which is the text of its first script.
    pub(super) fn of(html: &str) -> Option<Self> {
        serde_json::from_str(text_of(html)?).ok()
    }

    /// The address that a name stands for in a module.
    fn resolve(&self, name: &str, within: &str) -> Option<String> {
        if let Some(address) = self.imports.get(name) {
            return Some(address.clone());
        }
        let mut folder: Vec<_> = within.split('/').collect();
        folder.pop();
        for part in name.split('/') {
            match part {
                "." => {}
                ".." => drop(folder.pop()?),
                part => folder.push(part),
            }
        }
        name.starts_with('.').then(|| folder.join("/"))
    }
}

/// The text of the import map in a page.
pub(super) fn text_of(html: &str) -> Option<&str> {
    let (_, rest) = html.split_once("<script type=\"importmap\">")?;
    Some(rest.split_once("</script>")?.0)
}

/// The addresses of some modules and of all that they need, each once, in the order in which they
/// are met: those of the first module come first.
pub(super) fn needed(
    map: &ImportMap,
    start: &[&str],
    read: impl Fn(&str) -> Option<String>,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for &module in start {
        let mut waiting = vec![module.to_owned()];
        while let Some(address) = waiting.pop() {
            if !seen.insert(address.clone()) {
                continue;
            }
            let Some(text) = read(&address) else { continue };
            let names = imported(&text).into_iter().rev();
            waiting.extend(names.filter_map(|name| map.resolve(name, &address)));
            found.push(address);
        }
    }
    found
}

/// The names that a module imports from.
fn imported(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for word in ["from", "import"] {
        for (at, _) in text.match_indices(word) {
            names.extend(
                quoted(text[at + word.len()..].trim_start_matches(' ')).map(|name| (at, name)),
            );
        }
    }
    names.sort_unstable();
    names.into_iter().map(|(_, name)| name).collect()
}

/// What stands in quotes at the start of a text.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    text[1..].split_once(quote).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_found_however_they_are_written() {
        let text = concat!(
            "import { a } from \"./a.js\";\n/** @type {import(\"./types.js\").T} */\n",
            "export{x}from'bare';import\"./effect.js\";\nconst late = () => import(\"./late.js\");",
        );
        assert_eq!(imported(text), ["./a.js", "bare", "./effect.js"]);
    }

    #[test]
    fn what_is_needed_is_named_once_and_in_order() {
        let map = ImportMap { imports: [("bare".to_owned(), "/v/bare.js".to_owned())].into() };
        let read = |address: &str| {
            let text = match address {
                "/app/first.js" => "import \"./deep/one.js\"; import 'bare'; import './gone.js';",
                "/app/deep/one.js" => "import { x } from \"../first.js\";",
                "/app/second.js" => "import x from \"bare\"; export * from \"./deep/two.js\";",
                "/v/bare.js" | "/app/deep/two.js" => "",
                _ => return None,
            };
            Some(text.to_owned())
        };
        let found = needed(&map, &["/app/first.js", "/app/second.js"], read);
        let wanted = [
            "/app/first.js",
            "/app/deep/one.js",
            "/v/bare.js",
            "/app/second.js",
            "/app/deep/two.js",
        ];
        assert_eq!(found, wanted);
    }
}
