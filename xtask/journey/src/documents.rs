//! Commands and code of the documents.
//!
//! ```text
//! <!-- journey: NAME -->   the block below is part of a journey
//! ```

/// The code blocks with a mark of this name, in their order. The mark stands on the line above the block.
pub(crate) fn blocks(document: &str, name: &str) -> Vec<String> {
    let mark = format!("<!-- journey: {name} -->");
    let mut found = Vec::new();
    let mut lines = document.lines();
    while lines.any(|line| line == mark) {
        // A block may also have a mark that says where its code is from.
        let inside = lines.by_ref().skip_while(|line| !line.starts_with("```")).skip(1);
        found.push(
            inside.take_while(|line| *line != "```").fold(String::new(), |text, line| text + line + "\n"),
        );
    }
    found
}

/// The calls of the tool in the blocks of this name, each one once, without comments.
pub(crate) fn commands(document: &str, name: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for block in blocks(document, name) {
        // Not the line of a manifest that names the crate.
        let is_call = |line: &&str| line.starts_with("burn-ssl ") && !line.starts_with("burn-ssl = ");
        for line in block.lines().filter(is_call) {
            let command = line.split(" #").next().unwrap_or(line);
            let command = command.split_whitespace().collect::<Vec<_>>().join(" ");
            if !found.contains(&command) {
                found.push(command);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
<!-- journey: a -->
```sh
cargo install it
burn-ssl one   --out x     # why
burn-ssl two
```

```sh
burn-ssl three
```
<!-- journey: a -->
<!-- quote: main.rs -->
```sh
burn-ssl two
burn-ssl four
```
";

    #[test]
    fn a_journey_has_the_marked_commands_each_one_once() {
        assert_eq!(commands(PAGE, "a"), ["burn-ssl one --out x", "burn-ssl two", "burn-ssl four"]);
        assert_eq!(commands(PAGE, "b"), [""; 0]);
        assert_eq!(blocks(PAGE, "a")[1], "burn-ssl two\nburn-ssl four\n");
    }
}
