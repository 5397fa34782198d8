//! Tokens of PTX text (PTX ISA 4, "Syntax").

use super::SyntaxError;

/// One token.
#[derive(Clone, PartialEq, Debug)]
pub enum Token {
    /// A name, an opcode with its modifiers, a directive, a register.
    Word(String),
    /// An integer literal.
    Int(u64),
    /// A `0f` literal, as bits.
    F32(u32),
    /// A `0d` literal, as bits.
    F64(u64),
    /// A quoted string.
    Text(String),
    /// Any other character.
    Punct(char),
}

/// A token and the line it stands on, counted from 1.
#[derive(Clone, PartialEq, Debug)]
pub struct Spanned {
    /// The token.
    pub token: Token,
    /// Its line.
    pub line: u32,
}

fn starts_word(c: u8) -> bool {
    c.is_ascii_alphabetic() || matches!(c, b'_' | b'$' | b'%' | b'.')
}

/// Cuts PTX text into tokens; comments vanish.
///
/// # Errors
///
/// A literal that is not one, or a character that PTX has no use for.
pub fn tokens(text: &str) -> Result<Vec<Spanned>, SyntaxError> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len() / 4);
    let (mut i, mut line) = (0, 1u32);
    while i < bytes.len() {
        let c = bytes[i];
        let start = i;
        let token = match c {
            b'\n' => {
                line += 1;
                i += 1;
                continue;
            }
            b' ' | b'\t' | b'\r' => {
                i += 1;
                continue;
            }
            b'/' if bytes.get(i + 1) == Some(&b'/') => {
                while i < bytes.len() && bytes[i] != b'\n' {
                    i += 1;
                }
                continue;
            }
            b'/' if bytes.get(i + 1) == Some(&b'*') => {
                while i < bytes.len() && !bytes[i..].starts_with(b"*/") {
                    line += u32::from(bytes[i] == b'\n');
                    i += 1;
                }
                i += 2;
                continue;
            }
            b'"' => {
                i += 1;
                while i < bytes.len() && bytes[i] != b'"' {
                    i += 1;
                }
                i += 1;
                Token::Text(text.get(start + 1..i.saturating_sub(1)).unwrap_or("").to_owned())
            }
            c if starts_word(c) => {
                while i < bytes.len() {
                    let double = bytes[i] == b':' && bytes.get(i + 1) == Some(&b':');
                    if double {
                        i += 2;
                    } else if starts_word(bytes[i]) || bytes[i].is_ascii_digit() {
                        i += 1;
                    } else {
                        break;
                    }
                }
                Token::Word(text[start..i].to_owned())
            }
            c if c.is_ascii_digit() => {
                while i < bytes.len() && (bytes[i].is_ascii_alphanumeric() || bytes[i] == b'.') {
                    i += 1;
                }
                let literal = &text[start..i];
                // The version is the only number with a point.
                let version = literal.contains('.').then(|| Token::Word(literal.to_owned()));
                version
                    .or_else(|| number(literal))
                    .ok_or_else(|| SyntaxError::new(line, format!("`{literal}` is not a number")))?
            }
            b'{' | b'}' | b'[' | b']' | b'(' | b')' | b'<' | b'>' | b',' | b';' | b':' | b'@'
            | b'!' | b'+' | b'-' | b'|' | b'=' => {
                i += 1;
                Token::Punct(c as char)
            }
            _ => {
                let c = text[start..].chars().next().unwrap_or('?');
                return Err(SyntaxError::new(line, format!("unexpected character `{c}`")));
            }
        };
        out.push(Spanned { token, line });
    }
    Ok(out)
}

fn number(text: &str) -> Option<Token> {
    let digits = text.strip_suffix('U').unwrap_or(text);
    let after = |prefixes: [&str; 2]| prefixes.iter().find_map(|p| digits.strip_prefix(p));
    if let Some(hex) = after(["0f", "0F"]) {
        return (hex.len() == 8).then(|| u32::from_str_radix(hex, 16).ok().map(Token::F32))?;
    }
    if let Some(hex) = after(["0d", "0D"]) {
        return (hex.len() == 16).then(|| u64::from_str_radix(hex, 16).ok().map(Token::F64))?;
    }
    let (digits, radix) = if let Some(hex) = after(["0x", "0X"]) {
        (hex, 16)
    } else if let Some(binary) = after(["0b", "0B"]) {
        (binary, 2)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (digits, 8)
    } else {
        (digits, 10)
    };
    u64::from_str_radix(digits, radix).ok().map(Token::Int)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Token> {
        tokens(text).expect("tokens").into_iter().map(|t| t.token).collect()
    }

    #[test]
    fn opcodes_with_double_colons_are_one_word_and_labels_are_not() {
        assert_eq!(
            kinds("$L_1: ld.shared::cta.b64 %rd1, [%r2+8]; // x"),
            vec![
                Token::Word("$L_1".into()),
                Token::Punct(':'),
                Token::Word("ld.shared::cta.b64".into()),
                Token::Word("%rd1".into()),
                Token::Punct(','),
                Token::Punct('['),
                Token::Word("%r2".into()),
                Token::Punct('+'),
                Token::Int(8),
                Token::Punct(']'),
                Token::Punct(';'),
            ]
        );
    }

    #[test]
    fn literals() {
        assert_eq!(
            kinds("0f3F800000 0x10 010 7U"),
            vec![Token::F32(0x3F80_0000), Token::Int(16), Token::Int(8), Token::Int(7)]
        );
        assert_eq!(tokens("\n\n0f12").expect_err("too short").line, 3);
        assert_eq!(tokens("a # b").expect_err("no such character").line, 1);
    }
}
