//! What options hold, and what is told of it: addresses, with passwords in them.

use eventstore::store::cluster::NamedServer;

/// The items of lists that an option or a variable holds; none where it is empty.
pub(crate) fn each(lists: &[String]) -> impl Iterator<Item = &str> {
    lists.iter().flat_map(|list| list.split_whitespace())
}

/// A server, or what is wrong with it: its name at most, for its address may hold a password.
pub(super) fn named_server(item: &str) -> Result<NamedServer, String> {
    item.parse().map_err(|why| {
        let name = item.split_once('=').map_or("", |(name, _)| name);
        let letter = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        match !name.is_empty() && name.chars().all(letter) {
            true => format!("--server {name}=...: {why}"),
            false => format!("--server: {why}"),
        }
    })
}

/// A text without what stands before an `@` in an address: who has typed a password in a wrong place
/// finds it in no log.
pub(crate) fn withheld(text: &str) -> String {
    let line = |line: &str| {
        let Some((before, after)) = line.rsplit_once('@') else { return line.to_owned() };
        let kept = match before.split_once("://") {
            Some((kept, _)) => format!("{kept}://"),
            None => before.rsplit_once(' ').map_or(String::new(), |(kept, _)| format!("{kept} ")),
        };
        format!("{kept}...@{after}")
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}
