//! The tree of a PTX module.

/// A module.
#[derive(Clone, Debug, Default)]
pub struct Module {
    /// `.version`, such as `8.0`.
    pub version: String,
    /// `.target`, such as `sm_90a`.
    pub target: String,
    /// Variables of the module.
    pub variables: Vec<Variable>,
    /// Entry points.
    pub kernels: Vec<Kernel>,
}

/// State spaces that a variable can live in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VariableSpace {
    /// `.global`
    Global,
    /// `.const`
    Const,
    /// `.shared`
    Shared,
    /// `.local`
    Local,
}

/// A variable.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its space.
    pub space: VariableSpace,
    /// Its name.
    pub name: String,
    /// Its alignment.
    pub align: u64,
    /// Its size; 0 for an array of open length.
    pub bytes: u64,
    /// The first bytes, as initialised.
    pub init: Vec<u8>,
    /// `.extern`
    pub external: bool,
}

/// A parameter of an entry point.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its alignment.
    pub align: u64,
    /// Its size.
    pub bytes: u64,
}

/// An entry point.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Its name.
    pub name: String,
    /// Its line.
    pub line: u32,
    /// Its parameters.
    pub params: Vec<Param>,
    /// `.maxntid` or `.reqntid`.
    pub max_threads: Option<[u32; 3]>,
    /// Whether the block must be exactly that (`.reqntid`).
    pub exact_threads: bool,
    /// `.reqnctapercluster`.
    pub cluster: Option<[u32; 3]>,
    /// `.maxnreg`.
    pub max_registers: Option<u32>,
    /// `.minnctapersm`.
    pub min_ctas: u32,
    /// The body.
    pub body: Vec<Statement>,
}

/// A statement of a body.
#[derive(Clone, Debug)]
pub enum Statement {
    /// `{`
    Open,
    /// `}`
    Close,
    /// `.reg .b32 %r<8>;` or `.reg .pred done;`
    Registers {
        /// `.b32` and the like.
        class: String,
        /// Name, or its stem.
        name: String,
        /// How many, for a stem.
        count: Option<u32>,
        /// Its line.
        line: u32,
    },
    /// A variable of the body.
    Variable(Variable),
    /// A label.
    Label(String, u32),
    /// An instruction.
    Instruction(Instruction),
}

/// An instruction.
#[derive(Clone, Debug)]
pub struct Instruction {
    /// Its line.
    pub line: u32,
    /// The predicate's register, and whether it is negated.
    pub guard: Option<(String, bool)>,
    /// The opcode with all modifiers.
    pub opcode: String,
    /// The operands.
    pub operands: Vec<Operand>,
}

/// An operand.
#[derive(Clone, PartialEq, Debug)]
pub enum Operand {
    /// A register, label or variable.
    Name(String),
    /// `!p`
    Not(String),
    /// An integer.
    Int(u64),
    /// A `0f` literal.
    F32(u32),
    /// A `0d` literal.
    F64(u64),
    /// `{a, b}`
    Vector(Vec<Operand>),
    /// `[base+offset]`, or `[base, {c, d}]`
    Address {
        /// Register, variable or integer.
        base: Box<Operand>,
        /// Added to it.
        offset: i64,
        /// Tensor coordinates.
        coordinates: Option<Vec<Operand>>,
    },
    /// `a|b`
    Pair(String, String),
    /// `_`
    Sink,
}
