//! Names in their scopes, and operands by position.

use crate::ir::{Mem, Pred, Special, Src};
use crate::syntax::SyntaxError;
use crate::syntax::ast::Operand;
use std::collections::HashMap;

#[derive(Clone, Copy, Debug)]
enum Name {
    /// First slot, and how many.
    Registers(u32, Option<u32>),
    Predicates(u32, Option<u32>),
    Symbol(u64),
}

/// Everything that an operand can name.
#[derive(Debug, Default)]
pub(super) struct Names {
    scopes: Vec<HashMap<String, Name>>,
    labels: HashMap<String, u32>,
    registers: u32,
    predicates: u32,
    line: u32,
    touched: Vec<u32>,
}

impl Names {
    pub(super) fn begin(&mut self, line: u32) {
        self.line = line;
        self.touched.clear();
    }

    pub(super) fn touched(&mut self) -> Vec<u32> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    pub(super) fn open(&mut self) {
        self.scopes.push(HashMap::new());
    }

    pub(super) fn close(&mut self) {
        self.scopes.pop();
    }

    pub(super) const fn registers_used(&self) -> u32 {
        self.registers
    }

    pub(super) const fn predicates_used(&self) -> u32 {
        self.predicates
    }

    fn scope(&mut self) -> &mut HashMap<String, Name> {
        if self.scopes.is_empty() {
            self.open();
        }
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    pub(super) fn symbol(&mut self, name: &str, address: u64) {
        if self.scopes.is_empty() {
            self.open();
        }
        self.scopes[0].insert(name.to_owned(), Name::Symbol(address));
    }

    pub(super) fn label(&mut self, name: &str, at: u32, line: u32) -> Result<(), SyntaxError> {
        match self.labels.insert(name.to_owned(), at) {
            None => Ok(()),
            Some(_) => Err(SyntaxError::new(line, format!("label `{name}` twice"))),
        }
    }

    pub(super) fn registers(
        &mut self,
        class: &str,
        name: &str,
        count: Option<u32>,
        line: u32,
    ) -> Result<(), SyntaxError> {
        let used = count.unwrap_or(1);
        let entry = match class {
            ".pred" => {
                self.predicates += used;
                Name::Predicates(self.predicates - used, count)
            }
            ".b8" | ".b16" | ".b32" | ".b64" | ".u8" | ".u16" | ".u32" | ".u64" | ".s8"
            | ".s16" | ".s32" | ".s64" | ".f16" | ".f16x2" | ".f32" | ".f64" => {
                self.registers += used;
                Name::Registers(self.registers - used, count)
            }
            _ => return Err(SyntaxError::new(line, format!("unknown register type `{class}`"))),
        };
        self.scope().insert(name.to_owned(), entry);
        Ok(())
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError::new(self.line, message))
    }

    /// A name, or a stem with a number below its count.
    fn find(&self, name: &str) -> Option<Name> {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let index = name[stem.len()..].parse::<u32>().ok();
        for scope in self.scopes.iter().rev() {
            match scope.get(name) {
                Some(Name::Registers(_, Some(_)) | Name::Predicates(_, Some(_))) | None => {}
                Some(&found) => return Some(found),
            }
            match (scope.get(stem), index) {
                (Some(&Name::Registers(first, Some(count))), Some(i)) if i < count => {
                    return Some(Name::Registers(first + i, None));
                }
                (Some(&Name::Predicates(first, Some(count))), Some(i)) if i < count => {
                    return Some(Name::Predicates(first + i, None));
                }
                _ => {}
            }
        }
        None
    }

    pub(super) fn register(&mut self, name: &str) -> Result<u32, SyntaxError> {
        match self.find(name) {
            Some(Name::Registers(slot, None)) => {
                self.touched.push(slot);
                Ok(slot)
            }
            _ => self.fail(format!("`{name}` is not a register")),
        }
    }

    pub(super) fn predicate(&self, name: &str) -> Result<u32, SyntaxError> {
        match self.find(name) {
            Some(Name::Predicates(slot, None)) => Ok(slot),
            _ => self.fail(format!("`{name}` is not a predicate")),
        }
    }

    fn source(&mut self, name: &str) -> Result<Src, SyntaxError> {
        if let Some(special) = special(name) {
            return Ok(Src::Special(special));
        }
        match self.find(name) {
            Some(Name::Registers(slot, None)) => {
                self.touched.push(slot);
                Ok(Src::Reg(slot))
            }
            Some(Name::Symbol(address)) => Ok(Src::Imm(address)),
            _ if name == "WARP_SZ" => Ok(Src::Imm(32)),
            _ => self.fail(format!("`{name}` is neither a register nor a variable")),
        }
    }
}

