//! Python's regular expressions in Rust's notation: the few places where the same characters mean something else.

/// What Rust does not know at all is left as it is: the compiler refuses it and says where.
pub(super) fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars();
    // What was read of the class that is open, if one is.
    let mut class: Option<String> = None;
    while let Some(char) = chars.next() {
        let token = match (char, class.as_deref()) {
            ('\\', _) => escape(chars.next()),
            // Set operations and nested classes are Rust's own.
            ('[' | '&' | '~', Some(_)) => format!(r"\{char}"),
            ('-', Some(before)) if is_first(before) || before.ends_with('-') => r"\-".to_owned(),
            (']', Some(before)) if is_first(before) => r"\]".to_owned(),
            _ => String::from(char),
        };
        out.push_str(&token);
        class = match class {
            None if token == "[" => Some(String::new()),
            Some(_) if token == "]" => None,
            Some(before) => Some(before + &token),
            None => None,
        };
    }
    out
}

fn is_first(before: &str) -> bool {
    matches!(before, "" | "^")
}

fn escape(escaped: Option<char>) -> String {
    match escaped {
        // The end of the text.
        Some('Z') => r"\z".to_owned(),
        // The bounds of a word in Rust, themselves in Python.
        Some(char @ ('<' | '>')) => char.to_string(),
        Some(char) => format!(r"\{char}"),
        None => r"\".to_owned(),
    }
}
