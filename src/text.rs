//! Texts that have to fit.

/// At most so many bytes of a text, and no half character.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn no_half_character() {
        assert_eq!(cut("grün", 9), "grün");
        assert_eq!(cut("grün", 4), "grü");
        assert_eq!(cut("grün", 3), "gr");
        assert_eq!(cut("ü", 1), "");
    }
}