fn special(name: &str) -> Option<Special> {
    let axis = |c: &str| match c {
        ".x" => Some(0),
        ".y" => Some(1),
        ".z" => Some(2),
        _ => None,
    };
    if let Some((stem, _)) = name.rsplit_once('.') {
        let axis = axis(&name[stem.len()..])?;
        return Some(match stem {
            "%tid" => Special::Tid(axis),
            "%ntid" => Special::Ntid(axis),
            "%ctaid" => Special::Ctaid(axis),
            "%nctaid" => Special::Nctaid(axis),
            "%clusterid" => Special::ClusterId(axis),
            "%nclusterid" => Special::NclusterId(axis),
            "%cluster_ctaid" => Special::ClusterCtaid(axis),
            "%cluster_nctaid" => Special::ClusterNctaid(axis),
            _ => return None,
        });
    }
    Some(match name {
        "%laneid" => Special::LaneId,
        "%warpid" => Special::WarpId,
        "%nwarpid" => Special::NwarpId,
        "%smid" => Special::SmId,
        "%nsmid" => Special::NsmId,
        "%cluster_ctarank" => Special::ClusterCtarank,
        "%cluster_nctarank" => Special::ClusterNctarank,
        "%lanemask_eq" => Special::LanemaskEq,
        "%lanemask_lt" => Special::LanemaskLt,
        "%lanemask_le" => Special::LanemaskLe,
        "%lanemask_gt" => Special::LanemaskGt,
        "%lanemask_ge" => Special::LanemaskGe,
        "%clock" | "%clock_hi" | "%clock64" | "%globaltimer" => Special::Clock,
        "%dynamic_smem_size" => Special::DynamicSmemSize,
        _ => return None,
    })
}

/// The operands of one instruction, taken in order.
pub(super) struct Operands<'a> {
    names: &'a mut Names,
    list: &'a [Operand],
    at: usize,
    opcode: &'a str,
}

impl<'a> Operands<'a> {
    pub(super) fn new(names: &'a mut Names, operands: &'a [Operand], opcode: &'a str) -> Self {
        Self { names, list: operands, at: 0, opcode }
    }

    pub(super) fn fail<T>(&self, message: impl std::fmt::Display) -> Result<T, SyntaxError> {
        Err(SyntaxError::new(self.names.line, format!("`{}`: {message}", self.opcode)))
    }

    pub(super) fn left(&self) -> usize {
        self.list.len() - self.at
    }

