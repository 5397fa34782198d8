//! PTX text to a tree: no instruction is known here, only their shape.

pub mod ast;
pub mod lexer;
pub mod parser;

use std::fmt;

/// What is wrong with a PTX text, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyntaxError {
    /// Line, counted from 1.
    pub line: u32,
    /// What is wrong, with the text concerned.
    pub message: String,
}

impl SyntaxError {
    /// An error on a line.
    pub fn new(line: u32, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PTX line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for SyntaxError {}
