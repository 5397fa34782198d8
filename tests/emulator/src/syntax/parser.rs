//! Tokens to the tree.

use super::SyntaxError;
use super::ast::{Instruction, Kernel, Module, Operand, Param, Statement, Variable, VariableSpace};
use super::lexer::{Spanned, Token, tokens};

type Parsed<T> = Result<T, SyntaxError>;

/// Parses a module.
///
/// # Errors
///
/// The first thing that is not PTX, or a directive that is not known here.
pub fn parse(text: &str) -> Parsed<Module> {
    Parser { tokens: tokens(text)?, at: 0 }.module()
}

struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
}

impl Parser {
    fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |t| t.line)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|t| &t.token)
    }

    fn fail<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(SyntaxError::new(self.line(), message))
    }

    fn next(&mut self) -> Parsed<Token> {
        let Some(token) = self.peek().cloned() else {
            return self.fail("the text ends too early");
        };
        self.at += 1;
        Ok(token)
    }

    fn is(&self, c: char) -> bool {
        self.peek() == Some(&Token::Punct(c))
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.is(c);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, c: char) -> Parsed<()> {
        if self.take(c) {
            return Ok(());
        }
        let found = format!("{:?}", self.peek());
        self.fail(format!("`{c}` is missing before {found}"))
    }

    fn word(&mut self) -> Parsed<String> {
        match self.next()? {
            Token::Word(word) => Ok(word),
            other => {
                self.at -= 1;
                self.fail(format!("a name is missing before {other:?}"))
            }
        }
    }

    fn int(&mut self) -> Parsed<u64> {
        let negative = self.take('-');
        match self.next()? {
            Token::Int(value) if negative => Ok(value.wrapping_neg()),
            Token::Int(value) => Ok(value),
            other => {
                self.at -= 1;
                self.fail(format!("a number is missing before {other:?}"))
            }
        }
    }

    fn module(mut self) -> Parsed<Module> {
        let mut module = Module::default();
        while self.peek().is_some() {
            let line = self.line();
            let word = self.word()?;
            match word.as_str() {
                ".version" => module.version = self.rest_of_line(line),
                ".target" => module.target = self.rest_of_line(line),
                ".address_size" => {
                    if self.int()? != 64 {
                        return self.fail("only 64-bit addresses are known");
                    }
                }
                ".file" | ".loc" => drop(self.rest_of_line(line)),
                ".visible" | ".weak" => {}
                ".extern" => {
                    let word = self.word()?;
                    let variable = self.variable(&word, true)?;
                    module.variables.push(variable);
                }
                ".global" | ".const" | ".shared" => {
                    let variable = self.variable(&word, false)?;
                    module.variables.push(variable);
                }
                ".entry" => module.kernels.push(self.kernel()?),
                other => {
                    self.at -= 1;
                    return self.fail(format!("unknown directive `{other}`"));
                }
            }
        }
        Ok(module)
    }

    fn rest_of_line(&mut self, line: u32) -> String {
        let mut text = String::new();
        while let Some(token) = self.tokens.get(self.at).filter(|t| t.line == line) {
            match &token.token {
                Token::Word(word) => text.push_str(word),
                Token::Int(value) => text.push_str(&value.to_string()),
                Token::Punct(c) => text.push(*c),
                _ => {}
            }
            self.at += 1;
        }
        text
    }

    fn variable(&mut self, space: &str, external: bool) -> Parsed<Variable> {
        let space = match space {
            ".global" => VariableSpace::Global,
            ".const" => VariableSpace::Const,
            ".shared" => VariableSpace::Shared,
            ".local" => VariableSpace::Local,
            other => return self.fail(format!("unknown state space `{other}`")),
        };
        let (mut align, mut element) = (0, 0);
        let name = loop {
            let word = self.word()?;
            if word == ".align" {
                align = self.int()?;
            } else if word.starts_with('.') {
                element = self.size_of(&word)?;
            } else {
                break word;
            }
        };
        let mut bytes = element;
        while self.take('[') {
            bytes *= if self.is(']') { 0 } else { self.int()? };
            self.expect(']')?;
        }
        let mut init = Vec::new();
        if self.take('=') {
            let braces = self.take('{');
            loop {
                let value = match self.peek() {
                    Some(Token::F32(bits)) => {
                        let bits = u64::from(*bits);
                        self.at += 1;
                        bits
                    }
                    _ => self.int()?,
                };
                init.extend_from_slice(&value.to_le_bytes()[..element as usize]);
                if !self.take(',') {
                    break;
                }
            }
            if braces {
                self.expect('}')?;
            }
        }
        self.expect(';')?;
        let align = if align == 0 { element } else { align };
        Ok(Variable { space, name, align, bytes, init, external })
    }

    fn size_of(&self, class: &str) -> Parsed<u64> {
        let bits = class.trim_start_matches(|c: char| !c.is_ascii_digit());
        match (class, bits.parse::<u64>()) {
            (".pred", _) => Ok(1),
            (_, Ok(bits @ (8 | 16 | 32 | 64 | 128))) => Ok(bits / 8),
            _ => self.fail(format!("unknown type `{class}`")),
        }
    }

    fn kernel(&mut self) -> Parsed<Kernel> {
        let line = self.line();
        let mut kernel = Kernel {
            name: self.word()?,
            line,
            params: Vec::new(),
            max_threads: None,
            exact_threads: false,
            cluster: None,
            body: Vec::new(),
        };
        if self.take('(') {
            while !self.take(')') {
                if self.word()? != ".param" {
                    return self.fail("`.param` is missing");
                }
                let (mut align, mut element) = (0, 0);
                let name = loop {
                    let word = self.word()?;
                    match word.as_str() {
                        ".align" => align = self.int()?,
                        ".ptr" | ".global" | ".const" | ".shared" => {}
                        _ if word.starts_with('.') => element = self.size_of(&word)?,
                        _ => break word,
                    }
                };
                let mut bytes = element;
                if self.take('[') {
                    bytes *= self.int()?;
                    self.expect(']')?;
                }
                kernel.params.push(Param { name, align: align.max(element), bytes });
                self.take(',');
            }
        }
        while !self.take('{') {
            let word = self.word()?;
            match word.as_str() {
                ".maxntid" => kernel.max_threads = Some(self.triple()?),
                ".reqntid" => {
                    kernel.max_threads = Some(self.triple()?);
                    kernel.exact_threads = true;
                }
                ".reqnctapercluster" => kernel.cluster = Some(self.triple()?),
                ".minnctapersm" | ".maxnreg" | ".maxclusterrank" => drop(self.int()?),
                ".explicitcluster" => {}
                other => {
                    self.at -= 1;
                    return self.fail(format!("unknown directive `{other}`"));
                }
            }
        }
        let mut depth = 1;
        while depth > 0 {
            let statement = self.statement()?;
            match &statement {
                Some(Statement::Open) => depth += 1,
                Some(Statement::Close) => depth -= 1,
                _ => {}
            }
            kernel.body.extend(statement);
        }
        kernel.body.pop();
        Ok(kernel)
    }

    fn triple(&mut self) -> Parsed<[u32; 3]> {
        let mut out = [1; 3];
        for (i, side) in out.iter_mut().enumerate() {
            if i > 0 && !self.take(',') {
                break;
            }
            *side = self.int()? as u32;
        }
        Ok(out)
    }

    fn statement(&mut self) -> Parsed<Option<Statement>> {
        let line = self.line();
        if self.take('{') {
            return Ok(Some(Statement::Open));
        }
        if self.take('}') {
            return Ok(Some(Statement::Close));
        }
        if self.take(';') {
            return Ok(None);
        }
        let mut guard = None;
        if self.take('@') {
            let negated = self.take('!');
            guard = Some((self.word()?, negated));
        }
        let word = self.word()?;
        if guard.is_none() {
            if self.take(':') {
                return Ok(Some(Statement::Label(word, line)));
            }
            match word.as_str() {
                ".reg" => return self.registers(line).map(Some),
                ".shared" | ".local" => {
                    return Ok(Some(Statement::Variable(self.variable(&word, false)?)));
                }
                ".pragma" => {
                    self.next()?;
                    self.expect(';')?;
                    return Ok(None);
                }
                ".loc" | ".file" => {
                    self.rest_of_line(line);
                    return Ok(None);
                }
                _ if word.starts_with('.') => {
                    self.at -= 1;
                    return self.fail(format!("unknown directive `{word}`"));
                }
                _ => {}
            }
        }
        let mut operands = Vec::new();
        if !self.is(';') {
            operands.push(self.operand()?);
            while self.take(',') {
                operands.push(self.operand()?);
            }
        }
        self.expect(';')?;
        Ok(Some(Statement::Instruction(Instruction { line, guard, opcode: word, operands })))
    }

    fn registers(&mut self, line: u32) -> Parsed<Statement> {
        let class = self.word()?;
        let name = self.word()?;
        let mut count = None;
        if self.take('<') {
            count = Some(self.int()? as u32);
            self.expect('>')?;
        }
        self.expect(';')?;
        Ok(Statement::Registers { class, name, count, line })
    }

    fn operand(&mut self) -> Parsed<Operand> {
        if self.take('{') {
            let mut items = Vec::new();
            while !self.take('}') {
                items.push(self.operand()?);
                self.take(',');
            }
            return Ok(Operand::Vector(items));
        }
        if self.take('[') {
            return self.address();
        }
        if self.take('!') {
            return Ok(Operand::Not(self.word()?));
        }
        if self.is('-') {
            return Ok(Operand::Int(self.int()?));
        }
        Ok(match self.next()? {
            Token::Int(value) => Operand::Int(value),
            Token::F32(bits) => Operand::F32(bits),
            Token::F64(bits) => Operand::F64(bits),
            Token::Word(word) if self.take('|') => Operand::Pair(word, self.word()?),
            Token::Word(word) if word == "_" => Operand::Sink,
            Token::Word(word) => Operand::Name(word),
            other => {
                self.at -= 1;
                return self.fail(format!("an operand is missing before {other:?}"));
            }
        })
    }

    fn address(&mut self) -> Parsed<Operand> {
        let base = Box::new(self.operand()?);
        let (mut offset, mut coordinates) = (0, None);
        if self.take('+') || self.is('-') {
            offset = self.int()? as i64;
        }
        if self.take(',') {
            let Operand::Vector(items) = self.operand()? else {
                return self.fail("coordinates are missing");
            };
            coordinates = Some(items);
        }
        self.expect(']')?;
        Ok(Operand::Address { base, offset, coordinates })
    }
}