    fn next(&mut self) -> Result<&'a Operand, SyntaxError> {
        let Some(operand) = self.list.get(self.at) else {
            return self.fail("an operand is missing");
        };
        self.at += 1;
        Ok(operand)
    }

    /// Refuses operands that are left over.
    pub(super) fn finish(self) -> Result<(), SyntaxError> {
        if self.left() > 0 { self.fail("more operands than known") } else { Ok(()) }
    }

    pub(super) fn is_vector(&self) -> bool {
        matches!(self.list.get(self.at), Some(Operand::Vector(_)))
    }

    pub(super) fn is_sink(&self) -> bool {
        matches!(self.list.get(self.at), Some(Operand::Sink))
    }

    /// A destination register.
    pub(super) fn d(&mut self) -> Result<u32, SyntaxError> {
        match self.next()? {
            Operand::Name(name) => self.names.register(name),
            other => self.fail(format!("{other:?} is not a register")),
        }
    }

    /// A destination register or `_`.
    pub(super) fn d_or_sink(&mut self) -> Result<Option<u32>, SyntaxError> {
        if self.is_sink() {
            self.at += 1;
            return Ok(None);
        }
        self.d().map(Some)
    }

    /// One register or a vector of them.
    pub(super) fn d_list(&mut self) -> Result<Vec<Option<u32>>, SyntaxError> {
        if !self.is_vector() {
            return Ok(vec![self.d_or_sink()?]);
        }
        let Operand::Vector(items) = self.next()? else { return self.fail("no vector") };
        items
            .iter()
            .map(|item| match item {
                Operand::Sink => Ok(None),
                Operand::Name(name) => self.names.register(name).map(Some),
                other => self.fail(format!("{other:?} is not a register")),
            })
            .collect()
    }

    /// A vector of registers.
    pub(super) fn registers(&mut self) -> Result<Vec<u32>, SyntaxError> {
        let list = self.d_list()?;
        let all: Option<Vec<u32>> = list.into_iter().collect();
        all.map_or_else(|| self.fail("`_` is not possible here"), Ok)
    }

    fn value(&mut self, operand: &Operand) -> Result<Src, SyntaxError> {
        Ok(match operand {
            Operand::Name(name) => self.names.source(name)?,
            Operand::Int(value) => Src::Imm(*value),
            Operand::F32(bits) => Src::Imm(u64::from(*bits)),
            Operand::F64(bits) => Src::Imm(*bits),
            other => return self.fail(format!("{other:?} is not a value")),
        })
    }

    /// A source.
    pub(super) fn s(&mut self) -> Result<Src, SyntaxError> {
        let operand = self.next()?;
        self.value(operand)
    }

    /// One source or a vector of them.
    pub(super) fn s_list(&mut self) -> Result<Vec<Src>, SyntaxError> {
        match self.next()? {
            Operand::Vector(items) => items.iter().map(|item| self.value(item)).collect(),
            operand => Ok(vec![self.value(operand)?]),
        }
    }

    /// A constant.
    pub(super) fn constant(&mut self) -> Result<u64, SyntaxError> {
        match self.s()? {
            Src::Imm(value) => Ok(value),
            _ => self.fail("a constant is needed"),
        }
    }

    /// A predicate register to write.
    pub(super) fn p(&mut self) -> Result<u32, SyntaxError> {
        match self.next()? {
            Operand::Name(name) => self.names.predicate(name),
            other => self.fail(format!("{other:?} is not a predicate")),
        }
    }

    /// `p` or `p|q` of predicates.
    pub(super) fn p_pair(&mut self) -> Result<(u32, Option<u32>), SyntaxError> {
        match self.next()? {
            Operand::Name(name) => Ok((self.names.predicate(name)?, None)),
            Operand::Pair(p, q) if q == "_" => Ok((self.names.predicate(p)?, None)),
            Operand::Pair(p, q) => Ok((self.names.predicate(p)?, Some(self.names.predicate(q)?))),
            other => self.fail(format!("{other:?} is not a predicate")),
        }
    }

    /// `d` or `d|p`: a register and a predicate.
    pub(super) fn d_pair(&mut self) -> Result<(Option<u32>, Option<u32>), SyntaxError> {
        match self.next()? {
            Operand::Name(name) => Ok((Some(self.names.register(name)?), None)),
            Operand::Pair(d, p) => {
                let d = if d == "_" { None } else { Some(self.names.register(d)?) };
                Ok((d, Some(self.names.predicate(p)?)))
            }
            other => self.fail(format!("{other:?} is not a register")),
        }
    }

    /// A predicate to read.
    pub(super) fn sp(&mut self) -> Result<Pred, SyntaxError> {
        match self.next()? {
            Operand::Name(name) => Ok(Pred::Reg(self.names.predicate(name)?, false)),
            Operand::Not(name) => Ok(Pred::Reg(self.names.predicate(name)?, true)),
            Operand::Int(value) => Ok(Pred::Const(*value != 0)),
            other => self.fail(format!("{other:?} is not a predicate")),
        }
    }

    /// An address without coordinates.
    pub(super) fn m(&mut self) -> Result<Mem, SyntaxError> {
        let (mem, coordinates) = self.m_at()?;
        if coordinates.is_empty() { Ok(mem) } else { self.fail("coordinates have no place here") }
    }

    /// An address with coordinates.
    pub(super) fn m_at(&mut self) -> Result<(Mem, Vec<Src>), SyntaxError> {
        match self.next()? {
            Operand::Address { base, offset, coordinates } => {
                let base = self.value(base)?;
                let coordinates = coordinates.as_deref().unwrap_or(&[]);
                let coordinates =
                    coordinates.iter().map(|item| self.value(item)).collect::<Result<_, _>>()?;
                Ok((Mem { base, offset: *offset }, coordinates))
            }
            other => self.fail(format!("{other:?} is not an address")),
        }
    }

    /// A label.
    pub(super) fn label(&mut self) -> Result<u32, SyntaxError> {
        match self.next()? {
            Operand::Name(name) => match self.names.labels.get(name) {
                Some(&at) => Ok(at),
                None => self.fail(format!("no label `{name}`")),
            },
            other => self.fail(format!("{other:?} is not a label")),
        }
    }
}
